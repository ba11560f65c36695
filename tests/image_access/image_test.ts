import { ChunkCorruptError, ChunkMissingError, RevisionError } from "../../lib/errors.ts";
import type { Image, OpenImage } from "../../lib/image_access/image.ts";
import { MapChangedError } from "../../lib/image_access/image_map.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "../assert.ts";
import { fakeContent, fakeId, isSame, join, nextTurn } from "../pages/fake_chunks.ts";
import { FakeImages, modelOf, readOut } from "./fake_images.ts";

const C = CHUNK_BYTES;

Deno.test("Image.read() is exact across chunk borders, over zeros and at the end", async () => {
  const numbers = [0, null, 1, "zero", 2] as const;
  const size = 4 * C + 1234;
  const images = new FakeImages();
  const image = images.image("r", numbers, size);
  const model = modelOf(numbers, size);
  const ranges = [
    [0, 1],
    [C - 1, 2],
    [C - 10, C + 20],
    [2 * C - 1, 1],
    [2 * C - 5, 10],
    [0, size],
    [size - 1, 1],
    [size - 1, 100],
    [4 * C - 1, 5000],
    [size, 1],
    [size + 100, 1],
    [0, 0],
  ] as const;
  for (const [offset, length] of ranges) {
    const bytes = await readOut(image, offset, length);
    assert(isSame(bytes, model.subarray(offset, offset + length)), `${offset} + ${length}`);
  }
});

Deno.test("Image.read() returns at once what is cached or zeros", async () => {
  const images = new FakeImages();
  const image = await images.image("r", [0, null]).open();
  await readOut(image, 0, 1);
  const bytes = image.read(C - 1, 2);
  assert(!(bytes instanceof Promise));
  assertEquals(join(bytes.views), new Uint8Array([fakeContent(0).at(-1)!, 0]));
  bytes.release();
});

Deno.test("Image reads its map once, when it is opened, and not for its size", async () => {
  const images = new FakeImages();
  const image = images.image("r", [0, 1]);
  images.chunks.pause = nextTurn;
  assertEquals(image.size, 2 * C);
  assertEquals(images.mapsRead, []);
  const [open] = await Promise.all([image.open(), image.open()]);
  assertEquals(images.mapsRead, ["r"]);
  await Promise.all([readOut(open!, 0, 1), readOut(open!, C, 1), readOut(open!, 9, 1)]);
  assertEquals(images.mapsRead, ["r"]);
});

Deno.test("Image keeps its map while it is open, and drops it when there is no room", async () => {
  const images = new FakeImages({ idleMapsBytes: 32 });
  const [a, b] = [images.image("a", [0, 1]), images.image("b", [0])];
  const [first, second] = [await a.open(), await a.open()];
  await readOut(first, 0, 1);
  first.close();
  await readOut(second, 0, 1);
  second.close();
  await readOut(await a.open(), 0, 1);
  assertEquals(images.mapsRead, ["a"]);
  a.close();
  const other = await b.open();
  await readOut(other, 0, 1);
  other.close();
  await readOut(a, 0, 1);
  assertEquals(images.mapsRead, ["a", "b", "a"]);
});

Deno.test("Image drops a map that arrives when it is not open", async () => {
  const images = new FakeImages();
  const image = images.image("r", [0]);
  images.chunks.pause = nextTurn;
  await readOut(image, 0, 1);
  await readOut(await image.open(), 0, 1);
  assertEquals(images.mapsRead, ["r", "r"]);
});

Deno.test("Image tries again to read a map after a failure", async () => {
  const images = new FakeImages();
  const image = images.image("r", [0]);
  images.beforeMap = () => {
    throw new RevisionError("Cannot read revision map", { path: "r" });
  };
  await assertRejects(async () => await image.open(), RevisionError);
  assertEquals(images.lines, ['Cannot read revision "r": Cannot read revision map']);
  images.beforeMap = () => {};
  assertEquals((await readOut(image, 0, 10)).length, 10);
});

