/**
 * Plans of random maps, compared with what a plain model makes of them.
 *
 * @module
 */

import { countSeqs, SeqRuns } from "../../lib/work/seq_runs.ts";
import { ZERO_RANGE_ITEM } from "../../lib/work/jobs.ts";
import type { ImageExtent } from "../../lib/work/extent.ts";
import { planRestore, type RestorePlan } from "../../lib/restore/plan.ts";
import {
  CHUNK_BYTES,
  CHUNK_ID_BYTES,
  chunkIdFromHex,
  ZERO_CHUNK_ID,
} from "../../lib/store/layout.ts";
import type { RevisionMap } from "../../lib/store/revision_map.ts";
import { assert, assertEquals } from "../assert.ts";
import { type Random, randomFrom } from "../support/random.ts";

const GIB = 2 ** 30;

/** A map by its letters: "." is absent, "0" the all-zero chunk. */
interface Shape {
  readonly letters: string;
  readonly size: number;
}

function mapOf({ letters, size }: Shape): RevisionMap {
  const ids = new Uint8Array(new SharedArrayBuffer(letters.length * CHUNK_ID_BYTES));
  [...letters].forEach((letter, seq) => {
    const at = seq * CHUNK_ID_BYTES;
    if (letter === "0") ids.set(chunkIdFromHex(ZERO_CHUNK_ID), at);
    else if (letter !== ".") ids.fill(letter.codePointAt(0)!, at, at + CHUNK_ID_BYTES);
  });
  const mappedCount = [...letters].filter((letter) => letter !== ".").length;
  return { imageBytes: size, seqCount: letters.length, ids, mappedCount };
}

type Kind = "data" | "zero" | "kept";

interface Piece {
  readonly seq: number;
  readonly kind: Kind;
  readonly offset: number;
  readonly length: number;
}

/** What is to be done, byte range by byte range. */
function piecesOf(shape: Shape, base: Shape | undefined, extent: ImageExtent): Piece[] {
  const isZero = (letter: string) => letter === "." || letter === "0";
  return [...shape.letters].flatMap((letter, seq) => {
    const start = seq * CHUNK_BYTES;
    const offset = Math.max(start, extent.start);
    const length = Math.min(start + CHUNK_BYTES, extent.end) - offset;
    if (length <= 0) return [];
    const held = base?.letters[seq];
    const isHeld = base !== undefined && held !== undefined &&
      Math.min(start + CHUNK_BYTES, shape.size) <= base.size &&
      (held === letter || (isZero(held) && isZero(letter)));
    const kind: Kind = isHeld ? "kept" : isZero(letter) ? "zero" : "data";
    return [{ seq, kind, offset, length }];
  });
}

/** Neighbours of zeros in one, up to 256 of them. */
function zeroRangesOf(pieces: readonly Piece[]): number[] {
  const ranges: { offset: number; length: number; seqs: number; next: number }[] = [];
  for (const { kind, seq, offset, length } of pieces) {
    if (kind !== "zero") continue;
    const last = ranges.at(-1);
    if (last && last.next === seq && last.seqs < GIB / CHUNK_BYTES) {
      last.length += length;
      last.seqs++;
      last.next++;
    } else {
      ranges.push({ offset, length, seqs: 1, next: seq + 1 });
    }
  }
  return ranges.flatMap(({ offset, length }) => [offset, length]);
}

function assertIsPlan(plan: RestorePlan, shape: Shape, pieces: readonly Piece[]): void {
  const of = (kind: Kind) => pieces.filter((piece) => piece.kind === kind);
  const bytes = (some: readonly Piece[]) => some.reduce((sum, { length }) => sum + length, 0);
  const jobs = new Map<string, number[]>();
  for (const { seq } of of("data")) {
    const letter = shape.letters[seq]!;
    jobs.set(letter, [...jobs.get(letter) ?? [], seq]);
  }
  const firstSeqs = [...jobs.values()].map(([first]) => first!);
  const needed = firstSeqs.map((seq) => Math.min(CHUNK_BYTES, shape.size - seq * CHUNK_BYTES));
  assertEquals([...plan.chunks.firstSeqs], firstSeqs);
  assertEquals(firstSeqs.map((seq) => [...SeqRuns.ofJob(plan.chunks, seq)]), [...jobs.values()]);
  const counts = [...jobs.values()].map((seqs) => seqs.length);
  assertEquals(firstSeqs.map((seq) => countSeqs(plan.chunks, seq)), counts);
  assertEquals([...plan.zeroRanges], zeroRangesOf(pieces));
  assertEquals(
    [plan.summary.dataSeqs, plan.summary.zeroSeqs, plan.summary.keptSeqs],
    [of("data").length, of("zero").length, of("kept").length],
  );
  assertEquals(
    [plan.summary.dataBytes, plan.summary.zeroBytes, plan.summary.keptBytes],
    [bytes(of("data")), bytes(of("zero")), bytes(of("kept"))],
  );
  assertEquals(plan.summary.distinctChunks, jobs.size);
  assertEquals(plan.summary.distinctBytes, needed.reduce((sum, length) => sum + length, 0));
}

