import { BackyError, ChunkCorruptError, ChunkMissingError, OsError } from "../../lib/errors.ts";
import type { Image } from "../../lib/image_access/image.ts";
import { DirtyChunks } from "../../lib/image_access/dirty_chunks.ts";
import { PagePool } from "../../lib/pages/page_pool.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { type Random, randomFrom } from "../support/random.ts";
import { fakeId, isSame, nextTurn } from "../pages/fake_chunks.ts";
import { FakeImages, modelOf, readOut } from "./fake_images.ts";

const C = CHUNK_BYTES;

function bytesOf(value: number, length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length).fill(value);
}

/** Writes to an image and to its model. */
async function write(image: Image, model: Uint8Array, offset: number, data: Uint8Array) {
  await image.write(offset, data);
  model.set(data, offset);
}

Deno.test("DirtyChunks needs room for a write across a border", () => {
  const pool = new PagePool(0);
  const spill = { store: () => Promise.reject(), load: () => null };
  assertThrows(() => new DirtyChunks({ pool, spill, capacityBytes: 2 * C - 1 }), RangeError);
});

Deno.test("A write is seen as soon as it is acknowledged, across a border and over zeros", async () => {
  const numbers = [0, null, 1];
  const images = new FakeImages();
  const image = images.image("r", numbers);
  const model = modelOf(numbers);
  await write(image, model, C - 100, bytesOf(0xab, 200));
  await write(image, model, 2 * C - 1, bytesOf(0xcd, 2));
  assert(isSame(await readOut(image, 0, 3 * C), model));
  // The chunk is in memory now, so it is written at once.
  assertEquals(image.write(C + 500, bytesOf(0xef, 5)), undefined);
  model.fill(0xef, C + 500, C + 505);
  assert(isSame(await readOut(image, 0, 3 * C), model));
  assertEquals(image.write(0, new Uint8Array()), undefined);
});

Deno.test("A write changes one image, but no other with the same chunk, nor the chunk", async () => {
  const images = new FakeImages();
  const [a, b] = [images.image("a", [0]), images.image("b", [0])];
  await a.write(10, bytesOf(0xab, 10));
  assert(isSame(await readOut(b, 0, C), modelOf([0])));
  assert(isSame(images.chunks.contents.get(fakeId(0))!, modelOf([0])));
});

Deno.test("A write that covers a chunk does not load it", async () => {
  const images = new FakeImages();
  const image = images.image("r", [0, 1, 2], 2 * C + 100);
  await image.write(0, bytesOf(1, C));
  await image.write(2 * C, bytesOf(2, 100));
  assertEquals(images.chunks.loaded, []);
  await image.write(C, bytesOf(3, C - 1));
  assertEquals(images.chunks.loaded, [fakeId(1)]);
  assertEquals(await readOut(image, 2 * C - 1, 2), new Uint8Array([modelOf([1])[C - 1]!, 2]));
});

Deno.test("Changed chunks beyond the bound are stored, read back and changed again", async () => {
  const numbers = [0, 1, 2, 3, 4, 5];
  const images = new FakeImages({ dirtyPages: 2 });
  const image = images.image("r", numbers);
  const model = modelOf(numbers);
  for (let round = 0; round < 2; round++) {
    for (let seq = 0; seq < numbers.length; seq++) {
      await write(image, model, seq * C + 1000 + round, bytesOf(16 * round + seq, 500));
    }
    assertEquals(images.dirty.count, 2);
    assert(isSame(await readOut(image, 0, 6 * C), model));
  }
  assert(images.pool.allocatedBytes <= 11 * C);
});

Deno.test("The least recently used chunk is stored first", async () => {
  const images = new FakeImages({ dirtyPages: 2 });
  const image = images.image("r", [0, 1, 2]);
  await image.write(0, bytesOf(1, 1));
  await image.write(C, bytesOf(1, 1));
  await readOut(image, 0, 1);
  await image.write(2 * C, bytesOf(1, 1));
  // Chunk 0 is still in memory, so it is written at once.
  assertEquals(image.write(0, bytesOf(2, 1)), undefined);
  assert(image.write(C, bytesOf(2, 1)) instanceof Promise);
  await nextTurn();
});

Deno.test("A chunk that is written to while it is being stored keeps the new bytes", async () => {
  const images = new FakeImages({ dirtyPages: 2 });
  const [a, b] = [images.image("a", [0, 1]), images.image("b", [2])];
  const model = modelOf([0, 1]);
  await write(a, model, 0, bytesOf(1, 1));
  await write(a, model, C, bytesOf(1, 1));
  const steps: (() => void)[] = [];
  images.chunks.pause = () => new Promise((resolve) => steps.push(resolve));
  const other = b.write(0, bytesOf(1, C)) as Promise<void>;
  while (steps.length === 0) await nextTurn();
  // The first chunk of a is being stored: write to it before it is copied, and after that.
  await write(a, model, 5, bytesOf(2, 1));
  steps.shift()!();
  while (steps.length === 0) await nextTurn();
  await write(a, model, 6, bytesOf(3, 1));
  images.chunks.pause = () => Promise.resolve();
  steps.shift()!();
  await other;
  assert(isSame(await readOut(a, 0, 2 * C), model));
});