Deno.test("Images share the pages of common chunks", async () => {
  const images = new FakeImages();
  await readOut(images.image("a", [7, 8]), 0, 2 * C);
  await readOut(images.image("b", [9, 7]), 0, 2 * C);
  assertEquals(images.chunks.loaded, [7, 8, 9].map(fakeId));
});

Deno.test("Image.read() fails where a chunk is missing, and nowhere else, until it is there", async () => {
  const numbers = [0, 1, 2];
  const images = new FakeImages();
  const image = images.image("r", numbers);
  const content = images.chunks.contents.get(fakeId(1))!;
  images.chunks.contents.delete(fakeId(1));
  for (const [offset, length] of [[C, 1], [C - 1, 2], [0, 3 * C]] as const) {
    await assertRejects(async () => await image.read(offset, length), ChunkMissingError);
  }
  assertEquals(images.lines, [
    `Cannot read image bytes ${C} to ${2 * C - 1} (seq 1) of revision "r": ` +
    `Cannot read chunk "${fakeId(1)}": there is no file "x"`,
  ]);
  const model = modelOf(numbers);
  assert(isSame(await readOut(image, 0, C), model.subarray(0, C)));
  assert(isSame(await readOut(image, 2 * C, C), model.subarray(2 * C)));
  images.chunks.contents.set(fakeId(1), content);
  assert(isSame(await readOut(image, 0, 3 * C), model));
  // The failed reads hold no page any more.
  for (const id of numbers.map(fakeId)) {
    const page = images.cache.get({ dir: "/base", id }, 1)!;
    page.release();
    assert(page.isHeldOnce);
  }
});

Deno.test("Image.read() never gives bytes from behind a short chunk's end", async () => {
  const images = new FakeImages();
  const image = images.image("r", [0, 1, 2], 2 * C + 100);
  images.chunks.contents.set(fakeId(1), fakeContent(1, C - 1));
  images.chunks.contents.set(fakeId(2), fakeContent(2, 100));
  for (let round = 0; round < 2; round++) {
    const error = await assertRejects(async () => await image.read(C, 1), ChunkCorruptError);
    assertEquals([error.reason, error.chunkId], ["size", fakeId(1)]);
  }
  assert(isSame(await readOut(image, 2 * C, 1000), fakeContent(2, 100)));
});

Deno.test("Image.read() returns bytes that do not change until they are released", async () => {
  const images = new FakeImages({ cachePages: 2 });
  const image = images.image("r", [0, 1, 2, 3, 4]);
  const held = await image.read(C - 100, 200);
  const before = join(held.views);
  await readOut(image, 2 * C, 3 * C);
  await readOut(image, 2 * C, 3 * C);
  assert(isSame(join(held.views), before));
  held.release();
});

Deno.test("OpenImage.read() loads chunks ahead of a sequential reader, zeros left out", async () => {
  const images = new FakeImages({ cachePages: 8, aheadChunks: 2 });
  const image = images.image("r", [0, null, "zero", 1, 2, 3, 4, 5]);
  const open = await image.open();
  for (let offset = 0; offset < 1024 * 1024; offset += 256 * 1024) {
    await readOut(open, offset, 256 * 1024);
  }
  assertEquals(images.chunks.ahead, [1].map(fakeId));
  await readOut(open, 1024 * 1024, 3 * 1024 * 1024);
  assertEquals(images.chunks.ahead, [1, 2].map(fakeId));
  await nextTurn();
  await readOut(open, C, 2 * C);
  assertEquals(images.chunks.loaded.length, 3);
  // Another program reads here and there.
  const other = await image.open();
  await readOut(other, 7 * C, 4096);
  await readOut(other, 5 * C, 4096);
  assertEquals(images.chunks.ahead, [1, 2].map(fakeId));
});

