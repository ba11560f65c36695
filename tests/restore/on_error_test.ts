import { ChunkCorruptError, ChunkMissingError } from "../../lib/errors.ts";
import type { ChunkReason } from "../../lib/work/messages.ts";
import type { RestoreOptions } from "../../lib/restore/restore.ts";
import type { SparseMode } from "../../lib/target/target.ts";
import { assert, assertEquals, assertRejects } from "../assert.ts";
import { assertBytes, dataBytesOf, fill, patch, readRange } from "../support/bytes.ts";
import { applyRbdDiff, readRbdDiff } from "../support/rbd_diff.ts";
import { allocatedBytes, LoopDevice, loopDeviceProblem, testUnless } from "../support/machine.ts";
import type { StoredRevision } from "../support/test_store.ts";
import { damageChunk } from "./damage_kinds.ts";
import { CHUNK_BYTES, GRANULE_BYTES, Scene } from "./scene.ts";
import type { SceneRun } from "./scene.ts";

const LAST_BYTES = 300_001;
const SIZE = 8 * CHUNK_BYTES + LAST_BYTES;

/** What becomes of the seqs of the image; the chunk of two of them is the same one. */
const DAMAGE: readonly [seq: number, reason: ChunkReason][] = [
  [1, "hash"],
  [2, "missing"],
  [4, "hash"],
  [5, "encoding"],
  [6, "size"],
  [8, "header"],
];

let scene: Scene;
let revision: StoredRevision;
let expected: Uint8Array<ArrayBuffer>;
Deno.test.beforeAll(() => {
  scene = new Scene();
  revision = scene.store.add("Revision", "aBc.BdEFg", { size: SIZE });
  expected = revision.image.slice();
  const reasons = new Map(DAMAGE.map(([seq, reason]) => [revision.ids[seq], reason]));
  for (const [id, reason] of reasons) damageChunk(scene.store.chunkFile(id), reason);
  for (const [seq] of DAMAGE) expected.fill(0, seq * CHUNK_BYTES, (seq + 1) * CHUNK_BYTES);
});
Deno.test.afterAll(() => scene[Symbol.dispose]());

