import { describeChunk } from "../../lib/chunk/chunk_ref.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assertEquals } from "../assert.ts";

const ID = "4db6e194fd398e8edb76e11054d73eb0";

function describe(seqs: number[], imageBytes?: number): string {
  const chunk = { id: ID, seqs: () => seqs };
  return describeChunk(imageBytes === undefined ? chunk : { ...chunk, imageBytes });
}

Deno.test("describeChunk() names the id, the seqs and the bytes of the image", () => {
  assertEquals(describe([]), `"${ID}"`);
  assertEquals(describe([0]), `"${ID}" (seq 0, image bytes 0 to 4194303)`);
  assertEquals(describe([17]), `"${ID}" (seq 17, image bytes 71303168 to 75497471)`);
  assertEquals(
    describe([1, 3]),
    `"${ID}" (seqs 1, 3, image bytes 4194304 to 8388607, 12582912 to 16777215)`,
  );
});

Deno.test("describeChunk() lists four places and counts the others", () => {
  const four = describe([0, 1, 2, 3]);
  assertEquals(four.includes("more"), false);
  assertEquals(
    describe([0, 1, 2, 3, 4, 5]),
    `"${ID}" (seqs 0, 1, 2, 3 and 2 more, image bytes 0 to 4194303, 4194304 to 8388607, ` +
      "8388608 to 12582911, 12582912 to 16777215 and 2 more)",
  );
});

Deno.test("describeChunk() ends the last place with the image", () => {
  const imageBytes = CHUNK_BYTES + 100;
  assertEquals(
    describe([0, 1], imageBytes),
    `"${ID}" (seqs 0, 1, image bytes 0 to 4194303, 4194304 to 4194403)`,
  );
});

Deno.test("describeChunk() gives bytes beyond 2^32 in full", () => {
  const seq = 2 ** 22;
  assertEquals(
    describe([seq]),
    `"${ID}" (seq 4194304, image bytes 17592186044416 to 17592190238719)`,
  );
});