Deno.test("Image.write() refuses bytes behind the end", () => {
  const image = new FakeImages().image("r", [0], 100);
  assertThrows(() => image.write(99, new Uint8Array(2)), RangeError, "behind the end of 100 bytes");
});

Deno.test("Image.open() refuses a map in another state than the one it stands for", async () => {
  const images = new FakeImages();
  const image = images.image("r", [0]);
  assert(image.map.accept(images.state));
  images.state = { ...images.state, version: "second" };
  await assertRejects(async () => await image.open(), MapChangedError);
  assert(!image.isOpen);
  assertEquals([image.map.accept(images.state), images.lines], [false, []]);
});

Deno.test("Image.open() waits until a map is not being written any more", async () => {
  const images = new FakeImages();
  const image = images.image("r", [0]);
  images.state = { ...images.state, version: "second", isSettled: false };
  const opening = image.open();
  await nextTurn();
  assertEquals(images.mapsRead, []);
  images.state = { ...images.state, isSettled: true };
  await opening;
  assertEquals(images.mapsRead, ["r"]);
});

Deno.test("Image.open() reads a map again if it changed just before it was read", async () => {
  const images = new FakeImages();
  const image = images.image("r", [0]);
  images.beforeMap = () => {
    images.beforeMap = () => {};
    images.state = { ...images.state, version: "second", isSettled: false };
    setTimeout(() => images.state = { ...images.state, isSettled: true });
  };
  (await image.open()).close();
  assertEquals(images.mapsRead, ["r", "r"]);
  assert(image.map.isSettled);
});

Deno.test("Image reports at the first write after retire() that changes will be lost", async () => {
  const images = new FakeImages();
  const image = images.image("r", [0, 1]);
  const file = await image.open();
  image.retire();
  await Promise.all([image.write(0, new Uint8Array(1)), image.write(C, new Uint8Array(1))]);
  await image.write(1, new Uint8Array(1));
  assertEquals(images.lines.length, 1);
  assertStringIncludes(images.lines[0]!, "is lost when those who have it open close it");
  file.close();
});

Deno.test("Image.retire() drops changes when the last reader has closed the image", async () => {
  const images = new FakeImages();
  const image = images.image("r", [0, 1]);
  const file = await image.open();
  await image.write(0, new Uint8Array(1));
  image.retire();
  assertEquals([images.dirty.count, image.hasChanges], [1, true]);
  file.close();
  assertEquals([images.dirty.count, image.hasChanges], [0, false]);
});

/** Asks for data and for a hole at an offset. */
const seekBoth = (image: Image, offset: number) => [
  image.seek(offset, "data"),
  image.seek(offset, "hole"),
];

Deno.test("Image.seek() finds data and holes by the map, and a hole at the end", async () => {
  const size = 5 * C + 1234;
  const image = new FakeImages().image("r", [null, 0, 1, "zero", null, 2], size);
  await image.open();
  assertEquals(seekBoth(image, 0), [C, 0]);
  assertEquals(seekBoth(image, C - 1), [C, C - 1]);
  assertEquals(seekBoth(image, C), [C, 3 * C]);
  assertEquals(seekBoth(image, 2 * C + 5), [2 * C + 5, 3 * C]);
  assertEquals(seekBoth(image, 3 * C), [5 * C, 3 * C]);
  assertEquals(seekBoth(image, 4 * C + 7), [5 * C, 4 * C + 7]);
  assertEquals(seekBoth(image, size - 1), [size - 1, size]);
  for (const offset of [size, size + 1, 6 * C, 2 ** 50, -1]) {
    assertEquals(seekBoth(image, offset), [null, null]);
  }
  const holes = new FakeImages().image("r", [0, null], C + 10);
  await holes.open();
  assertEquals([seekBoth(holes, C), seekBoth(holes, C + 9)], [[null, C], [null, C + 9]]);
});

