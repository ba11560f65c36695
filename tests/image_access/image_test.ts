import { ChunkCorruptError, ChunkMissingError, RevisionError } from "../../lib/errors.ts";
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
  const mount = new FakeImages();
  const image = mount.image("r", numbers, size);
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

Deno.test("Image.read() answers at once what is cached or zeros", async () => {
  const mount = new FakeImages();
  const image = await mount.image("r", [0, null]).open();
  await readOut(image, 0, 1);
  const bytes = image.read(C - 1, 2);
  assert(!(bytes instanceof Promise));
  assertEquals(join(bytes.views), new Uint8Array([fakeContent(0).at(-1)!, 0]));
  bytes.release();
});

Deno.test("Image reads its map when it is opened, once, and not for its size", async () => {
  const mount = new FakeImages();
  const image = mount.image("r", [0, 1]);
  mount.chunks.pause = nextTurn;
  assertEquals(image.size, 2 * C);
  assertEquals(mount.mapsRead, []);
  const [open] = await Promise.all([image.open(), image.open()]);
  assertEquals(mount.mapsRead, ["r"]);
  await Promise.all([readOut(open!, 0, 1), readOut(open!, C, 1), readOut(open!, 9, 1)]);
  assertEquals(mount.mapsRead, ["r"]);
});

Deno.test("Image keeps its map while it is open, and drops it when there is no room", async () => {
  const mount = new FakeImages({ idleMapsBytes: 32 });
  const [a, b] = [mount.image("a", [0, 1]), mount.image("b", [0])];
  const [first, second] = [await a.open(), await a.open()];
  await readOut(first, 0, 1);
  first.close();
  await readOut(second, 0, 1);
  second.close();
  await readOut(await a.open(), 0, 1);
  assertEquals(mount.mapsRead, ["a"]);
  a.close();
  const other = await b.open();
  await readOut(other, 0, 1);
  other.close();
  await readOut(a, 0, 1);
  assertEquals(mount.mapsRead, ["a", "b", "a"]);
});

Deno.test("Image drops a map that comes when it is not open", async () => {
  const mount = new FakeImages();
  const image = mount.image("r", [0]);
  mount.chunks.pause = nextTurn;
  await readOut(image, 0, 1);
  await readOut(await image.open(), 0, 1);
  assertEquals(mount.mapsRead, ["r", "r"]);
});

Deno.test("Image tries again to read a map that could not be read", async () => {
  const mount = new FakeImages();
  const image = mount.image("r", [0]);
  mount.beforeMap = () => {
    throw new RevisionError("Cannot read revision map", { path: "r" });
  };
  await assertRejects(async () => await image.open(), RevisionError);
  assertEquals(mount.lines, ['Cannot read revision "r": Cannot read revision map']);
  mount.beforeMap = () => {};
  assertEquals((await readOut(image, 0, 10)).length, 10);
});

Deno.test("Images share the chunks that they have in common", async () => {
  const mount = new FakeImages();
  await readOut(mount.image("a", [7, 8]), 0, 2 * C);
  await readOut(mount.image("b", [9, 7]), 0, 2 * C);
  assertEquals(mount.chunks.loaded, [7, 8, 9].map(fakeId));
});

Deno.test("Image.read() fails where a chunk is missing, and nowhere else, until it is there", async () => {
  const numbers = [0, 1, 2];
  const mount = new FakeImages();
  const image = mount.image("r", numbers);
  const content = mount.chunks.contents.get(fakeId(1))!;
  mount.chunks.contents.delete(fakeId(1));
  for (const [offset, length] of [[C, 1], [C - 1, 2], [0, 3 * C]] as const) {
    await assertRejects(async () => await image.read(offset, length), ChunkMissingError);
  }
  assertEquals(mount.lines, [
    `Cannot read image bytes ${C} to ${2 * C - 1} (seq 1) of revision "r": ` +
    `Cannot read chunk "${fakeId(1)}": there is no file "x"`,
  ]);
  const model = modelOf(numbers);
  assert(isSame(await readOut(image, 0, C), model.subarray(0, C)));
  assert(isSame(await readOut(image, 2 * C, C), model.subarray(2 * C)));
  mount.chunks.contents.set(fakeId(1), content);
  assert(isSame(await readOut(image, 0, 3 * C), model));
  // All pages that the failures held have been let go.
  for (const id of numbers.map(fakeId)) {
    const page = mount.cache.get({ dir: "/base", id }, 1)!;
    page.release();
    assert(page.isHeldOnce);
  }
});

