import { Buffer } from "node:buffer";

import { ChunkMissingError, InterruptedError, TargetError } from "../../lib/errors.ts";
import type { RestoreOptions } from "../../lib/restore/restore.ts";
import type { SparseMode } from "../../lib/target/target.ts";
import { assert, assertEquals, assertRejects } from "../assert.ts";
import { assertBytes, dataBytesOf, fill, patch, patched } from "../support/bytes.ts";
import {
  allocatedBytes,
  LoopDevice,
  loopDeviceProblem,
  makeFifo,
  Scratch,
  sysProblem,
  testUnless,
} from "../support/machine.ts";
import type { StoredRevision } from "../support/test_store.ts";
import { damageChunk } from "./damage_kinds.ts";
import { CHUNK_BYTES, GRANULE_BYTES, Scene } from "./scene.ts";

const LETTERS = "aB..c0aB.d";
const LAST_BYTES = 2_000_001;
const SIZE = 9 * CHUNK_BYTES + LAST_BYTES;
/** Room of a device: more than the image has, and whole sectors. */
const DEVICE_BYTES = 10 * CHUNK_BYTES;

let scene: Scene;
/** The same image twice: the file of the last chunk ends with it, or goes on. */
let revisions: StoredRevision[];
let image: Uint8Array<ArrayBuffer>;
Deno.test.beforeAll(() => {
  scene = new Scene();
  const make = (name: string, isLastFull: boolean) =>
    scene.store.add(name, LETTERS, { size: SIZE, isLastFull });
  revisions = [make("ShortLast", false), make("FullLast", true)];
  image = revisions[0]!.image;
});
Deno.test.afterAll(() => scene[Symbol.dispose]());

/** What a target may hold before, and how much the image of it is already there. */
const BEFORE: Readonly<Record<string, () => Uint8Array>> = {
  "the image": () => image,
  "nothing": () => new Uint8Array(0),
  "garbage": () => fill(DEVICE_BYTES),
  "zeros": () => new Uint8Array(SIZE),
  "the image's first part": () => image.subarray(0, 6 * CHUNK_BYTES + 12_345),
  "the image and more": () => patched(fill(DEVICE_BYTES), 0, image),
  "another first byte": () => patched(image, 0, fill(1)),
  "another last byte": () => patched(image, SIZE - 1, fill(1)),
  "data at the first of two seqs of a chunk": () => patched(image, 5, fill(9)),
  "data at the second of two seqs of a chunk": () => patched(image, 7 * CHUNK_BYTES + 1, fill(9)),
  "data in zeros that are not mapped": () => patched(image, 3 * CHUNK_BYTES + 70_000, fill(1)),
  "data in zeros that are mapped": () => patched(image, 6 * CHUNK_BYTES - 1, fill(1)),
  "data in zeros of a chunk": () => patched(image, CHUNK_BYTES + 25 * GRANULE_BYTES, fill(3)),
  "data in zeros between two chunks": () => patched(image, 8 * CHUNK_BYTES - 1, fill(2)),
  "chunks at other seqs": () =>
    patched(
      patched(image, 0, image.subarray(CHUNK_BYTES, 2 * CHUNK_BYTES)),
      4 * CHUNK_BYTES,
      fill(0),
    ),
};

/**
 * What must be written to a target, and what is there already, in whole chunks and granules.
 */
function costOf(before: Uint8Array, sparse: SparseMode): { written: number; same: number } {
  const old = new Uint8Array(SIZE);
  old.set(before.subarray(0, SIZE));
  let written = 0, same = 0;
  const compare = (start: number, end: number, letter: string) => {
    const wanted = image.subarray(start, end), found = old.subarray(start, end);
    const isSame = Buffer.compare(wanted, found) === 0;
    if (isSame) same += end - start;
    else if (letter !== "0") written += sparse === "never" ? end - start : dataBytesOf(wanted);
    else if (sparse === "never") written += end - start;
  };
  for (let seq = 0; seq < LETTERS.length; seq++) {
    const start = seq * CHUNK_BYTES, end = Math.min(start + CHUNK_BYTES, SIZE);
    const isZero = ".0".includes(LETTERS[seq]!);
    if (!isZero) compare(start, end, "data");
    else for (let at = start; at < end; at += GRANULE_BYTES) compare(at, at + GRANULE_BYTES, "0");
  }
  return { written, same };
}

