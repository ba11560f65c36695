import { UsageError } from "../../lib/errors.ts";
import {
  partOfSeq,
  rangeOfImage,
  seqsOfExtent,
  targetEndOf,
  targetOffsetOf,
  wholeImage,
} from "../../lib/work/extent.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assertEquals, assertThrows } from "../assert.ts";

Deno.test("partOfSeq() cuts chunks to the extent, and says where the rest goes", () => {
  const extent = { start: CHUNK_BYTES + 10, end: 3 * CHUNK_BYTES + 20, targetStart: 7 };
  assertEquals(seqsOfExtent(extent), { firstSeq: 1, endSeq: 4 });
  assertEquals([1, 2, 3].map((seq) => partOfSeq(extent, seq)), [
    {
      chunkOffset: 10,
      length: CHUNK_BYTES - 10,
      imageOffset: CHUNK_BYTES + 10,
      targetOffset: 7,
    },
    {
      chunkOffset: 0,
      length: CHUNK_BYTES,
      imageOffset: 2 * CHUNK_BYTES,
      targetOffset: CHUNK_BYTES - 3,
    },
    {
      chunkOffset: 0,
      length: 20,
      imageOffset: 3 * CHUNK_BYTES,
      targetOffset: 2 * CHUNK_BYTES - 3,
    },
  ]);
  assertEquals(targetOffsetOf(extent, extent.start), 7);
  assertEquals(targetEndOf(extent), 2 * CHUNK_BYTES + 17);
  const inside = { start: 5, end: 9, targetStart: 5 };
  assertEquals(partOfSeq(inside, 0), {
    chunkOffset: 5,
    length: 4,
    imageOffset: 5,
    targetOffset: 5,
  });
});

Deno.test("seqsOfExtent() counts the seqs that an extent touches", () => {
  const seqs = (start: number, end: number) => {
    const { firstSeq, endSeq } = seqsOfExtent({ start, end, targetStart: 0 });
    return [firstSeq, endSeq];
  };
  assertEquals(seqs(0, 0), [0, 0]);
  assertEquals(seqs(0, 1), [0, 1]);
  assertEquals(seqs(0, CHUNK_BYTES), [0, 1]);
  assertEquals(seqs(CHUNK_BYTES - 1, CHUNK_BYTES + 1), [0, 2]);
  assertEquals(seqs(CHUNK_BYTES, 2 * CHUNK_BYTES), [1, 2]);
  // An empty extent in the middle of a chunk has none.
  assertEquals(seqs(CHUNK_BYTES + 5, CHUNK_BYTES + 5), [1, 1]);
});

Deno.test("rangeOfImage() takes what lies within the image", () => {
  assertEquals(rangeOfImage(100, { offset: 0, length: 100 }), wholeImage(100));
  assertEquals(rangeOfImage(100, { offset: 99, length: null }), {
    start: 99,
    end: 100,
    targetStart: 99,
  });
  const refused: [number, number | null, string][] = [
    [100, 1, "bytes 100 to 100"],
    [100, null, "from byte 100 to the end"],
    [200, null, "from byte 200 to the end"],
    [0, 101, "bytes 0 to 100"],
    [99, 2, "bytes 99 to 100"],
  ];
  for (const [offset, length, words] of refused) {
    const error = assertThrows(() => rangeOfImage(100, { offset, length }), UsageError);
    assertEquals(error.message, `Cannot restore ${words}: the image has 100 bytes`);
  }
  assertThrows(() => rangeOfImage(0, { offset: 0, length: null }), UsageError);
});
