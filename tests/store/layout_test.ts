import { assert, assertEquals, assertThrows } from "../assert.ts";
import {
  CHUNK_BYTES,
  CHUNK_ENCODINGS,
  chunkIdFromHex,
  chunkIdToHex,
  chunkRelativePath,
  isChunkId,
  MAX_IMAGE_BYTES,
  seqCountOf,
  ZERO_CHUNK_ID,
} from "../../lib/store/layout.ts";

Deno.test("CHUNK_ENCODINGS limits LZO1X files to the header and the worst expansion of 4 MiB", () => {
  assertEquals(CHUNK_ENCODINGS[0].maxFileBytes, 5 + 4194304 + 262144 + 67);
});

Deno.test("isChunkId() accepts only 32 lower-case hex digits", () => {
  assert(isChunkId(ZERO_CHUNK_ID));
  const wrong = [
    "",
    ZERO_CHUNK_ID.slice(1),
    `${ZERO_CHUNK_ID}0`,
    ZERO_CHUNK_ID.toUpperCase(),
    `${ZERO_CHUNK_ID.slice(0, 31)}\n`,
    `${ZERO_CHUNK_ID.slice(0, 31)}g`,
    "../../../../../../../etc/passwd0",
  ];
  for (const text of wrong) assert(!isChunkId(text), text);
});

Deno.test("chunkRelativePath() puts a chunk into the folder of its first two digits", () => {
  assertEquals(
    chunkRelativePath("4db6e194fd398e8edb76e11054d73eb0"),
    "chunks/4d/4db6e194fd398e8edb76e11054d73eb0.chunk.lzo",
  );
});

Deno.test("chunkRelativePath() refuses what is not a chunk id", () => {
  assertThrows(() => chunkRelativePath("../../../../../../../etc/passwd0"), RangeError);
});

Deno.test("chunkIdToHex() and chunkIdFromHex() are inverse, also in shared memory", () => {
  const bytes = chunkIdFromHex(ZERO_CHUNK_ID);
  assertEquals(bytes[0], 0xc7);
  assertEquals(chunkIdToHex(bytes), ZERO_CHUNK_ID);
  const shared = new Uint8Array(new SharedArrayBuffer(48));
  shared.set(bytes, 16);
  assertEquals(chunkIdToHex(shared, 16), ZERO_CHUNK_ID);
  assertEquals(chunkIdToHex(shared), "0".repeat(32));
});

Deno.test("chunkIdToHex() refuses an id beyond the end", () => {
  assertThrows(() => chunkIdToHex(new Uint8Array(31), 16), RangeError);
  assertThrows(() => chunkIdToHex(new Uint8Array(31), -1), RangeError);
});

Deno.test("seqCountOf() counts a partial chunk", () => {
  assertEquals([0, 1, CHUNK_BYTES, CHUNK_BYTES + 1].map(seqCountOf), [0, 1, 1, 2]);
  assertEquals(seqCountOf(MAX_IMAGE_BYTES), 2 ** 26);
});