function update(options: Partial<RestoreOptions>) {
  return scene.restore({ revision: revisions[0]!.path, update: true, ...options });
}

for (const [name, before] of Object.entries(BEFORE)) {
  Deno.test(`restore() that updates writes to a file what differs: ${name}`, async () => {
    const { written, same } = costOf(before(), "auto");
    for (const { path } of revisions) {
      const output = scene.file(before());
      const { report, events } = await update({ revision: path, output });
      assertBytes(Deno.readFileSync(output), image);
      assertEquals([report.writtenBytes, report.sameBytes], [written, same]);
      const restoring = events.find(({ type }) => type === "restoring");
      assert(restoring?.type === "restoring" && restoring.isUpdate);
      assertEquals(restoring.progress().imageBytes, SIZE);
      Deno.removeSync(output);
    }
  });
}

Deno.test("restore() that updates creates a missing file", async () => {
  for (const sparse of ["auto", "never", "always"] as const) {
    const output = scene.file();
    const { report } = await update({ output, sparse });
    assertBytes(Deno.readFileSync(output), image);
    assertEquals(report.writtenBytes, dataBytesOf(image));
    if (sparse === "never") assert(allocatedBytes(output) >= SIZE);
    else assert(allocatedBytes(output) < dataBytesOf(image) + CHUNK_BYTES);
  }
});

Deno.test("restore() that updates with sparse=never leaves no holes", async () => {
  for (const before of [image, image.subarray(0, CHUNK_BYTES), fill(SIZE + 1)]) {
    const output = scene.file();
    // A file with holes where the image has zeros.
    if (before === image) await update({ output });
    else Deno.writeFileSync(output, before);
    assert(before !== image || allocatedBytes(output) < SIZE);
    await update({ output, sparse: "never" });
    assertBytes(Deno.readFileSync(output), image);
    assert(allocatedBytes(output) >= SIZE, `${allocatedBytes(output)}`);
    const { report } = await update({ output, sparse: "never" });
    assertEquals([report.writtenBytes, report.sameBytes], [0, SIZE]);
  }
});

Deno.test("restore() that updates trusts no zeros, whatever it is told", async () => {
  const output = scene.file(fill(SIZE));
  await update({ output, sparse: "always" });
  assertBytes(Deno.readFileSync(output), image);
});

Deno.test("restore() that updates keeps holes, and makes some where zeros were data", async () => {
  const output = scene.file();
  await update({ output });
  const blocks = allocatedBytes(output);
  await update({ output });
  assertEquals(allocatedBytes(output), blocks);
  patch(output, 2 * CHUNK_BYTES, fill(2 * CHUNK_BYTES));
  assert(allocatedBytes(output) > blocks);
  await update({ output });
  assertEquals(allocatedBytes(output), blocks);
});

Deno.test("restore() that updates completes an interrupted restore", async () => {
  for (const isUpdate of [false, true]) {
    const output = scene.file(fill(SIZE + 100));
    const controller = new AbortController();
    const reason = new InterruptedError("Interrupted by SIGINT", { signal: "SIGINT" });
    let timer: ReturnType<typeof setInterval> | undefined;
    await assertRejects(
      () =>
        scene.restore({
          revision: revisions[0]!.path,
          output,
          update: isUpdate,
          threads: 1,
          signal: controller.signal,
          // Slow enough to be interrupted.
          readBytesPerSecond: 10_000_000,
          onEvent(event) {
            if (event.type !== "restoring") return;
            timer = setInterval(() => {
              if (event.progress().jobs > 0) controller.abort(reason);
            }, 1);
          },
        }),
      InterruptedError,
    );
    clearInterval(timer);
    const before = Deno.readFileSync(output);
    const { report } = await update({ output });
    assertBytes(Deno.readFileSync(output), image);
    const { written, same } = costOf(before, "auto");
    assertEquals([report.writtenBytes, report.sameBytes], [written, same]);
    assert(report.sameBytes > 0);
    Deno.removeSync(output);
  }
});