Deno.test("Image.seek() finds no hole where something was written", async () => {
  const images = new FakeImages({ dirtyPages: 2 });
  const image = images.image("r", [null, null, null, null, 0]);
  // Before there is a map, and after.
  await image.write(3 * C, new Uint8Array(C).fill(1));
  const file = await image.open();
  assertEquals([seekBoth(image, 0), image.dataBytes], [[3 * C, 0], 2 * C]);
  await image.write(C + 100, new Uint8Array(1));
  assertEquals([seekBoth(image, 0), image.seek(C, "hole"), image.dataBytes], [
    [C, 0],
    2 * C,
    3 * C,
  ]);
  // The first ones are stored now.
  await image.write(2 * C, new Uint8Array(C + 1));
  assertEquals([image.seek(C, "hole"), image.dataBytes], [5 * C, 4 * C]);
  file.close();
  assertEquals(seekBoth(image, 0), [C, 0]);
});

Deno.test("Image.seek() takes all for data while it has no map", async () => {
  const images = new FakeImages();
  const image = images.image("r", [null, 0], C + 10);
  assertEquals([seekBoth(image, 5), seekBoth(image, C + 10)], [[5, C + 10], [null, null]]);
  assertEquals([image.dataBytes, images.mapsRead], [null, []]);
  (await image.open()).close();
  // The map was dropped, but how much there is remains known.
  assertEquals([seekBoth(image, 5), image.dataBytes], [[5, C + 10], 10]);
});

Deno.test("Image.seek() takes a missing chunk for data", async () => {
  const images = new FakeImages();
  const image = images.image("r", [null, 0]);
  images.chunks.contents.clear();
  await image.open();
  assertEquals(seekBoth(image, 0), [C, 0]);
});

/** An image of so many chunks, of the same content, and a function that reads one chunk of it. */
function longImage(images: FakeImages, count: number) {
  const numbers = Array.from({ length: count }, (_, number) => number);
  for (const number of numbers) images.chunks.contents.set(fakeId(number), fakeContent(0));
  return images.image("long", numbers);
}

/** Reads chunks one after the other, and waits for what is loaded ahead. */
async function readThrough(open: OpenImage, first: number, end: number): Promise<void> {
  for (let seq = first; seq < end; seq++) {
    (await open.read(seq * C, C)).release();
    await nextTurn();
  }
}

Deno.test("OpenImage.read() takes little memory for a sequential read of a large image", async () => {
  const images = new FakeImages({ cachePages: 40, aheadChunks: 2 });
  const image = longImage(images, 60);
  const open = await image.open();
  const other = await image.open();
  await readThrough(open, 0, 4);
  // What is read piece by piece stays.
  for (const seq of [59, 3]) (await other.read(seq * C, 1)).release();
  await readThrough(open, 4, 58);
  assertEquals(images.chunks.loaded.length, 60);
  for (const seq of [59, 3]) (await other.read(seq * C + 5, 1)).release();
  assertEquals(images.chunks.loaded.length, 60);
  assert(images.pool.allocatedBytes <= 20 * C, `${images.pool.allocatedBytes / C} pages`);
});

Deno.test("OpenImage.read() keeps all of an image that fits into the cache", async () => {
  const images = new FakeImages({ cachePages: 40, aheadChunks: 2 });
  const open = await longImage(images, 40).open();
  for (let round = 0; round < 2; round++) await readThrough(open, 0, 40);
  assertEquals(images.chunks.loaded.length, 40);
});

Deno.test("OpenImage.read() loads few chunks twice for a reader that follows another", async () => {
  const images = new FakeImages({ cachePages: 50, aheadChunks: 2 });
  const image = longImage(images, 200);
  const [first, second] = [await image.open(), await image.open()];
  await readThrough(first, 0, 20);
  for (let seq = 20; seq < 197; seq++) {
    await readThrough(first, seq, seq + 1);
    await readThrough(second, seq - 20, seq - 19);
  }
  const twice = images.chunks.loaded.length - new Set(images.chunks.loaded).size;
  assert(twice < 40, `${twice} chunks`);
});
