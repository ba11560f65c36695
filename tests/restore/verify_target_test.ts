import { TargetError } from "../../lib/errors.ts";
import type { RestoreEvent, RestoreOptions } from "../../lib/restore/restore.ts";
import { assert, assertEquals, assertRejects } from "../assert.ts";
import { assertBytes, fill, patch, patched, readRange } from "../support/bytes.ts";
import {
  LoopDevice,
  loopDeviceProblem,
  Mount,
  mountProblem,
  testUnless,
} from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import type { StoredRevision } from "../support/test_store.ts";
import { damageChunk } from "./damage_kinds.ts";
import { CHUNK_BYTES, GRANULE_BYTES, Scene } from "./scene.ts";

const LETTERS = "aB..c0a";
const LAST_BYTES = 1_000_001;
const SIZE = 6 * CHUNK_BYTES + LAST_BYTES;

let scene: Scene;
let revision: StoredRevision;
Deno.test.beforeAll(() => {
  scene = new Scene();
  revision = scene.store.add("Revision", LETTERS, { size: SIZE });
});
Deno.test.afterAll(() => scene[Symbol.dispose]());

/**
 * Bytes that the target loses, one by default, and how much is written again because of it.
 */
interface Loss {
  readonly at: number;
  readonly bytes?: number;
  readonly rewrittenBytes: number;
}

const LOSSES: Readonly<Record<string, Loss>> = {
  "in a chunk": { at: 4 * CHUNK_BYTES + 1_234_567, rewrittenBytes: CHUNK_BYTES },
  "in zeros of a chunk": {
    at: CHUNK_BYTES + 25 * GRANULE_BYTES,
    rewrittenBytes: CHUNK_BYTES,
  },
  // A whole granule: if only one byte is written among holes, the file has fewer bytes of data.
  "in a range of zeros": {
    at: 4 * CHUNK_BYTES - GRANULE_BYTES,
    bytes: GRANULE_BYTES,
    rewrittenBytes: GRANULE_BYTES,
  },
  "in the first byte": { at: 0, rewrittenBytes: CHUNK_BYTES },
  "in the last byte": { at: SIZE - 1, rewrittenBytes: LAST_BYTES },
};

/** Replaces the bytes that a target lost by others. */
function lose(path: string, { at, bytes = 1 }: Omit<Loss, "rewrittenBytes">): void {
  patch(path, at, revision.image.slice(at, at + bytes).map((byte) => byte ^ 0xff));
}

/** Does something when the target is about to be read back, by round. */
function whenReadBack(rounds: Partial<Record<1 | 2, () => void>>) {
  return (event: RestoreEvent) => {
    if (event.type === "reading-back") rounds[event.round]?.();
  };
}

function restore(options: Partial<RestoreOptions>) {
  return scene.restore({ revision: revision.path, verifyTarget: true, ...options });
}

function roundsOf(events: readonly RestoreEvent[]): string[] {
  const types = ["restoring", "flushing", "reading-back"];
  return events.flatMap((event) =>
    event.type === "reading-back" ? [`reading-back ${event.round}`] : event.type
  ).filter((type) => types.some((known) => type.startsWith(known)));
}

Deno.test("restore() reads a target back, and finds nothing to write again", async () => {
  for (const sparse of ["auto", "never", "always"] as const) {
    for (const content of [undefined, fill(SIZE + 1)]) {
      const output = scene.file(content);
      const { report, events } = await restore({ output, sparse });
      assertBytes(Deno.readFileSync(output), revision.image);
      assertEquals([report.rewrittenBytes, report.isSynced], [0, true]);
      assertEquals(roundsOf(events), ["restoring", "flushing", "reading-back 1"]);
      const [readingBack] = events.filter((event) => event.type === "reading-back");
      assertEquals(readingBack?.progress().sameBytes, SIZE);
    }
  }
});

for (const [name, loss] of Object.entries(LOSSES)) {
  Deno.test(`restore() writes again what a file does not hold: ${name}`, async () => {
    for (const options of [{}, { sparse: "never" }, { update: true }] as const) {
      const output = scene.file();
      const onEvent = whenReadBack({ 1: () => lose(output, loss) });
      const { report, events } = await restore({ output, onEvent, ...options });
      assertBytes(Deno.readFileSync(output), revision.image);
      assertEquals(report.rewrittenBytes, loss.rewrittenBytes);
      assertEquals(roundsOf(events), [
        // What others wrote is flushed before the target is compared.
        ...("update" in options ? ["flushing"] : []),
        ...["restoring", "flushing", "reading-back 1", "flushing", "reading-back 2"],
      ]);
    }
  });

  Deno.test(`restore() fails if a file never holds what was written: ${name}`, async () => {
    const output = scene.file();
    const { at, rewrittenBytes } = loss;
    const lost = () => lose(output, loss);
    const onEvent = whenReadBack({ 1: lost, 2: lost });
    const error = await assertRejects(() => restore({ output, onEvent }), TargetError);
    const start = at - at % (rewrittenBytes === GRANULE_BYTES ? GRANULE_BYTES : CHUNK_BYTES);
    assertEquals(
      error.message,
      `Cannot restore to "${output}": it does not hold what was written, even after a second ` +
        `write, at bytes ${start} to ${start + rewrittenBytes - 1}; its storage may be failing, ` +
        "name another target",
    );
    assertEquals([error.path, error.offset], [output, start]);
  });
}