/** Asserts that the items name each piece that is not kept, in order. */
function assertItems({ streamItems, zeroRanges }: RestorePlan, pieces: readonly Piece[]): void {
  const ranges: [offset: number, seq: number | null][] = [...streamItems!].map((item) =>
    item >= ZERO_RANGE_ITEM
      ? [zeroRanges[2 * (item - ZERO_RANGE_ITEM)]!, null]
      : [Math.max(item * CHUNK_BYTES, pieces[0]!.offset), item]
  );
  const expected: [number, number | null][] = [];
  for (const { kind, offset, seq } of pieces) if (kind === "data") expected.push([offset, seq]);
  for (let at = 0; at < zeroRanges.length; at += 2) expected.push([zeroRanges[at]!, null]);
  assertEquals(ranges, expected.sort(([a], [b]) => a - b));
}

function randomShape(random: Random, seqCount: number): Shape {
  const kinds = 1 + random(8);
  const letters = Array.from({ length: seqCount }, () => {
    const kind = random(kinds + 3);
    return kind === 0 ? "." : kind === 1 ? "0" : String.fromCodePoint(0x60 + kind);
  }).join("");
  const missing = random(2) * random(CHUNK_BYTES);
  return { letters, size: Math.max(0, seqCount * CHUNK_BYTES - missing) };
}

/** A shape that has much of another one at the same seqs. */
function relativeOf({ letters }: Shape, random: Random): Shape {
  const seqCount = Math.max(0, letters.length + random(9) - 4);
  const other = randomShape(random, seqCount);
  const mixed = [...other.letters].map((letter, seq) =>
    random(3) ? letters[seq] ?? letter : letter
  );
  return { letters: mixed.join(""), size: other.size };
}

function randomExtent({ size }: Shape, random: Random): ImageExtent {
  const start = random(size), end = start + random(size - start + 1);
  // Often at chunk boundaries.
  const snap = (offset: number) =>
    random(2) ? offset : Math.min(Math.round(offset / CHUNK_BYTES) * CHUNK_BYTES, size);
  const [first, last] = [snap(start), snap(end)].sort((a, b) => a - b) as [number, number];
  return { start: first, end: last, targetStart: random(2) * first };
}

Deno.test("planRestore() agrees with a plain model, whatever extent and base are", () => {
  const random = randomFrom(11);
  let extents = 0, bases = 0;
  for (let round = 0; round < 400; round++) {
    const shape = randomShape(random, random(40));
    const base = random(3) === 0 ? undefined : relativeOf(shape, random);
    const extent = random(3) === 0
      ? { start: 0, end: shape.size, targetStart: 0 }
      : randomExtent(shape, random);
    const asRecords = random(2) === 0;
    const plan = planRestore(mapOf(shape), { extent, base: base && mapOf(base), asRecords });
    const pieces = piecesOf(shape, base, extent);
    assertIsPlan(plan, shape, pieces);
    assertEquals(plan.summary.extent, extent);
    assertEquals(plan.streamItems === null, !asRecords);
    if (asRecords && pieces.length > 0) assertItems(plan, pieces);
    if (pieces.some(({ kind }) => kind === "kept")) bases++;
    if (extent.end - extent.start < shape.size) extents++;
  }
  assert(extents > 100 && bases > 100, `${extents} extents, ${bases} bases`);
});

Deno.test("planRestore() cuts long ranges of zeros where an extent or a base begins them", () => {
  const letters = ".".repeat(600);
  const shape = { letters, size: 600 * CHUNK_BYTES };
  const extent = { start: 5, end: 599 * CHUNK_BYTES + 5, targetStart: 5 };
  const base = { letters: "a".repeat(10) + ".", size: 11 * CHUNK_BYTES };
  for (const some of [undefined, base]) {
    const plan = planRestore(mapOf(shape), { extent, base: some && mapOf(some), asRecords: true });
    const pieces = piecesOf(shape, some, extent);
    assertIsPlan(plan, shape, pieces);
    assertItems(plan, pieces);
    for (let at = 1; at < plan.zeroRanges.length; at += 2) assert(plan.zeroRanges[at]! <= GIB);
  }
});
