import { RevisionError, TargetError, UsageError } from "../../lib/errors.ts";
import { OpenFlag } from "../../lib/linux/files.ts";
import type { RestoreOptions } from "../../lib/restore/restore.ts";
import { assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { LoopDevice, loopDeviceProblem, makeFifo, testUnless } from "../support/machine.ts";
import { bootRecord } from "../image/table_builder.ts";
import { assertBytes, dataBytesOf, fill, patch, patched } from "../support/bytes.ts";
import { type RevisionOptions, type StoredRevision } from "../support/test_store.ts";
import { CHUNK_BYTES, Scene } from "./scene.ts";

/** An image by its letters and by what it lacks to whole chunks. */
interface Shape {
  readonly letters: string;
  readonly missing?: number;
  readonly isLastFull?: boolean;
}

/** Two images, and the seqs at which the target is left as it is. */
interface Case {
  readonly base: Shape;
  readonly image: Shape;
  readonly kept: readonly number[];
}

const CASES: Readonly<Record<string, Case>> = {
  "the same": {
    base: { letters: "aB.0c", missing: 9 },
    image: { letters: "aB.0c", missing: 9 },
    kept: [0, 1, 2, 3, 4],
  },
  "other chunks, data and zeros": {
    base: { letters: "abc.0ef" },
    image: { letters: "aBc0.0." },
    kept: [0, 2, 3, 4],
  },
  "the same chunks at other seqs": {
    base: { letters: "ab.cc" },
    image: { letters: "bac.c" },
    kept: [4],
  },
  "a larger image": {
    base: { letters: "aB." },
    image: { letters: "aB.c." },
    kept: [0, 1, 2],
  },
  "a larger image behind a short last chunk": {
    base: { letters: "ab", missing: 1000 },
    image: { letters: "abc" },
    kept: [0],
  },
  "a larger image behind a last chunk whose file goes on": {
    base: { letters: "ab", missing: 1000, isLastFull: true },
    image: { letters: "abc" },
    kept: [0],
  },
  "a larger image behind zeros that end within a chunk": {
    base: { letters: "a.", missing: 5 },
    image: { letters: "a.b" },
    kept: [0],
  },
  "a smaller image": {
    base: { letters: "aBc.0" },
    image: { letters: "aBd" },
    kept: [0, 1],
  },
  "a smaller image that ends within a chunk": {
    base: { letters: "abc" },
    image: { letters: "ab", missing: 3333 },
    kept: [0],
  },
  "a smaller image that ends within a chunk whose file goes on": {
    base: { letters: "abc" },
    image: { letters: "ab", missing: 3333, isLastFull: true },
    kept: [0, 1],
  },
  "a smaller image that ends within zeros": {
    base: { letters: "a0c" },
    image: { letters: "a.", missing: 3333 },
    kept: [0, 1],
  },
  "nothing before": { base: { letters: "" }, image: { letters: "a.B" }, kept: [] },
  "nothing after": { base: { letters: "ab" }, image: { letters: "" }, kept: [] },
};

/**
 * What the target has where it is to be left alone. A restore that read it would not leave it.
 */
const POISON = 0x5a;

function sizeOf({ letters, missing = 0 }: Shape): number {
  return letters.length * CHUNK_BYTES - missing;
}

function add(scene: Scene, name: string, shape: Shape, store = scene.store): StoredRevision {
  const { letters, isLastFull = false } = shape;
  const options: RevisionOptions = { size: sizeOf(shape), isLastFull };
  return store.add(name, letters, options);
}

/** Poisons what is to be left alone. */
function withPoison(image: Uint8Array, kept: readonly number[], bytes: number) {
  const result = new Uint8Array(image);
  for (const seq of kept) {
    result.fill(POISON, seq * CHUNK_BYTES, Math.min((seq + 1) * CHUNK_BYTES, bytes));
  }
  return result;
}

/** Sums up a few numbers of each seq of an image. */
function bytesAt(
  image: Uint8Array,
  seqs: readonly number[],
  of = (part: Uint8Array) => part.length,
) {
  return seqs.reduce(
    (sum, seq) => sum + of(image.subarray(seq * CHUNK_BYTES, (seq + 1) * CHUNK_BYTES)),
    0,
  );
}

for (const [name, { base: baseShape, image: shape, kept }] of Object.entries(CASES)) {
  Deno.test(`restore() with a base touches what differs: ${name}`, async () => {
    using scene = new Scene();
    const base = add(scene, "Base", baseShape);
    const { path, image } = add(scene, "Revision", shape);
    const before = withPoison(base.image, kept, base.image.length);
    for (const sparse of ["auto", "never", "always"] as const) {
      const output = scene.file(before);
      const { report } = await scene.restore({ revision: path, base: base.path, output, sparse });
      assertBytes(Deno.readFileSync(output), withPoison(image, kept, image.length));
      const others = [...shape.letters].map((_, seq) => seq).filter((seq) => !kept.includes(seq));
      assertEquals([report.keptSeqs, report.keptBytes], [kept.length, bytesAt(image, kept)]);
      const written = sparse === "never"
        ? bytesAt(image, others)
        : bytesAt(image, others, dataBytesOf);
      assertEquals(report.writtenBytes, written);
      assertEquals(report.readBytes === 0, report.dataSeqs === 0);
    }
  });
}

testUnless(
  loopDeviceProblem(),
  "restore() with a base touches what differs on a device",
  async () => {
    for (const { base: baseShape, image: shape, kept } of Object.values(CASES).slice(1, 8)) {
      using scene = new Scene();
      using device = new LoopDevice(6 * CHUNK_BYTES + 2 * CHUNK_BYTES, { sectorBytes: 4096 });
      const base = add(scene, "Base", baseShape);
      const { path, image } = add(scene, "Revision", shape);
      const before = withPoison(base.image, kept, base.image.length);
      patch(device.path, 0, before);
      await scene.restore({ revision: path, base: base.path, output: device.path });
      const expected = patched(fill(device.bytes), 0, before);
      expected.set(withPoison(image, kept, image.length));
      assertBytes(device.read(), expected);
    }
  },
);

Deno.test("restore() with a base does not open the target for reading", async () => {
  using scene = new Scene();
  const { path, image } = scene.store.add("Revision", "ab");
  const modes = async (options: Partial<RestoreOptions>) => {
    const output = scene.file(image);
    let flags = -1;
    await scene.restore({
      revision: path,
      output,
      ...options,
      onEvent(event) {
        if (event.type === "restoring") flags = flagsOf(output);
      },
    });
    return flags & (OpenFlag.O_RDWR | OpenFlag.O_WRONLY);
  };
  assertEquals(await modes({ base: path }), OpenFlag.O_WRONLY);
  assertEquals(await modes({}), OpenFlag.O_WRONLY);
  assertEquals(await modes({ update: true }), OpenFlag.O_RDWR);
  assertEquals(await modes({ base: path, verifyTarget: true }), OpenFlag.O_RDWR);
});

/** How this process has a file open. */
function flagsOf(path: string): number {
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      if (Deno.readLinkSync(`/proc/self/fd/${name}`) !== path) continue;
    } catch {
      continue; // the descriptor of the listing itself
    }
    const info = Deno.readTextFileSync(`/proc/self/fdinfo/${name}`);
    return Number.parseInt(/^flags:\s+(\d+)$/m.exec(info)![1]!, 8);
  }
  throw new Error(`${path} is not open`);
}

