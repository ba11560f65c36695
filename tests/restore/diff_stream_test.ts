import { TargetError } from "../../lib/errors.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { assertBytes, dataBytesOf, fill } from "../support/bytes.ts";
import { applyRbdDiff, readRbdDiff } from "../support/rbd_diff.ts";
import { LoopDevice, loopDeviceProblem, testUnless } from "../support/machine.ts";
import { CHUNK_BYTES, GRANULE_BYTES, Scene } from "./scene.ts";

const GIB = 2 ** 30;

/** Images by their letters, and what they lack to whole chunks. */
const FULL: readonly [letters: string, missing: number][] = [
  ["aB..0cBa.d", 0],
  ["aB..0cBa.D", 1_000_001],
  ["..aB", 5],
  ["aB..", 5],
  ["....", 77],
  ["a", CHUNK_BYTES - 1],
  ["", 0],
];

for (const [letters, missing] of FULL) {
  Deno.test(`restore() streams records of all of an image: "${letters}" less ${missing}`, async () => {
    using scene = new Scene();
    const size = letters.length * CHUNK_BYTES - missing;
    const { path, image } = scene.store.add("Revision", letters, { size });
    for (const threads of [1, 3]) {
      const { bytes, report } = await scene.stream({ revision: path, format: "rbd-diff", threads });
      for (const before of [new Uint8Array(0), fill(size), fill(size + 1), fill(size >> 1)]) {
        assertBytes(applyRbdDiff(bytes, before), image);
      }
      const { records } = readRbdDiff(bytes);
      const sum = (isZero: boolean) =>
        records.reduce(
          (all, { data, length }) => all + ((data === null) === isZero ? length : 0),
          0,
        );
      // Zeros within chunks become records of zeros too; the records cover everything.
      assertEquals([sum(false), sum(true)], [dataBytesOf(image), size - dataBytesOf(image)]);
      assertEquals([report.dataBytes + report.zeroBytes, report.imageBytes], [size, size]);
      assert(records.every(({ data, length }) => data === null || length <= CHUNK_BYTES));
    }
  });
}

/**
 * A base and an image; the ranges that the records of the difference touch, in seqs of the image.
 */
const DIFFERENCES: Readonly<
  Record<string, { base: [string, number]; image: [string, number]; touched: readonly number[] }>
> = {
  "nothing": { base: ["aB.0c", 9], image: ["aB.0c", 9], touched: [] },
  "data and zeros": { base: ["abc.0ef", 0], image: ["aBc0.0.", 0], touched: [1, 5, 6] },
  "a growing image": { base: ["aB", 0], image: ["aB.c.", 7], touched: [2, 3, 4] },
  "an image that grows within a chunk": { base: ["aB", 9], image: ["aB", 0], touched: [1] },
  "a shrinking image": { base: ["aBc.", 0], image: ["aX", 0], touched: [1] },
  "an image that shrinks within a chunk": { base: ["abc", 0], image: ["ab", 333], touched: [1] },
  "an image that shrinks to nothing": { base: ["abc", 0], image: ["", 0], touched: [] },
};

for (const [name, { base: from, image: to, touched }] of Object.entries(DIFFERENCES)) {
  Deno.test(`restore() streams records of what differs from a base: ${name}`, async () => {
    using scene = new Scene();
    const add = (name: string, [letters, missing]: [string, number]) =>
      scene.store.add(name, letters, { size: letters.length * CHUNK_BYTES - missing });
    const base = add("Base", from), { path, image } = add("Revision", to);
    const options = { revision: path, base: base.path, format: "rbd-diff" } as const;
    const { bytes, report } = await scene.stream(options);
    assertBytes(applyRbdDiff(bytes, base.image), image);
    const { imageBytes, records } = readRbdDiff(bytes);
    assertEquals(imageBytes, image.length);
    const seqs = records.flatMap(({ offset, length }) => {
      const last = Math.floor((offset + length - 1) / CHUNK_BYTES);
      const first = Math.floor(offset / CHUNK_BYTES);
      return Array.from({ length: last - first + 1 }, (_, at) => first + at);
    });
    assertEquals([...new Set(seqs)], touched);
    assertEquals(report.keptSeqs, to[0].length - touched.length);
    assertEquals(report.writtenBytes, report.imageBytes - report.keptBytes);
  });
}

