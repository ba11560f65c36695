import { DamageCollector } from "../../lib/restore/damage.ts";
import { SeqRuns } from "../../lib/work/seq_runs.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals } from "../assert.ts";

const note = (letter: string, ...seqs: number[]) => ({
  chunkId: letter.repeat(32),
  runs: SeqRuns.of(...seqs).pairs(),
  detail: letter,
  type: "bad-chunk" as const,
  reason: "hash" as const,
});

const range = (letter: string, offset: number, length: number) => ({
  offset,
  length,
  chunkId: letter.repeat(32),
  reason: "hash" as const,
  detail: letter,
});

Deno.test("DamageCollector lists the ranges of bad chunks in the image's order, each once", () => {
  const extent = { start: 10, end: 6 * CHUNK_BYTES + 20, targetStart: 0 };
  const damage = new DamageCollector(extent);
  const none = { badRanges: [], badRangeCount: 0, badBytes: 0, badChunks: 0 };
  assertEquals([damage.loss(), damage.bytes], [none, 0]);
  // A chunk may be reported several times, with the same seqs and with others.
  assertEquals(damage.add(note("b", 2, 4)), true);
  assertEquals(damage.add(note("a", 0, 6)), true);
  assertEquals(damage.add(note("b", 2)), false);
  assertEquals(damage.add(note("b", 2, 3, 4)), false);
  const badBytes = CHUNK_BYTES - 10 + 3 * CHUNK_BYTES + 20;
  assertEquals(damage.loss(), {
    badRanges: [
      range("a", 10, CHUNK_BYTES - 10),
      // Neighbours are one range.
      range("b", 2 * CHUNK_BYTES, 3 * CHUNK_BYTES),
      range("a", 6 * CHUNK_BYTES, 20),
    ],
    badRangeCount: 3,
    badChunks: 2,
    badBytes,
  });
  assertEquals(damage.bytes, badBytes);
  const bad = [0, 1, 2, 3, 4, 5, 6].filter((seq) => damage.isBad(seq));
  assertEquals(bad, [0, 2, 3, 4, 6]);
});

Deno.test("DamageCollector keeps neighbours of different chunks apart", () => {
  const damage = new DamageCollector({ start: 0, end: 9 * CHUNK_BYTES, targetStart: 0 });
  for (const [seq, letter] of [..."abbaa"].entries()) damage.add(note(letter, seq));
  assertEquals(damage.loss().badRanges.map(({ chunkId, length }) => [chunkId[0], length]), [
    ["a", CHUNK_BYTES],
    ["b", 2 * CHUNK_BYTES],
    ["a", 2 * CHUNK_BYTES],
  ]);
});

Deno.test("DamageCollector keeps a chunk at millions of neighbouring seqs as one range", () => {
  const seqCount = 2 ** 24;
  const damage = new DamageCollector({ start: 0, end: seqCount * CHUNK_BYTES, targetStart: 0 });
  damage.add({ ...note("a"), runs: Uint32Array.of(0, seqCount) });
  const { badRanges, ...totals } = damage.loss();
  assertEquals(badRanges, [range("a", 0, seqCount * CHUNK_BYTES)]);
  assertEquals(totals, { badRangeCount: 1, badChunks: 1, badBytes: seqCount * CHUNK_BYTES });
});

Deno.test("DamageCollector lists 100,000 ranges and counts the others", () => {
  const damage = new DamageCollector({ start: 0, end: 2 ** 20 * CHUNK_BYTES, targetStart: 0 });
  const runs = new Uint32Array(300_000).map((_, at) => at % 2 === 0 ? at : 1);
  damage.add({ ...note("a"), runs });
  const { badRanges, ...totals } = damage.loss();
  assertEquals(badRanges.length, 100_000);
  assertEquals(totals, {
    badRangeCount: 150_000,
    badChunks: 1,
    badBytes: 150_000 * CHUNK_BYTES,
  });
});

Deno.test("SeqRuns keep runs, not seqs", () => {
  const runs = SeqRuns.of(3, 4, 5, 9, 11, 12);
  assertEquals([...runs.pairs()], [3, 3, 9, 1, 11, 2]);
  assertEquals([[...runs], runs.count], [[3, 4, 5, 9, 11, 12], 6]);
  assertEquals(runs.list(), { first: [3, 4, 5, 9, 11, 12], count: 6 });
  const many = new SeqRuns();
  for (let seq = 0; seq < 1_000_000; seq++) many.add(seq);
  assertEquals([...many.pairs()], [0, 1_000_000]);
  const { first, count } = many.list();
  assert(first.length === 100 && count === 1_000_000);
});
