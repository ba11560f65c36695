import { IdHasher } from "../../lib/store/chunk_ids.ts";
import { assert } from "../assert.ts";

Deno.test("IdHasher spreads ids over a table that differ in few bits, wherever those are", () => {
  const count = 2 ** 20, slots = 2 ** 21;
  // What random numbers would do.
  const wanted = slots * (1 - Math.exp(-count / slots));
  for (let word = 0; word < 4; word++) {
    for (let shift = 0; shift <= 12; shift += 4) {
      const hasher = new IdHasher();
      const isUsed = new Uint8Array(slots);
      const id = new Uint32Array(4).fill(0x11111111);
      for (let number = 0; number < count; number++) {
        id[word] = number << shift;
        isUsed[hasher.hash(id, 0) & (slots - 1)] = 1;
      }
      const used = isUsed.reduce((sum, value) => sum + value, 0);
      assert(used > 0.9 * wanted, `word ${word}, shift ${shift}: ${used} slots`);
    }
  }
});