Deno.test("A full spill store fails writes with its error, and loses nothing", async () => {
  const numbers = [0, 1, 2, 3];
  const images = new FakeImages({ dirtyPages: 2 });
  const image = images.image("r", numbers);
  const model = modelOf(numbers);
  await write(image, model, 5, bytesOf(1, 10));
  await write(image, model, C + 5, bytesOf(2, 10));
  images.chunks.shouldFail = () => true;
  const error = await assertRejects(
    async () => await image.write(2 * C - 5, bytesOf(3, 10)),
    OsError,
  );
  assertEquals(error.errnoName, "ENOSPC");
  assertEquals(images.lines.length, 1);
  // Chunks in memory can still be written to.
  await write(image, model, 6, bytesOf(4, 1));
  images.chunks.shouldFail = () => false;
  assert(isSame(await readOut(image, 0, 4 * C), model));
  await write(image, model, 3 * C - 5, bytesOf(3, 10));
  assert(isSame(await readOut(image, 0, 4 * C), model));
});

Deno.test("A write to a chunk that cannot be read fails and changes nothing", async () => {
  const images = new FakeImages();
  const image = images.image("r", [0, 1]);
  images.chunks.contents.delete(fakeId(1));
  for (let round = 0; round < 10; round++) {
    await assertRejects(async () => await image.write(C - 1, bytesOf(1, 2)), ChunkMissingError);
  }
  assert(isSame(await readOut(image, 0, C), modelOf([0])));
  assertEquals(images.lines.length, 1);
  // The pages of the failed writes were reused.
  assert(images.pool.allocatedBytes <= 6 * C);
  await image.write(C, bytesOf(7, C));
  assertEquals(await readOut(image, C, 1), bytesOf(7, 1));
});

Deno.test("A chunk whose id has a damaged file stays in memory, others are stored instead", async () => {
  const numbers = [0, 1, 2, 3];
  const images = new FakeImages({ dirtyPages: 2 });
  const image = images.image("r", numbers);
  const model = modelOf(numbers);
  const fields = { chunkId: "", seqs: [], path: "", reason: "hash" as const };
  const store = images.chunks.store.bind(images.chunks);
  images.chunks.store = (page, bytes) => {
    if (page.bytes[0] === 0xbb) return Promise.reject(new ChunkCorruptError("damaged", fields));
    return store(page, bytes);
  };
  await write(image, model, 0, bytesOf(0xbb, 1));
  for (let seq = 1; seq < 4; seq++) await write(image, model, seq * C, bytesOf(1, 1));
  assert(isSame(await readOut(image, 0, 4 * C), model));
  // If all are like that, the write fails.
  await write(image, model, 3 * C, bytesOf(0xbb, 1));
  await assertRejects(async () => await image.write(C, bytesOf(1, 1)), ChunkCorruptError);
  // It succeeds when one has changed.
  await write(image, model, 0, bytesOf(0, 1));
  await write(image, model, C, bytesOf(1, 1));
  assert(isSame(await readOut(image, 0, 4 * C), model));
});

Deno.test("A write longer than a chunk takes place in several steps", async () => {
  const numbers = [0, 1, 2, 3];
  const images = new FakeImages({ dirtyPages: 2 });
  const image = images.image("r", numbers);
  const model = modelOf(numbers);
  await write(image, model, C - 7, bytesOf(9, 2 * C + 100));
  assert(isSame(await readOut(image, 0, 4 * C), model));
});

interface Target {
  readonly image: Image;
  readonly model: Uint8Array;
}

/**
 * Starts a few writes at once and waits for them; the model gets those that did not fail, in order.
 */
async function writeSome({ image, model }: Target, random: Random): Promise<void> {
  const writes = Array.from({ length: 1 + random(3) }, () => {
    const length = random(4) === 0 ? 1 + random(C + 1000) : 1 + random(5000);
    const near = random(2) ? random(model.length) : C * random(5) + C - random(5000) - 1;
    const offset = Math.min(near, model.length - 1);
    const data = bytesOf(random(256), Math.min(length, model.length - offset));
    return { offset, data, done: Promise.resolve(image.write(offset, data)) };
  });
  const results = await Promise.allSettled(writes.map(({ done }) => done));
  results.forEach((result, index) => {
    const { offset, data } = writes[index]!;
    if (result.status === "fulfilled") model.set(data, offset);
    else if (!(result.reason instanceof BackyError)) throw result.reason;
  });
}

async function readSome({ image, model }: Target, random: Random): Promise<void> {
  const offset = random(model.length);
  const length = random(3) === 0 ? random(2 * C) : random(200_000);
  try {
    const bytes = await readOut(image, offset, length);
    assert(isSame(bytes, model.subarray(offset, offset + length)), `${offset} + ${length}`);
  } catch (error) {
    if (!(error instanceof BackyError)) throw error;
  }
}

for (const seed of [1, 2]) {
  Deno.test(`Random reads and writes agree with a model, with failures (seed ${seed})`, async () => {
    const random = randomFrom(seed);
    const images = new FakeImages({ cachePages: 2, dirtyPages: 2, aheadChunks: 1 });
    const tables: [(number | null)[], number][] = [
      [[0, 1, null, 2, 3], 4 * C + 12345],
      [[0, 4, 1, null], 4 * C],
    ];
    const targets = tables.map(([numbers, size], index): Target => ({
      image: images.image(`r${index}`, numbers, size),
      model: modelOf(numbers, size),
    }));
    images.chunks.pause = () => random(3) === 0 ? nextTurn() : Promise.resolve();
    images.chunks.shouldFail = () => random(8) === 0;
    for (let round = 0; round < 24; round++) {
      await Promise.all(targets.map((target) => writeSome(target, random)));
      await Promise.all([0, 1, 2, 3].map((index) => readSome(targets[index % 2]!, random)));
    }
    images.chunks.shouldFail = () => false;
    for (const { image, model } of targets) {
      assert(isSame(await readOut(image, 0, model.length), model));
    }
    assert(images.dirty.count <= 2);
  });
}