/** Asserts that a restore says what is missing, and each chunk once while it goes on. */
function assertTold({ report, events }: SceneRun): void {
  const { badRanges } = report;
  assertEquals(
    badRanges.map(({ offset, length, chunkId, reason }) => ({ offset, length, chunkId, reason })),
    DAMAGE.map(([seq, reason]) => ({
      offset: seq * CHUNK_BYTES,
      length: seq === 8 ? LAST_BYTES : CHUNK_BYTES,
      chunkId: revision.ids[seq]!,
      reason,
    })),
  );
  for (const { detail, chunkId } of badRanges) {
    assert(/^Cannot (use|read) chunk "/.test(detail) && detail.includes(chunkId), detail);
    assert(!detail.includes("\n"), detail);
  }
  const told = events.flatMap((event) => event.type === "bad-chunk" ? [event.chunkId] : []);
  assertEquals(told.sort(), [...new Set(DAMAGE.map(([seq]) => revision.ids[seq]!))].sort());
  assertEquals(report.imageBytes, SIZE);
}

function restore(options: Partial<RestoreOptions>): Promise<SceneRun> {
  return scene.restore({ revision: revision.path, onError: "zero", ...options });
}

/** What a target full of 0xAA holds if zeros are written only in place of bad chunks. */
function trusted(length: number): Uint8Array {
  const bytes = fill(length);
  for (let at = 0; at < SIZE; at += GRANULE_BYTES) {
    const granule = expected.subarray(at, Math.min(at + GRANULE_BYTES, SIZE));
    const isBad = DAMAGE.some(([seq]) => seq === Math.floor(at / CHUNK_BYTES));
    if (isBad || dataBytesOf(granule) > 0) bytes.set(granule, at);
  }
  return bytes;
}

for (const sparse of ["auto", "never", "always"] as const) {
  Deno.test(`restore() leaves zeros for bad chunks in a file (sparse ${sparse})`, async () => {
    for (const content of [undefined, fill(SIZE + 10)]) {
      const output = scene.file(content);
      assertTold(await restore({ output, sparse }));
      assertBytes(Deno.readFileSync(output), expected);
      // If everything is to be allocated, so are the bad ranges.
      if (sparse === "never") assert(allocatedBytes(output) >= SIZE);
    }
  });

  testUnless(
    loopDeviceProblem(),
    `restore() leaves zeros for bad chunks on a device with old data (sparse ${sparse})`,
    async () => {
      using device = new LoopDevice(SIZE + 4095 - (SIZE + 4095) % 4096 + CHUNK_BYTES);
      assertTold(await restore({ output: device.path, sparse }));
      const after = device.read();
      const image = sparse === "always" ? trusted(SIZE) : expected;
      assertBytes(after.subarray(0, SIZE), image);
      assertBytes(after.subarray(SIZE), fill(after.length - SIZE));
    },
  );
}

Deno.test("restore() leaves zeros for bad chunks in a part of a file that keeps the rest", async () => {
  const start = CHUNK_BYTES + 5, length = 4 * CHUNK_BYTES;
  for (const sparse of ["auto", "never", "always"] satisfies SparseMode[]) {
    const output = scene.file(fill(SIZE));
    const { report } = await restore({ output, sparse, range: { offset: start, length } });
    const end = start + length;
    assertEquals(report.badRanges.map((range) => [range.offset, range.length, range.reason]), [
      [start, CHUNK_BYTES - 5, "hash"],
      [2 * CHUNK_BYTES, CHUNK_BYTES, "missing"],
      [4 * CHUNK_BYTES, CHUNK_BYTES, "hash"],
      [5 * CHUNK_BYTES, 5, "encoding"],
    ]);
    const image = fill(SIZE);
    // All of the range is bad except for one seq of zeros.
    image.fill(0, start, end);
    assertBytes(Deno.readFileSync(output), image);
  }
});

for (const verifyTarget of [false, true]) {
  Deno.test(`restore() that updates leaves zeros for bad chunks (read back: ${verifyTarget})`, async () => {
    for (const content of [undefined, fill(SIZE + 1), fill(CHUNK_BYTES + 1)]) {
      const output = scene.file(content);
      const run = await restore({ output, update: true, verifyTarget });
      assertTold(run);
      assertBytes(Deno.readFileSync(output), expected);
      assertEquals(run.report.rewrittenBytes, verifyTarget ? 0 : null);
    }
  });
}

Deno.test("restore() that updates finds no damage where the target holds the chunk already", async () => {
  const output = scene.file(revision.image);
  const stale = [1, 5];
  for (const seq of stale) patch(output, seq * CHUNK_BYTES + 77, fill(10));
  const { report } = await restore({ output, update: true });
  assertEquals(report.badRanges.map(({ offset }) => offset / CHUNK_BYTES), stale);
  const image = revision.image.slice();
  for (const seq of stale) image.fill(0, seq * CHUNK_BYTES, (seq + 1) * CHUNK_BYTES);
  assertBytes(Deno.readFileSync(output), image);
});

testUnless(
  loopDeviceProblem(),
  "restore() that updates leaves zeros for bad chunks on a device",
  async () => {
    using device = new LoopDevice(9 * CHUNK_BYTES, { sectorBytes: 4096 });
    assertTold(await restore({ output: device.path, update: true, verifyTarget: true }));
    assertBytes(readRange(device.path, 0, SIZE), expected);
  },
);

Deno.test("restore() streams zeros for bad chunks", async () => {
  for (const threads of [1, 3]) {
    const run = await scene.stream({ revision: revision.path, onError: "zero", threads });
    assertTold(run);
    assertBytes(run.bytes, expected);
  }
});

Deno.test("restore() streams records of zeros for bad chunks", async () => {
  const run = await scene.stream({
    revision: revision.path,
    onError: "zero",
    format: "rbd-diff",
  });
  assertTold(run);
  assertBytes(applyRbdDiff(run.bytes, fill(SIZE)), expected);
  const zeroed = readRbdDiff(run.bytes).records.filter(({ data }) => data === null);
  for (const [seq] of DAMAGE) {
    const length = seq === 8 ? LAST_BYTES : CHUNK_BYTES;
    assert(zeroed.some((range) => range.offset === seq * CHUNK_BYTES && range.length === length));
  }
});

Deno.test("restore() ends at a bad chunk unless told otherwise", async () => {
  using scene = new Scene();
  for (const [, reason] of DAMAGE) {
    const { path, ids } = scene.store.add(`Only_${reason}`, "abc");
    const file = scene.store.chunkFile(ids[1]);
    const good = Deno.readFileSync(file);
    damageChunk(file, reason);
    const error = await assertRejects(() =>
      scene.restore({ revision: path, output: scene.file() })
    );
    if (reason === "missing") assert(error instanceof ChunkMissingError, `${error}`);
    else assert(error instanceof ChunkCorruptError && error.reason === reason, `${error}`);
    try {
      Deno.removeSync(file);
    } catch { /* it is missing */ }
    Deno.writeFileSync(file, good);
  }
});
