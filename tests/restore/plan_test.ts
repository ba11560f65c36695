import { SeqRuns } from "../../lib/work/seq_runs.ts";
import {
  bytesOfSeq,
  CHUNK_BYTES,
  CHUNK_ID_BYTES,
  chunkIdFromHex,
  seqCountOf,
  ZERO_CHUNK_ID,
} from "../../lib/store/layout.ts";
import { NO_SEQ } from "../../lib/work/jobs.ts";
import { planRestore, type RestorePlan } from "../../lib/restore/plan.ts";
import { chunkIdAt, ZeroTest } from "../../lib/store/chunk_ids.ts";
import type { RevisionMap } from "../../lib/store/revision_map.ts";
import { assert, assertEquals } from "../assert.ts";
import { randomFrom } from "../support/random.ts";

/** A letter for a chunk: "0" for the all-zero chunk, "." for an absent one. */
function idOf(letter: string): Uint8Array {
  if (letter === ".") return new Uint8Array(CHUNK_ID_BYTES);
  if (letter === "0") return chunkIdFromHex(ZERO_CHUNK_ID);
  return new Uint8Array(CHUNK_ID_BYTES).fill(letter.codePointAt(0)!);
}

/** A map from a text of one letter a seq. */
function mapOf(letters: string, size = letters.length * CHUNK_BYTES): RevisionMap {
  return mapOfIds([...letters].map(idOf), size);
}

function mapOfIds(list: readonly Uint8Array[], size = list.length * CHUNK_BYTES): RevisionMap {
  const ids = new Uint8Array(new SharedArrayBuffer(list.length * CHUNK_ID_BYTES));
  list.forEach((id, seq) => ids.set(id, seq * CHUNK_ID_BYTES));
  const mappedCount = list.filter((id) => id.some((byte) => byte !== 0)).length;
  return { imageBytes: size, seqCount: list.length, ids, mappedCount };
}

/** The jobs of a plan: the seqs of each distinct chunk, in the order in which they are decoded. */
function jobsOf(plan: RestorePlan): number[][] {
  return [...plan.chunks.firstSeqs].map((seq) => [...SeqRuns.ofJob(plan.chunks, seq)]);
}

/** The zero ranges of a plan in whole seqs: first, count. */
function zeroSeqsOf(plan: RestorePlan): [number, number][] {
  const pairs: [number, number][] = [];
  for (let at = 0; at < plan.zeroRanges.length; at += 2) {
    pairs.push([plan.zeroRanges[at]! / CHUNK_BYTES, plan.zeroRanges[at + 1]! / CHUNK_BYTES]);
  }
  return pairs;
}

Deno.test("planRestore() makes one job a distinct chunk, in the order of their first seqs", () => {
  const plan = planRestore(mapOf("abcab.a0b"));
  assertEquals(jobsOf(plan), [[0, 3, 6], [1, 4, 8], [2]]);
  assertEquals(zeroSeqsOf(plan), [[5, 1], [7, 1]]);
  assertEquals(plan.summary.imageBytes, 9 * CHUNK_BYTES);
  assertEquals([
    seqCountOf(plan.image.imageBytes),
    plan.summary.zeroSeqs,
    plan.summary.distinctChunks,
  ], [9, 2, 3]);
  assertEquals(plan.summary.distinctBytes, 3 * CHUNK_BYTES);
  assertEquals(plan.summary.zeroBytes, 2 * CHUNK_BYTES);
});

Deno.test("planRestore() of an empty image has nothing to do", () => {
  const plan = planRestore(mapOf(""));
  assertEquals([jobsOf(plan), zeroSeqsOf(plan)], [[], []]);
  assertEquals([
    plan.summary.imageBytes,
    seqCountOf(plan.image.imageBytes),
    plan.summary.distinctBytes,
    plan.summary.zeroBytes,
  ], [0, 0, 0, 0]);
});

Deno.test("planRestore() of one chunk everywhere is one job", () => {
  const plan = planRestore(mapOf("a".repeat(1000)));
  assertEquals(jobsOf(plan), [Array.from({ length: 1000 }, (_, seq) => seq)]);
  assertEquals([plan.summary.distinctChunks, plan.summary.zeroSeqs, plan.summary.distinctBytes], [
    1,
    0,
    CHUNK_BYTES,
  ]);
  assertEquals(zeroSeqsOf(plan), []);
});