Deno.test("restore() that updates does not need chunks that the target holds", async () => {
  using scene = new Scene();
  const { path, ids, image } = scene.store.add("Revision", "abcd", { size: 4 * CHUNK_BYTES - 5 });
  // A restore would need the first one first.
  for (const id of ids) damageChunk(scene.store.chunkFile(id), "missing");
  const output = scene.file(image);
  const { report } = await scene.restore({ revision: path, update: true, output });
  assertEquals([report.badRanges, report.sameBytes], [[], image.length]);
  patch(output, 2 * CHUNK_BYTES, fill(1));
  const error = await assertRejects(
    () => scene.restore({ revision: path, update: true, output }),
    ChunkMissingError,
  );
  assertEquals(error.seqs, [2]);
});

Deno.test("restore() that updates without verification writes nothing twice", async () => {
  using scene = new Scene();
  const { path, ids, image } = scene.store.add("Revision", "abc");
  damageChunk(scene.store.chunkFile(ids[1]), "hash");
  const output = scene.file();
  const update = () => scene.restore({ revision: path, output, update: true, verify: false });
  assertEquals((await update()).report.writtenBytes, image.length);
  assertEquals((await update()).report.writtenBytes, 0);
  assertBytes(Deno.readFileSync(output), patched(image, CHUNK_BYTES, fill(CHUNK_BYTES, 1)));
});

Deno.test("restore() whose update is refused leaves a longer target alone", async () => {
  const output = scene.file(fill(SIZE));
  const error = await assertRejects(
    () => update({ output, also: [scene.file()] }),
    Error,
    "there is no such directory",
  );
  assert(error);
  assertEquals(Deno.statSync(output).size, SIZE);
});

Deno.test("restore() refuses to update a stream", async () => {
  for (const output of ["-", "/dev/null", makeFifo(scene.file())]) {
    const error = await assertRejects(() => update({ output }), TargetError);
    assert(error.message.endsWith("this needs a file or block device"), error.message);
  }
});

/** Sectors that were written to a device so far. Source: Documentation/block/stat.rst. */
function writtenSectors(device: LoopDevice): number {
  const text = Deno.readTextFileSync(`/sys/block/${device.path.slice("/dev/".length)}/stat`);
  return Number(text.trim().split(/\s+/)[6]);
}

for (const sectorBytes of [512, 4096]) {
  testUnless(
    loopDeviceProblem(),
    `restore() that updates writes to a device what differs (${sectorBytes}-byte sectors)`,
    async () => {
      using device = new LoopDevice(DEVICE_BYTES, { sectorBytes });
      const rest = fill(DEVICE_BYTES - SIZE);
      for (const before of ["garbage", "another last byte", "data in zeros of a chunk"]) {
        const content = fill(DEVICE_BYTES);
        content.set(BEFORE[before]!());
        content.set(rest, SIZE);
        for (const sparse of ["auto", "never"] as const) {
          patch(device.path, 0, content);
          const { report } = await update({ output: device.path, sparse });
          assertBytes(device.read(), patched(content, 0, image));
          const { written, same } = costOf(content, sparse);
          assertEquals([report.writtenBytes, report.sameBytes], [written, same]);
        }
      }
    },
  );
}

testUnless(
  loopDeviceProblem() ?? sysProblem(),
  "restore() that updates an identical device writes no sector",
  async () => {
    using device = new LoopDevice(DEVICE_BYTES);
    patch(device.path, 0, image);
    {
      using file = Deno.openSync(device.path, { write: true });
      file.syncSync();
    }
    const before = writtenSectors(device);
    assert(before >= SIZE / 512 - 1, `${before}`);
    for (const sparse of ["auto", "never"] as const) {
      await update({ output: device.path, sparse });
      assertEquals(writtenSectors(device), before);
    }
    patch(device.path, 4 * CHUNK_BYTES, fill(512));
    await update({ output: device.path });
    const chunks = (writtenSectors(device) - before) * 512 / CHUNK_BYTES;
    // The sectors that were changed before the update count too.
    assert(chunks >= 1 && chunks < 1.1, `${chunks}`);
  },
);

testUnless(
  loopDeviceProblem(),
  "restore() that updates refuses a device that is too small",
  async () => {
    using device = new LoopDevice(DEVICE_BYTES - CHUNK_BYTES);
    await assertRejects(() => update({ output: device.path }), TargetError, "the image needs");
  },
);

Deno.test("restore() that updates an empty image empties a file", async () => {
  using scratch = new Scratch();
  using scene = new Scene();
  const { path } = scene.store.add("Empty", "");
  const output = scratch.file("target", "old");
  await scene.restore({ revision: path, output, update: true });
  assertEquals(Deno.statSync(output).size, 0);
});