Deno.test("restore() splits records of zeros at 1 GiB", async () => {
  using scene = new Scene();
  const letters = ".".repeat(300) + "a" + ".0".repeat(300);
  const { path } = scene.store.add("Revision", letters.slice(0, 1), { size: 1 });
  // The image itself would need its size of memory.
  const { ids } = scene.store.add("Chunk", "a");
  const mapping = { "300": ids[0] };
  const size = letters.length * CHUNK_BYTES - 100;
  Deno.writeTextFileSync(path, JSON.stringify({ mapping, size }));
  const { bytes } = await scene.stream({ revision: path, format: "rbd-diff" });
  const { imageBytes, records } = readRbdDiff(bytes);
  assertEquals(imageBytes, size);
  const middle = 300 * CHUNK_BYTES;
  const behind = middle + CHUNK_BYTES;
  assertEquals(records.map(({ offset, length, data }) => [offset, length, data === null]), [
    [0, GIB, true],
    [GIB, middle - GIB, true],
    [middle, CHUNK_BYTES, false],
    [behind, GIB, true],
    [behind + GIB, GIB, true],
    [behind + 2 * GIB, size - behind - 2 * GIB, true],
  ]);
});

Deno.test("restore() makes separate records of zeros within a chunk", async () => {
  using scene = new Scene();
  const { path } = scene.store.add("Revision", "B");
  const { bytes } = await scene.stream({ revision: path, format: "rbd-diff" });
  const granules = readRbdDiff(bytes).records.map(({ offset, length, data }) =>
    [offset / GRANULE_BYTES, length / GRANULE_BYTES, data === null] as const
  );
  assertEquals<unknown>(granules, [
    [0, 2, true],
    [2, 18, false],
    [20, 10, true],
    // Only whole granules of the zeros that begin and end within granules.
    [30, 10, false],
    [40, 5, true],
    [45, 15, false],
    [60, 4, true],
  ]);
});

Deno.test("restore() does not write records to a file", async () => {
  using scene = new Scene();
  const { path } = scene.store.add("Revision", "a");
  const absent = scene.file(), present = scene.file(fill(10));
  for (const output of [absent, present]) {
    for (const base of [undefined, path]) {
      const refused = () => scene.restore({ revision: path, output, base, format: "rbd-diff" });
      const error = await assertRejects(refused, TargetError);
      assertEquals(
        error.message,
        `Cannot restore to "${output}": a diff is a stream, for a pipe or standard output only`,
      );
    }
  }
  assertThrows(() => Deno.statSync(absent), Deno.errors.NotFound);
  assertEquals(Deno.readFileSync(present), fill(10));
  const { report } = await scene.restore({
    revision: path,
    output: "/dev/null",
    format: "rbd-diff",
  });
  assertEquals(report.writtenBytes, CHUNK_BYTES);
});

testUnless(loopDeviceProblem(), "restore() streams no records to a device", async () => {
  using scene = new Scene();
  using device = new LoopDevice(2 * CHUNK_BYTES);
  const { path } = scene.store.add("Revision", "a");
  const options = { revision: path, output: device.path, format: "rbd-diff" } as const;
  await assertRejects(() => scene.restore(options), TargetError, "a diff is a stream");
  assertBytes(device.read(), fill(device.bytes));
});

Deno.test("restore() needs the first chunk of a stream too", async () => {
  using scene = new Scene();
  const { path, ids } = scene.store.add("Revision", ".a");
  Deno.removeSync(scene.store.chunkFile(ids[1]));
  const failing = () => scene.restore({ revision: path, format: "rbd-diff" });
  await assertRejects(failing, Error, "there is no file");
});
