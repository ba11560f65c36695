import { DamageCollector } from "../../lib/restore/damage.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assertEquals } from "../assert.ts";

const note = (letter: string, ...seqs: number[]) => ({
  ...{ chunkId: letter.repeat(32), seqs, detail: letter },
  ...{ type: "bad-chunk" as const, reason: "hash" as const },
});

Deno.test("DamageCollector lists the places of bad chunks in the image's order, each once", () => {
  const extent = { start: 10, end: 4 * CHUNK_BYTES + 20, targetStart: 0 };
  const damage = new DamageCollector(extent);
  assertEquals([damage.ranges(), damage.bytes], [[], 0]);
  // A chunk may be told of several times, of the same seqs and of others.
  assertEquals(damage.add(note("b", 4, 2)), true);
  assertEquals(damage.add(note("a", 0)), true);
  assertEquals(damage.add(note("b", 2)), false);
  assertEquals(damage.add(note("b", 3)), false);
  const range = (letter: string, offset: number, length: number) => ({
    ...{ offset, length, chunkId: letter.repeat(32), reason: "hash" as const, detail: letter },
  });
  assertEquals(damage.ranges(), [
    range("a", 10, CHUNK_BYTES - 10),
    range("b", 2 * CHUNK_BYTES, CHUNK_BYTES),
    range("b", 3 * CHUNK_BYTES, CHUNK_BYTES),
    range("b", 4 * CHUNK_BYTES, 20),
  ]);
  assertEquals(damage.bytes, 3 * CHUNK_BYTES - 10 + 20);
});