Deno.test("planRestore() of zeros has no jobs, mapped or not", () => {
  for (const letters of ["....", "0000", ".0.0"]) {
    const plan = planRestore(mapOf(letters));
    assertEquals(jobsOf(plan), []);
    assertEquals(zeroSeqsOf(plan), [[0, 4]]);
    assertEquals([plan.summary.zeroSeqs, plan.summary.zeroBytes, plan.summary.distinctBytes], [
      4,
      4 * CHUNK_BYTES,
      0,
    ]);
  }
});

Deno.test("planRestore() counts only the bytes of the last chunk that the image needs", () => {
  const rest = 100_001;
  const size = CHUNK_BYTES + rest;
  const data = planRestore(mapOf("ab", size));
  assertEquals([data.summary.distinctBytes, data.summary.zeroBytes], [CHUNK_BYTES + rest, 0]);
  const zero = planRestore(mapOf("a.", size));
  assertEquals([zero.summary.distinctBytes, zero.summary.zeroBytes], [CHUNK_BYTES, rest]);
  assertEquals([...zero.zeroRanges], [CHUNK_BYTES, rest]);
  // The last seq is not the first of its chunk, and another one needs the chunk in full.
  const repeated = planRestore(mapOf("aa", size));
  assertEquals([repeated.summary.distinctBytes, repeated.summary.zeroBytes], [CHUNK_BYTES, 0]);
  const single = planRestore(mapOf("a", 1));
  assertEquals([single.summary.distinctBytes, seqCountOf(single.image.imageBytes)], [1, 1]);
});

Deno.test("planRestore() joins neighbours of zeros and cuts them into ranges of at most 1 GiB", () => {
  const perRange = 2 ** 30 / CHUNK_BYTES;
  const plan = planRestore(mapOf("a" + ".0".repeat(300) + "b."));
  assertEquals(zeroSeqsOf(plan), [
    [1, perRange],
    [1 + perRange, perRange],
    [1 + 2 * perRange, 600 - 2 * perRange],
    [602, 1],
  ]);
});

Deno.test("planRestore() distinguishes ids that differ in one byte, wherever it is", () => {
  const ids = Array.from({ length: CHUNK_ID_BYTES * 2 }, (_, i) => {
    const id = i % 2 === 0 ? chunkIdFromHex(ZERO_CHUNK_ID) : new Uint8Array(CHUNK_ID_BYTES);
    id[i >> 1]! ^= 0x80;
    return id;
  });
  const plan = planRestore(mapOfIds(ids));
  assertEquals(jobsOf(plan), ids.map((_, seq) => [seq]));
  assertEquals([plan.summary.zeroSeqs, plan.summary.distinctChunks], [0, ids.length]);
});

Deno.test("planRestore() is right about ids that hash alike: same sums, permuted words, long runs", () => {
  const list: Uint8Array[] = [];
  for (let i = 0; i < 2000; i++) {
    const words = new Uint32Array(4);
    // Multiples of 2^31 vanish from the upper bits of a product sum in pairs.
    words[i % 4] = ((i >> 2) % 250 + 1) << 20;
    words[(i + 1) % 4] = i % 3 === 0 ? 0x8000_0000 : 0;
    list.push(new Uint8Array(words.buffer));
  }
  assertPlanMatchesModel(mapOfIds(list));
});

Deno.test("planRestore() does not take for ever with ids that were made to collide", () => {
  // 0.2 s; more than a minute if all collide. The words differ only in their upper five bits, and
  // so do sums of products of them, whatever the factors.
  const seqCount = 2 ** 20;
  const words = new Uint32Array(new SharedArrayBuffer(seqCount * CHUNK_ID_BYTES));
  for (let seq = 0; seq < seqCount; seq++) {
    for (let word = 0; word < 4; word++) words[4 * seq + word] = (seq >> (5 * word)) << 27;
  }
  const ids = new Uint8Array(words.buffer);
  const size = seqCount * CHUNK_BYTES;
  const plan = planRestore({ imageBytes: size, seqCount, ids, mappedCount: seqCount });
  assertEquals([plan.summary.distinctChunks, plan.summary.zeroSeqs], [seqCount - 1, 1]);
});