Deno.test("Image.read() never gives bytes from behind a short chunk's end", async () => {
  const mount = new FakeImages();
  const image = mount.image("r", [0, 1, 2], 2 * C + 100);
  mount.chunks.contents.set(fakeId(1), fakeContent(1, C - 1));
  mount.chunks.contents.set(fakeId(2), fakeContent(2, 100));
  for (let round = 0; round < 2; round++) {
    const error = await assertRejects(async () => await image.read(C, 1), ChunkCorruptError);
    assertEquals([error.reason, error.chunkId], ["size", fakeId(1)]);
  }
  assert(isSame(await readOut(image, 2 * C, 1000), fakeContent(2, 100)));
});

Deno.test("Image.read() keeps its bytes as they are until they are released", async () => {
  const mount = new FakeImages({ cachePages: 2 });
  const image = mount.image("r", [0, 1, 2, 3, 4]);
  const held = await image.read(C - 100, 200);
  const before = join(held.views);
  await readOut(image, 2 * C, 3 * C);
  await readOut(image, 2 * C, 3 * C);
  assert(isSame(join(held.views), before));
  held.release();
});

Deno.test("OpenImage.read() loads chunks ahead of a sequential reader, zeros left out", async () => {
  const mount = new FakeImages({ cachePages: 8, aheadChunks: 2 });
  const image = mount.image("r", [0, null, "zero", 1, 2, 3, 4, 5]);
  const open = await image.open();
  for (let offset = 0; offset < 1024 * 1024; offset += 256 * 1024) {
    await readOut(open, offset, 256 * 1024);
  }
  assertEquals(mount.chunks.ahead, [1].map(fakeId));
  await readOut(open, 1024 * 1024, 3 * 1024 * 1024);
  assertEquals(mount.chunks.ahead, [1, 2].map(fakeId));
  await nextTurn();
  await readOut(open, C, 2 * C);
  assertEquals(mount.chunks.loaded.length, 3);
  // Another program that reads here and there.
  const other = await image.open();
  await readOut(other, 7 * C, 4096);
  await readOut(other, 5 * C, 4096);
  assertEquals(mount.chunks.ahead, [1, 2].map(fakeId));
});

Deno.test("Image.write() refuses what lies behind the end", () => {
  const image = new FakeImages().image("r", [0], 100);
  assertThrows(() => image.write(99, new Uint8Array(2)), RangeError, "behind the end of 100 bytes");
});

Deno.test("Image.open() refuses a map that is not the one that the image stands for", async () => {
  const mount = new FakeImages();
  const image = mount.image("r", [0]);
  assert(image.map.accept(mount.state));
  mount.state = { ...mount.state, version: "second" };
  await assertRejects(async () => await image.open(), MapChangedError);
  assert(!image.isOpen);
  assertEquals([image.map.accept(mount.state), mount.lines], [false, []]);
});

Deno.test("Image.open() waits until a map has been left alone", async () => {
  const mount = new FakeImages();
  const image = mount.image("r", [0]);
  mount.state = { ...mount.state, version: "second", isSettled: false };
  const opening = image.open();
  await nextTurn();
  assertEquals(mount.mapsRead, []);
  mount.state = { ...mount.state, isSettled: true };
  await opening;
  assertEquals(mount.mapsRead, ["r"]);
});

Deno.test("Image.open() reads a map again that changed just before it was read", async () => {
  const mount = new FakeImages();
  const image = mount.image("r", [0]);
  mount.beforeMap = () => {
    mount.beforeMap = () => {};
    mount.state = { ...mount.state, version: "second", isSettled: false };
    setTimeout(() => mount.state = { ...mount.state, isSettled: true });
  };
  (await image.open()).close();
  assertEquals(mount.mapsRead, ["r", "r"]);
  assert(image.map.isSettled);
});

Deno.test("Image says at the first write after retire() that changes will be lost", async () => {
  const mount = new FakeImages();
  const image = mount.image("r", [0, 1]);
  const file = await image.open();
  image.retire();
  await Promise.all([image.write(0, new Uint8Array(1)), image.write(C, new Uint8Array(1))]);
  await image.write(1, new Uint8Array(1));
  assertEquals(mount.lines.length, 1);
  assertStringIncludes(mount.lines[0]!, "is lost when those who have it open close it");
  file.close();
});

Deno.test("Image.retire() lets changes go when the last reader has closed it", async () => {
  const mount = new FakeImages();
  const image = mount.image("r", [0, 1]);
  const file = await image.open();
  await image.write(0, new Uint8Array(1));
  image.retire();
  assertEquals([mount.dirty.count, image.hasChanges], [1, true]);
  file.close();
  assertEquals([mount.dirty.count, image.hasChanges], [0, false]);
});