Deno.test("restore() lists the first ranges that a target does not hold, in order", async () => {
  const output = scene.file();
  const lose = () => {
    for (const seq of [6, 3, 0, 1, 5, 4]) patch(output, seq * CHUNK_BYTES, fill(GRANULE_BYTES, 7));
  };
  const onEvent = whenReadBack({ 1: lose, 2: lose });
  const error = await assertRejects(() => restore({ output, onEvent, threads: 3 }), TargetError);
  const range = (seq: number, bytes: number) =>
    `${seq * CHUNK_BYTES} to ${seq * CHUNK_BYTES + bytes - 1}`;
  const ranges = [
    ...[range(0, CHUNK_BYTES), range(1, CHUNK_BYTES), range(3, GRANULE_BYTES)],
    range(4, CHUNK_BYTES),
  ];
  const tail = `at bytes ${
    ranges.join(", ")
  } and 2 more ranges; its storage may be failing, name another target`;
  assert(error.message.endsWith(tail), error.message);
  assertEquals(error.offset, 0);
});

Deno.test("restore() finds what goes wrong only after it was written again", async () => {
  const output = scene.file();
  const onEvent = whenReadBack({
    1: () => patch(output, 0, fill(1)),
    2: () => patch(output, 2 * CHUNK_BYTES, fill(1)),
  });
  const error = await assertRejects(() => restore({ output, onEvent }), TargetError);
  assertEquals(error.offset, 2 * CHUNK_BYTES);
});

Deno.test("restore() notices that a target has lost its end", async () => {
  using scene = new Scene();
  const { path } = scene.store.add("Revision", "a..");
  const output = scene.file();
  const onEvent = whenReadBack({ 1: () => Deno.truncateSync(output, 2 * CHUNK_BYTES + 10) });
  const lost = () => scene.restore({ revision: path, output, onEvent, verifyTarget: true });
  await assertRejects(lost, TargetError, "it does not hold what was written");
});

Deno.test("restore() accepts holes in place of zeros that were written", async () => {
  const output = scene.file(fill(SIZE));
  const punch = () => {
    runSync("fallocate", "-p", "-o", String(2 * CHUNK_BYTES), "-l", String(CHUNK_BYTES), output);
  };
  // An update writes all zeros here, because an old file has no range that is known to be zeros.
  const options = { output, sparse: "never", update: true } as const;
  const { report } = await restore({ ...options, onEvent: whenReadBack({ 1: punch }) });
  assertBytes(Deno.readFileSync(output), revision.image);
  assertEquals(report.rewrittenBytes, 0);
});

Deno.test("restore() reads back only the part that it wrote", async () => {
  const offset = CHUNK_BYTES - 10, length = 2 * CHUNK_BYTES + 20;
  const output = scene.file(fill(SIZE));
  const lose = (...places: number[]) => () => {
    for (const at of places) patch(output, at, fill(1, 0x77));
  };
  const onEvent = whenReadBack({ 1: lose(offset - 1, offset, offset + length) });
  const { report } = await restore({ output, range: { offset, length }, onEvent });
  const expected = patched(fill(SIZE), offset, revision.image.subarray(offset, offset + length));
  expected[offset - 1] = expected[offset + length] = 0x77;
  assertBytes(Deno.readFileSync(output), expected);
  assertEquals(report.rewrittenBytes, 10);
});