Deno.test("planRestore() agrees with a plain model on random maps", () => {
  const random = randomFrom(7);
  for (let round = 0; round < 50; round++) {
    const seqCount = random(200);
    const kinds = 1 + random(30);
    const letters = Array.from({ length: seqCount }, () => {
      const kind = random(kinds + 2);
      return kind === 0 ? "." : kind === 1 ? "0" : String.fromCodePoint(0x40 + kind);
    });
    const size = seqCount === 0 ? 0 : seqCount * CHUNK_BYTES - random(CHUNK_BYTES);
    assertPlanMatchesModel(mapOf(letters.join(""), size));
  }
});

function assertPlanMatchesModel(map: RevisionMap): void {
  const plan = planRestore(map);
  const byId = new Map<string, number[]>();
  const zeros: number[] = [];
  for (let seq = 0; seq < map.seqCount; seq++) {
    const id = chunkIdAt(plan.image.ids, seq);
    if (id === ZERO_CHUNK_ID || /^0+$/.test(id)) zeros.push(seq);
    else byId.set(id, [...byId.get(id) ?? [], seq]);
  }
  assertEquals(jobsOf(plan), [...byId.values()]);
  const zeroTest = new ZeroTest(map.ids);
  const seqs = Array.from({ length: map.seqCount }, (_, seq) => seq);
  assertEquals(seqs.filter((seq) => zeroTest.isZero(seq)), zeros);
  assertEquals([plan.summary.zeroSeqs, plan.summary.distinctChunks], [zeros.length, byId.size]);
  const bytesOf = (seqs: number[]) =>
    seqs.reduce((sum, seq) => sum + bytesOfSeq(map.imageBytes, seq), 0);
  assertEquals(plan.summary.zeroBytes, bytesOf(zeros));
  assertEquals(plan.summary.distinctBytes, bytesOf([...byId.values()].map(([first]) => first!)));
  // Jobs and zero ranges together cover each byte once.
  const ranges = zeroSeqsOf(plan);
  assertEquals(
    ranges.reduce((sum, [, count]) => sum + count, 0) * CHUNK_BYTES,
    plan.summary.zeroBytes,
  );
  assert(ranges.every(([first], i) => i === 0 || first > ranges[i - 1]![0]));
}

Deno.test("planRestore() takes a million seqs, two of each chunk", () => {
  const seqCount = 1_000_000;
  const ids = new Uint8Array(new SharedArrayBuffer(seqCount * CHUNK_ID_BYTES));
  const words = new Uint32Array(ids.buffer);
  for (let seq = 0; seq < seqCount; seq++) {
    // A step coprime to the number of chunks scatters the second seqs.
    const chunk = seq < seqCount / 2 ? seq : (seq * 7919) % (seqCount / 2);
    words.set([chunk + 1, Math.imul(chunk, 0x9e3779b1), 3, 4], seq * 4);
  }
  const size = seqCount * CHUNK_BYTES;
  const plan = planRestore({ imageBytes: size, seqCount, ids, mappedCount: seqCount });
  assertEquals([plan.summary.distinctChunks, plan.summary.zeroSeqs], [seqCount / 2, 0]);
  for (const first of [0, 1, 12_345, seqCount / 2 - 1]) {
    const [, second = -1, ...others] = [...SeqRuns.ofJob(plan.chunks, first)];
    assertEquals(others, []);
    assertEquals(chunkIdAt(plan.image.ids, second), chunkIdAt(plan.image.ids, first));
  }
  assert(plan.chunks.nextSeqs.every((next) => next === NO_SEQ || next < seqCount));
});

Deno.test("planRestore() shares its memory, so that it can be posted without copies", () => {
  const plan = planRestore(mapOf("ab.a"));
  for (
    const part of [plan.image.ids, plan.chunks.firstSeqs, plan.chunks.nextSeqs, plan.zeroRanges]
  ) {
    assert(part.buffer instanceof SharedArrayBuffer);
  }
});

Deno.test("bytesOfSeq() gives a full chunk, and the rest at the end", () => {
  const size = 2 * CHUNK_BYTES + 5;
  assertEquals([0, 1, 2].map((seq) => bytesOfSeq(size, seq)), [CHUNK_BYTES, CHUNK_BYTES, 5]);
  assertEquals(bytesOfSeq(2 * CHUNK_BYTES, 1), CHUNK_BYTES);
});
