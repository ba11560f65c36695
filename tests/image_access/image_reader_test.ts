/** An image opened for reading through the library's public face. */

import { assertEquals, assertRejects } from "../assert.ts";
import { ChunkMissingError, openImage, RevisionError } from "../../lib/mod.ts";
import { canLockExclusively } from "../support/flock.ts";
import { SampleStore, Seq } from "../cli/sample_store.ts";
import { assertBytes } from "../support/bytes.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";

Deno.test("openImage() reads any range, also across chunks and behind the end", async () => {
  using store = new SampleStore();
  using image = await openImage(store.basedir, "last", { threads: 2 });
  assertEquals([image.name, image.size], ["SampleRevision", store.image.length]);
  const ranges = [
    [0, 1],
    [510, 2],
    [CHUNK_BYTES - 3, 6],
    [3 * CHUNK_BYTES - 1, 2 * CHUNK_BYTES + 2],
    [image.size - 5, 100],
    [image.size, 1],
    [0, 0],
    [0, image.size + 1],
  ] as const;
  const read = await Promise.all(ranges.map(([offset, length]) => image.read(offset, length)));
  read.forEach((bytes, index) => {
    const [offset, length] = ranges[index]!;
    assertBytes(bytes, store.image.subarray(offset, offset + length));
  });
});

Deno.test("an image's stream is the image, and reads only what is taken", async () => {
  using store = new SampleStore();
  using image = await openImage(store.revision.path);
  assertBytes(new Uint8Array(await new Response(image.readable).arrayBuffer()), store.image);

  const offset = CHUNK_BYTES - 10;
  const part = image.readableRange({ offset, length: 2 * CHUNK_BYTES });
  const bytes = new Uint8Array(await new Response(part).arrayBuffer());
  assertBytes(bytes, store.image.subarray(offset, offset + 2 * CHUNK_BYTES));

  Deno.removeSync(store.chunkFileAt(Seq.LAST));
  using damaged = await openImage(store.revision.path);
  const reader = damaged.readable.getReader();
  const first = await reader.read();
  assertBytes(first.value!, store.image.subarray(0, CHUNK_BYTES));
  await reader.cancel();
  await assertRejects(() => damaged.read(damaged.size - 1, 1), ChunkMissingError);
});

Deno.test("an open image holds the purge lock, a closed one reads nothing", async () => {
  using store = new SampleStore();
  const image = await openImage(store.basedir, "last");
  const isFree = () => canLockExclusively(`${store.basedir}/.purge`);
  assertEquals(isFree(), false);
  image[Symbol.dispose]();
  image[Symbol.dispose]();
  assertEquals(isFree(), true);
  await assertRejects(() => image.read(0, 1), TypeError, "it is closed");
});

Deno.test("openImage() refuses what does not exist, read() what is no range", async () => {
  using store = new SampleStore();
  await assertRejects(() => openImage(store.basedir, "tag:none"), RevisionError);
  using image = await openImage(store.basedir, "last");
  for (const [offset, length] of [[-1, 1], [0, -1], [0.5, 1], [0, NaN], [2 ** 60, 1]] as const) {
    await assertRejects(() => image.read(offset, length), RangeError);
  }
});