Deno.test("restore() does not hold zeros for bad chunks against the target", async () => {
  using scene = new Scene();
  const { path, ids, image } = scene.store.add("Revision", "abca", { size: 4 * CHUNK_BYTES - 1 });
  damageChunk(scene.store.chunkFile(ids[1]), "hash");
  damageChunk(scene.store.chunkFile(ids[3]), "missing");
  const expected = image.slice().fill(0, CHUNK_BYTES, 2 * CHUNK_BYTES).fill(0, 3 * CHUNK_BYTES);
  const output = scene.file();
  const options = { revision: path, output, verifyTarget: true, onError: "zero" } as const;
  const { report } = await scene.restore(options);
  assertEquals([report.rewrittenBytes, report.badRanges.length], [0, 2]);
  assertBytes(Deno.readFileSync(output), expected);
  // A good chunk is lost too, so that both rounds meet the bad ones.
  const onEvent = whenReadBack({ 1: () => patch(output, 0, fill(1)) });
  const { report: healed } = await scene.restore({ ...options, onEvent });
  assertEquals([healed.rewrittenBytes, healed.badRanges.length], [CHUNK_BYTES, 2]);
  assertBytes(Deno.readFileSync(output), expected);
});

Deno.test("restore() without verification can read back what it wrote", async () => {
  using scene = new Scene();
  const { path, ids, image } = scene.store.add("Revision", "ab");
  damageChunk(scene.store.chunkFile(ids[1]), "hash");
  const output = scene.file();
  const options = { revision: path, output, verify: false, verifyTarget: true };
  assertEquals((await scene.restore(options)).report.rewrittenBytes, 0);
  assertBytes(Deno.readFileSync(output), patched(image, CHUNK_BYTES, fill(CHUNK_BYTES, 1)));
});

Deno.test("restore() refuses to read back what cannot be read", async () => {
  for (const output of ["-", "/dev/null"]) {
    await assertRejects(() => restore({ output }), TargetError, "this needs a file or block");
  }
});

testUnless(
  loopDeviceProblem(),
  "restore() reads a device back from its storage, to the last byte",
  async () => {
    for (const sectorBytes of [512, 4096]) {
      for (const loss of Object.values(LOSSES)) {
        using device = new LoopDevice(7 * CHUNK_BYTES, { sectorBytes });
        const { backing } = device;
        const onEvent = whenReadBack({ 1: () => lose(backing, loss) });
        const { report } = await restore({ output: device.path, onEvent });
        assertEquals(report.rewrittenBytes, loss.rewrittenBytes, `byte ${loss.at}`);
        assertBytes(readRange(backing, 0, SIZE), revision.image);
        assertBytes(readRange(backing, SIZE, CHUNK_BYTES), fill(7 * CHUNK_BYTES - SIZE));
      }
    }
  },
);

testUnless(
  loopDeviceProblem(),
  "restore() reads a part of a device back from its storage, to its first and last byte",
  async () => {
    using device = new LoopDevice(7 * CHUNK_BYTES);
    const { backing } = device;
    const offset = CHUNK_BYTES + 100, length = 3 * CHUNK_BYTES + 200;
    const range = { offset, length };
    for (const at of [offset, offset + length - 1]) {
      const onEvent = whenReadBack({ 1: () => lose(backing, { at }) });
      const { report } = await restore({ output: device.path, range, onEvent });
      assert(report.rewrittenBytes! > 0, `byte ${at}`);
    }
  },
);

testUnless(
  loopDeviceProblem(),
  "restore() fails if a device never holds what was written",
  async () => {
    using device = new LoopDevice(7 * CHUNK_BYTES);
    const lose = () => patch(device.backing, CHUNK_BYTES + 5, fill(1, 0x77));
    const onEvent = whenReadBack({ 1: lose, 2: lose });
    const failing = () => restore({ output: device.path, onEvent });
    const error = await assertRejects(failing, TargetError, "it does not hold what was written");
    assertEquals(error.offset, CHUNK_BYTES);
  },
);

testUnless(
  loopDeviceProblem() ?? mountProblem() ?? programProblem("mkfs.ext4"),
  "restore() reads a file back from its storage",
  async () => {
    using device = new LoopDevice(64 * 1_048_576);
    runSync("mkfs.ext4", "-q", "-F", "-b", "4096", device.path);
    using mount = new Mount(device.path);
    const { backing } = device;
    const output = `${mount.path}/image`;
    let isLost = false;
    const onEvent = whenReadBack({
      1() {
        // Where the file system put chunk "c", which exists once.
        const start = 4 * CHUNK_BYTES, marker = revision.image.subarray(start, start + 4096);
        const storage = Deno.readFileSync(backing);
        for (let at = 0; at < storage.length; at += 4096) {
          if (!marker.every((byte, i) => storage[at + i] === byte)) continue;
          patch(backing, at, fill(1, 0x77));
          isLost = true;
        }
      },
    });
    const { report } = await restore({ output, onEvent });
    assert(isLost);
    assertEquals(report.rewrittenBytes, CHUNK_BYTES);
    assertBytes(Deno.readFileSync(output), revision.image);
  },
);
