import { assertEquals, assertThrows } from "../assert.ts";
import { GRANULE_BYTES } from "../../lib/target/target.ts";
import {
  type Run,
  type ZeroRange,
  ZeroRangeGrouper,
  zeroRuns,
} from "../../lib/target/zero_runs.ts";

const MIB = 1_048_576;

Deno.test("zeroRuns() joins neighbours of the same kind", () => {
  assertEquals([...zeroRuns(Uint8Array.of(0, 0, 1, 1, 1, 0), 6 * GRANULE_BYTES)], [
    { offset: 0, length: 2 * GRANULE_BYTES, isZero: false },
    { offset: 2 * GRANULE_BYTES, length: 3 * GRANULE_BYTES, isZero: true },
    { offset: 5 * GRANULE_BYTES, length: GRANULE_BYTES, isZero: false },
  ]);
});

Deno.test("zeroRuns() yields one run for a chunk of one kind", () => {
  assertEquals([...zeroRuns(new Uint8Array(64), 4 * MIB)], [
    { offset: 0, length: 4 * MIB, isZero: false },
  ]);
  assertEquals([...zeroRuns(new Uint8Array(64).fill(1), 4 * MIB)], [
    { offset: 0, length: 4 * MIB, isZero: true },
  ]);
});

Deno.test("zeroRuns() cuts the last granule at the chunk's end and ignores flags beyond", () => {
  assertEquals([...zeroRuns(Uint8Array.of(1, 0, 1, 1), GRANULE_BYTES + 1)], [
    { offset: 0, length: GRANULE_BYTES, isZero: true },
    { offset: GRANULE_BYTES, length: 1, isZero: false },
  ]);
});

Deno.test("zeroRuns() yields nothing for an empty chunk", () => {
  assertEquals([...zeroRuns(new Uint8Array(64), 0)], []);
});

Deno.test("zeroRuns() rejects fewer flags than granules", () => {
  assertThrows(() => [...zeroRuns(new Uint8Array(1), GRANULE_BYTES + 1)], RangeError, "2 granules");
});

Deno.test("zeroRuns() covers every chunk in alternating runs", () => {
  for (let pattern = 0; pattern < 256; pattern++) {
    const flags = Uint8Array.from({ length: 8 }, (_, i) => pattern >> i & 1);
    const runs: Run[] = [...zeroRuns(flags, 8 * GRANULE_BYTES - 1)];
    let end = 0;
    for (const [i, run] of runs.entries()) {
      assertEquals(run.offset, end);
      assertEquals(run.isZero, flags[run.offset / GRANULE_BYTES] === 1);
      if (i > 0) assertEquals(run.isZero, !runs[i - 1]!.isZero);
      end += run.length;
    }
    assertEquals(end, 8 * GRANULE_BYTES - 1);
  }
});

/** The ranges of chunks with these numbers. */
function zeroRanges(seqs: readonly number[], options: typeof sizes): ZeroRange[] {
  const ranges: ZeroRange[] = [];
  const grouper = new ZeroRangeGrouper(options, (range) => void ranges.push(range));
  for (const seq of seqs) grouper.add(seq);
  grouper.end();
  return ranges;
}

const sizes = { chunkBytes: 4 * MIB, start: 0, end: 40 * MIB, maxBytes: 1024 * MIB };

Deno.test("ZeroRangeGrouper joins neighbouring chunks", () => {
  assertEquals(zeroRanges([0, 1, 2, 5, 7, 8], sizes), [
    { offset: 0, length: 12 * MIB },
    { offset: 20 * MIB, length: 4 * MIB },
    { offset: 28 * MIB, length: 8 * MIB },
  ]);
});

Deno.test("ZeroRangeGrouper splits at maxBytes", () => {
  assertEquals(zeroRanges([2, 3, 4, 5, 6], { ...sizes, maxBytes: 9 * MIB }), [
    { offset: 8 * MIB, length: 8 * MIB },
    { offset: 16 * MIB, length: 8 * MIB },
    { offset: 24 * MIB, length: 4 * MIB },
  ]);
  assertEquals(zeroRanges([0, 1], { ...sizes, maxBytes: 1 }).length, 2);
});

Deno.test("ZeroRangeGrouper begins with the part that counts", () => {
  assertEquals(zeroRanges([1, 2], { ...sizes, start: 5 * MIB, end: 11 * MIB }), [
    { offset: 5 * MIB, length: 6 * MIB },
  ]);
});

Deno.test("ZeroRangeGrouper ends with the image", () => {
  assertEquals(zeroRanges([8, 9, 10, 11], { ...sizes, end: 40 * MIB - 5 }), [
    { offset: 32 * MIB, length: 8 * MIB - 5 },
  ]);
  assertEquals(zeroRanges([], sizes), []);
  assertEquals(zeroRanges([0], { ...sizes, end: 0 }), []);
});