Deno.test("restore() takes a base by its name beside the revision, and from another directory", async () => {
  using scene = new Scene();
  const other = scene.addStore("other");
  const { path, image } = scene.store.add("Revision", "aBc");
  const near = scene.store.add("Near", "abc"), far = other.add("Far", "abc");
  for (const [base, held] of [["Near", near], [near.path, near], [far.path, far]] as const) {
    const output = scene.file(withPoison(held.image, [0, 2], held.image.length));
    const { report, events } = await scene.restore({ revision: path, base, output });
    assertBytes(Deno.readFileSync(output), withPoison(image, [0, 2], image.length));
    assertEquals(report.keptSeqs, 2);
    const maps = events.flatMap((event) => event.type === "reading-map" ? [event.path] : []);
    assertEquals(maps, [path, held.path]);
  }
  const output = scene.file(image);
  const missing = () => scene.restore({ revision: path, base: "Missing", output });
  await assertRejects(missing, RevisionError);
  assertBytes(Deno.readFileSync(output), image);
});

Deno.test("restore() does not write over the map of its base", async () => {
  using scene = new Scene();
  const other = scene.addStore("other");
  const { path } = scene.store.add("Revision", "a");
  const base = other.add("Base", "a");
  const output = scene.file();
  Deno.symlinkSync(base.path, output);
  const refused = () => scene.restore({ revision: path, base: base.path, output, force: true });
  await assertRejects(refused, TargetError, "it is the revision");
});

