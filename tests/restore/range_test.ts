import { ChunkCorruptError, ChunkMissingError, TargetError, UsageError } from "../../lib/errors.ts";
import type { RestoreOptions } from "../../lib/restore/restore.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { gptImage } from "../image/table_builder.ts";
import { assertBytes, fill, isFilled, patch, patched } from "../support/bytes.ts";
import { allocatedBytes, LoopDevice, loopDeviceProblem, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import type { StoredRevision } from "../support/test_store.ts";
import { damageChunk } from "./damage_kinds.ts";
import { CHUNK_BYTES, GRANULE_BYTES, Scene } from "./scene.ts";

const SIZE = 6 * CHUNK_BYTES + 1_000_001;

let scene: Scene;
let revision: StoredRevision;
Deno.test.beforeAll(() => {
  scene = new Scene();
  revision = scene.store.add("Revision", "aB..a0d", { size: SIZE, isLastFull: true });
});
Deno.test.afterAll(() => scene[Symbol.dispose]());

/** Ranges by their first byte and the one behind their last. */
const RANGES: Readonly<Record<string, readonly [start: number, end: number]>> = {
  "the whole image": [0, SIZE],
  "one byte at the start": [0, 1],
  "one byte at the end": [SIZE - 1, SIZE],
  "whole chunks": [CHUNK_BYTES, 3 * CHUNK_BYTES],
  "from within a chunk to within another": [CHUNK_BYTES - 12_345, 4 * CHUNK_BYTES + 54_321],
  "within a granule of data": [10 * GRANULE_BYTES + 3, 10 * GRANULE_BYTES + 1003],
  "within a granule of zeros": [
    CHUNK_BYTES + 25 * GRANULE_BYTES + 1,
    CHUNK_BYTES + 25 * GRANULE_BYTES + 9001,
  ],
  "from one granule of zeros to another": [
    CHUNK_BYTES + 21 * GRANULE_BYTES + 7,
    CHUNK_BYTES + 28 * GRANULE_BYTES + 7,
  ],
  "from zeros to data of a chunk": [CHUNK_BYTES + 5000, CHUNK_BYTES + 3 * GRANULE_BYTES + 5000],
  "within zeros that are not mapped": [2 * CHUNK_BYTES + 4097, 4 * CHUNK_BYTES - 4097],
  "within zeros that are mapped": [5 * CHUNK_BYTES + 1, 5 * CHUNK_BYTES + 100_000],
  "a part of two seqs of a chunk": [4096, 5 * CHUNK_BYTES - 4096],
  "from within the last chunk to its end": [6 * CHUNK_BYTES + 999_999, SIZE],
};

/** What the target holds before: nothing of the image. */
const OLD = 0xaa;

/** A target that had some bytes, and its content after a range was restored to it. */
function expected(oldBytes: number, [start, end]: readonly [number, number]) {
  const content = new Uint8Array(Math.max(oldBytes, end)).fill(OLD, 0, oldBytes);
  content.set(revision.image.subarray(start, end), start);
  return content;
}

function restore(options: Partial<RestoreOptions>) {
  return scene.restore({ revision: revision.path, ...options });
}

for (const [name, range] of Object.entries(RANGES)) {
  const [start, end] = range;
  const asked = { offset: start, length: end - start };
  // One worker: the tests of devices have several.
  Deno.test(`restore() of a range touches nothing else of a file: ${name}`, async () => {
    for (const oldBytes of [null, 0, Math.floor((start + end) / 2), SIZE + 10]) {
      for (const how of [{}, { sparse: "never" }, { update: true }] as const) {
        const output = scene.file(oldBytes === null ? undefined : fill(oldBytes, OLD));
        const { report } = await restore({ output, range: asked, threads: 1, ...how });
        assertBytes(Deno.readFileSync(output), expected(oldBytes ?? 0, range));
        assertEquals(report.dataBytes + report.zeroBytes, end - start);
        assertEquals(report.extent, { start, end, targetStart: start });
        Deno.removeSync(output);
      }
    }
  });

  Deno.test(`restore() streams just the range: ${name}`, async () => {
    const { bytes, report } = await scene.stream({ revision: revision.path, range: asked });
    assertBytes(bytes, revision.image.subarray(start, end));
    assertEquals(report.writtenBytes, end - start);
  });
}

for (const sectorBytes of [512, 4096]) {
  testUnless(
    loopDeviceProblem(),
    `restore() of a range touches nothing else of a device (${sectorBytes}-byte sectors)`,
    async () => {
      using device = new LoopDevice(7 * CHUNK_BYTES, { sectorBytes });
      const content = device.read();
      for (const [start, end] of Object.values(RANGES)) {
        for (const how of [{}, { sparse: "never" }, { update: true }] as const) {
          const old = fill(Math.min(20_000, end), OLD), oldStart = Math.max(0, start - 10_000);
          patch(device.path, oldStart, old);
          content.set(old, oldStart);
          content.set(revision.image.subarray(start, end), start);
          await restore({
            output: device.path,
            range: { offset: start, length: end - start },
            ...how,
          });
          assertBytes(device.read(), content);
        }
      }
    },
  );
}

Deno.test("restore() of a range without a length goes to the end of the image", async () => {
  const output = scene.file();
  const start = 5 * CHUNK_BYTES + 17;
  await restore({ output, range: { offset: start, length: null } });
  assertBytes(Deno.readFileSync(output), expected(0, [start, SIZE]));
  assert(allocatedBytes(output) < 2 * CHUNK_BYTES, "what lies before has storage");
});

Deno.test("restore() of a range of a file makes holes for zeros, even if told to trust them", async () => {
  const [start, end] = [CHUNK_BYTES, 3 * CHUNK_BYTES + 5];
  for (const sparse of ["auto", "always"] as const) {
    const output = scene.file(fill(SIZE, OLD));
    await restore({ output, range: { offset: start, length: end - start }, sparse });
    const before = fill(SIZE, OLD);
    assertBytes(
      Deno.readFileSync(output),
      patched(before, start, revision.image.subarray(start, end)),
    );
  }
});

testUnless(
  loopDeviceProblem(),
  "restore() of a range of a device trusts zeros only if told to",
  async () => {
    const [start, end] = [CHUNK_BYTES, 3 * CHUNK_BYTES + 5];
    using device = new LoopDevice(SIZE + 512 - SIZE % 512);
    const range = { offset: start, length: end - start };
    await restore({ output: device.path, range, sparse: "always" });
    const content = device.read();
    assert(isFilled(content.subarray(2 * CHUNK_BYTES, end), 0xaa));
    assertBytes(content.subarray(0, start), fill(start, 0xaa));
  },
);

Deno.test("restore() refuses a range that is not within the image", async () => {
  const ranges: [number, number | null][] = [[SIZE, 1], [SIZE, null], [0, SIZE + 1], [SIZE - 1, 2]];
  for (const [offset, length] of ranges) {
    const output = scene.file();
    const refused = () => restore({ output, range: { offset, length } });
    await assertRejects(refused, UsageError, `the image has ${SIZE} bytes`);
    assertThrows(() => Deno.statSync(output), Deno.errors.NotFound);
  }
});

Deno.test("restore() refuses two parts at once, and a diff of a part", async () => {
  const range = { offset: 0, length: 1 }, format = "rbd-diff";
  for (
    const how of [{ range, partition: 1 }, { range, format }, { partition: 1, format }] as const
  ) {
    await assertRejects(() => restore(how), UsageError);
  }
});

const MIB = 1_048_576;
const SFDISK = {
  dos: "label: dos\n,4M,83,*\n,,5\n,8M,83\n,,83\n",
  gpt: 'label: gpt\nsize=4M,type=L,name="root"\nsize=5M,type=L\n9: type=S\n',
};

/** An image that sfdisk partitioned, with data in all of its bytes but those of the tables. */
function partitionedImage(scene: Scene, label: keyof typeof SFDISK) {
  const plain = scene.store.add(`Plain_${label}`, "abcdefgh").image;
  const path = scene.file(plain);
  // Removes what would be taken for a table.
  patch(path, 0, new Uint8Array(MIB));
  patch(path, plain.length - MIB, new Uint8Array(MIB));
  runSync(
    "bash",
    "-c",
    `printf '%s' '${SFDISK[label]}' | sfdisk -q --no-reread --no-tell-kernel '${path}'`,
  );
  const { partitiontable } = JSON.parse(runSync("sfdisk", "--json", path));
  const table: { node: string; start: number; size: number }[] = partitiontable.partitions;
  const partitions = table.map(({ node, start, size }) => ({
    number: Number(node.slice(path.length).replace("p", "")),
    start: start * 512,
    end: (start + size) * 512,
  }));
  return { image: Deno.readFileSync(path), partitions };
}

for (const label of ["dos", "gpt"] as const) {
  testUnless(
    programProblem("sfdisk"),
    `restore() brings each partition to the target's start (${label})`,
    async () => {
      using scene = new Scene();
      const { image, partitions } = partitionedImage(scene, label);
      const { path } = scene.store.addImage("Revision", image);
      const extended = label === "dos" ? 1 : 0;
      assert(partitions.length === 3 + extended, JSON.stringify(partitions));
      for (const { number, start, end } of partitions) {
        // An extended partition cannot be restored.
        if (label === "dos" && number === 2) continue;
        const part = image.subarray(start, end);
        const output = scene.file(fill(end - start + 5));
        const { report } = await scene.restore({ revision: path, output, partition: number });
        assertBytes(Deno.readFileSync(output), part);
        assertEquals(report.extent, { start, end, targetStart: 0 });
        const { bytes } = await scene.stream({ revision: path, partition: number });
        assertBytes(bytes, part);
        patch(output, 77, fill(1));
        const update = {
          revision: path,
          output,
          partition: number,
          update: true,
          verifyTarget: true,
        };
        const { report: updated } = await scene.restore(update);
        assertBytes(Deno.readFileSync(output), part);
        assertEquals(updated.rewrittenBytes, 0);
        assert(updated.writtenBytes <= CHUNK_BYTES);
      }
      const output = scene.file();
      const refused = () => scene.restore({ revision: path, output, partition: 77 });
      await assertRejects(refused, UsageError, "Cannot find partition 77");
      assertThrows(() => Deno.statSync(output), Deno.errors.NotFound);
    },
  );
}

testUnless(
  loopDeviceProblem(),
  "restore() brings a partition to a device's start, and no further",
  async () => {
    using scene = new Scene();
    // The boundaries are inside sectors of the device, and there are zeros at both ends.
    const [first, last] = [2048n + 1n, 2048n + 10_000n];
    const fake = gptImage(4 * CHUNK_BYTES, [{ number: 3, first, last }]);
    const plain = scene.store.add("Plain", "ABab").image.slice();
    for (const [offset, piece] of fake.pieces) plain.set(piece, offset);
    const { path } = scene.store.addImage("Revision", plain);
    const [start, end] = [Number(first) * 512, Number(last + 1n) * 512];
    for (const sectorBytes of [512, 4096]) {
      for (const sparse of ["auto", "never"] as const) {
        using device = new LoopDevice(2 * CHUNK_BYTES, { sectorBytes });
        await scene.restore({ revision: path, output: device.path, partition: 3, sparse });
        assertBytes(device.read(), patched(fill(device.bytes), 0, plain.subarray(start, end)));
      }
    }
    using small = new LoopDevice(MIB);
    const refused = () => scene.restore({ revision: path, output: small.path, partition: 3 });
    await assertRejects(refused, TargetError, "the image needs");
  },
);

Deno.test("restore() takes the chunks of the partition table from any directory", async () => {
  using scene = new Scene();
  const other = scene.addStore("other");
  const fake = gptImage(3 * CHUNK_BYTES, [{ number: 1, first: 9000n, last: 9007n }]);
  const plain = scene.store.add("Plain", "abc").image.slice();
  for (const [offset, piece] of fake.pieces) plain.set(piece, offset);
  const { path, ids } = scene.store.addImage("Revision", plain);
  other.addImage("Revision", plain);
  const output = scene.file();
  const options = { revision: path, output, partition: 1 };
  damageChunk(scene.store.chunkFile(ids[0]), "hash");
  const error = await assertRejects(() => scene.restore(options), ChunkCorruptError);
  assertEquals(error.seqs, [0]);
  assertThrows(() => Deno.statSync(output), Deno.errors.NotFound);
  // Zeros in its place would be read as another table.
  await assertRejects(() => scene.restore({ ...options, onError: "zero" }), ChunkCorruptError);
  await assertRejects(() => scene.restore({ ...options, verify: false }), ChunkCorruptError);
  const { report } = await scene.restore({ ...options, also: [other.basedir] });
  assertBytes(Deno.readFileSync(output), plain.subarray(9000 * 512, 9008 * 512));
  assertEquals(report.badRanges, []);
  damageChunk(scene.store.chunkFile(ids[0]), "missing");
  await assertRejects(() => scene.restore(options), ChunkMissingError);
});

Deno.test("restore() finds no partition in an image without a table", async () => {
  using scene = new Scene();
  const { path } = scene.store.add("Zeros", "..");
  const refused = () => scene.restore({ revision: path, partition: 1, output: scene.file() });
  await assertRejects(refused, UsageError, "the image has no partition table");
});