Deno.test("restore() with a base refuses a target that cannot hold it", async () => {
  using scene = new Scene();
  const base = scene.store.add("Base", "aBc");
  const { path, image } = scene.store.add("Revision", "aBd");
  const restore = (output: string) => scene.restore({ revision: path, base: base.path, output });
  const absent = scene.file();
  await assertRejects(() => restore(absent), TargetError, "there is no such file");
  assertThrows(() => Deno.statSync(absent), Deno.errors.NotFound);
  const short = scene.file(base.image.subarray(1));
  const error = await assertRejects(() => restore(short), TargetError);
  assertEquals(
    error.message,
    `Cannot restore to "${short}": it holds ${3 * CHUNK_BYTES - 1} bytes (12 MiB), the base ` +
      `revision ${3 * CHUNK_BYTES} bytes (12 MiB); use --update instead of --base`,
  );
  assertBytes(Deno.readFileSync(short), base.image.subarray(1));
  for (const stream of ["/dev/null", makeFifo(scene.file()), "-"]) {
    await assertRejects(() => restore(stream), TargetError, "this needs a file or block device");
  }
  // A base longer than the image promises no more than the image needs.
  const shorter = scene.store.add("Shorter", "aB");
  const output = scene.file(shorter.image);
  await scene.restore({ revision: shorter.path, base: base.path, output });
  assertBytes(Deno.readFileSync(output), shorter.image);
  assertEquals(image.length, base.image.length);
});

testUnless(
  loopDeviceProblem(),
  "restore() refuses a device that is too small for the base",
  async () => {
    using scene = new Scene();
    const base = scene.store.add("Base", "aB.");
    const { path } = scene.store.add("Revision", "aBcd");
    using device = new LoopDevice(3 * CHUNK_BYTES);
    const refused = () => scene.restore({ revision: path, base: base.path, output: device.path });
    await assertRejects(refused, TargetError, "the image needs");
  },
);

Deno.test("restore() of a range with a base touches what differs within it", async () => {
  using scene = new Scene();
  const base = scene.store.add("Base", "abc.e");
  const { path, image } = scene.store.add("Revision", "aBcd.");
  const start = CHUNK_BYTES - 100, end = 4 * CHUNK_BYTES + 100;
  const range = { offset: start, length: end - start };
  const before = fill(base.image.length, POISON);
  const output = scene.file(before);
  const { report } = await scene.restore({ revision: path, base: base.path, output, range });
  const expected = before.slice();
  const changed: [number, number][] = [[1, 2], [3, 4]];
  for (const [from, to] of changed) {
    expected.set(image.subarray(from * CHUNK_BYTES, to * CHUNK_BYTES), from * CHUNK_BYTES);
  }
  expected.fill(0, 4 * CHUNK_BYTES, end);
  assertBytes(Deno.readFileSync(output), expected);
  assertEquals([report.keptSeqs, report.keptBytes], [2, CHUNK_BYTES + 100]);
});

/** An image with a boot record of one partition, by its first byte and the one behind its last. */
function withPartition(image: Uint8Array, start: number, end: number): Uint8Array<ArrayBuffer> {
  const record = bootRecord({ type: 0x83, start: start / 512, sectors: (end - start) / 512 });
  return patched(image, 0, record);
}

Deno.test("restore() of a partition with a base touches what differs within it", async () => {
  using scene = new Scene();
  const start = 1_048_576, end = 3 * CHUNK_BYTES + 512;
  const old = scene.store.add("Old", "abcde").image, young = scene.store.add("New", "xbCdy").image;
  const base = scene.store.addImage("Base", withPartition(old, start, end));
  const { path, image } = scene.store.addImage("Revision", withPartition(young, start, end));
  const output = scene.file(fill(end - start, POISON));
  const options = { revision: path, base: base.path, output, partition: 1 };
  await scene.restore(options);
  const expected = fill(end - start, POISON);
  expected.set(image.subarray(start, CHUNK_BYTES), 0);
  expected.set(image.subarray(2 * CHUNK_BYTES, 3 * CHUNK_BYTES), 2 * CHUNK_BYTES - start);
  assertBytes(Deno.readFileSync(output), expected);
  const short = scene.file(fill(end - start - 1));
  await assertRejects(() => scene.restore({ ...options, output: short }), TargetError, "it holds");
});

Deno.test("restore() of a partition refuses a base that has it elsewhere", async () => {
  using scene = new Scene();
  const { image } = scene.store.add("Plain", "abc");
  const start = 1_048_576, end = 2 * CHUNK_BYTES;
  const { path } = scene.store.addImage("Revision", withPartition(image, start, end));
  const other = scene.addStore("other");
  const elsewhere: [number, number][] = [[start, end - 512], [start + 512, end], [
    start + 512,
    end + 512,
  ]];
  for (const [at, [from, to]] of elsewhere.entries()) {
    const base = other.addImage(`Base${at}`, withPartition(image, from, to));
    const output = scene.file(fill(end));
    const options = { revision: path, base: base.path, output, partition: 1 };
    const error = await assertRejects(() => scene.restore(options), UsageError);
    assertEquals(
      error.message,
      `Cannot restore partition 1 with that base: there it has bytes ${from} to ${to - 1}, here ` +
        `${start} to ${end - 1}`,
    );
    assertBytes(Deno.readFileSync(output), fill(end));
  }
});

Deno.test("restore() reads back all of the target, including what the base promised", async () => {
  using scene = new Scene();
  const base = scene.store.add("Base", "aBc.0e", { size: 6 * CHUNK_BYTES - 77 });
  const { path, image } = scene.store.add("Revision", "aXc.0e", { size: 6 * CHUNK_BYTES - 77 });
  const options = { revision: path, base: base.path, verifyTarget: true };
  const kept = scene.file(base.image);
  const { report } = await scene.restore({ ...options, output: kept });
  assertBytes(Deno.readFileSync(kept), image);
  assertEquals([report.rewrittenBytes, report.keptSeqs], [0, 5]);
  // A target that does not hold the base, at a chunk, in zeros, and in the last chunk.
  const wrong = base.image.slice();
  for (const at of [5, 3 * CHUNK_BYTES + 5, image.length - 1]) wrong[at]! ^= 0xff;
  const output = scene.file(wrong);
  const { report: healed, events } = await scene.restore({ ...options, output });
  assertBytes(Deno.readFileSync(output), image);
  assertEquals(healed.rewrittenBytes, CHUNK_BYTES + 65_536 + CHUNK_BYTES - 77);
  const rounds = events.flatMap((event) => event.type === "reading-back" ? [event.round] : []);
  assertEquals(rounds, [1, 2]);
});
