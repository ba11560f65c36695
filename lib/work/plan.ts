/**
 * Step 2 of a restore: decides what is decoded in which order and which ranges are zeros. Pure: no
 * file is touched.
 *
 * The plan lies in shared memory, so that workers take their work from it without messages: 16
 * bytes a seq for the ids, 4 for the links between seqs of one chunk, 4 a job, 16 a range of zeros;
 * another 6 to 12 a seq while it is made.
 *
 * @module
 */

import { hasSameId, wordsOf } from "../store/chunk_ids.ts";
import { bytesOfSeq, CHUNK_BYTES } from "../store/layout.ts";
import type { RevisionMap } from "../store/revision_map.ts";
import { runSteps, type Steps } from "../slices.ts";
import { type ZeroRange, ZeroRangeGrouper } from "../target/zero_runs.ts";
import { type ImageExtent, seqsOfExtent, wholeImage } from "./extent.ts";
import { SeqClassifier } from "./seq_kinds.ts";

/** Ends the list of seqs at which a chunk stands. Seqs lie below it, as images end at 256 TiB. */
export const NO_SEQ = 0x7fff_ffff;

/** Seqs between two pauses: some milliseconds. */
const SEQS_PER_STEP = 0x1_0000;

/** Marks, while a plan is made, a seq that is not the first of its chunk. */
const HAS_PREDECESSOR = 0x8000_0000;

/** Zero ranges are cut to 1 GiB, so that workers share them and notice a request to stop. */
const ZERO_RANGE_BYTES = 1_073_741_824;

/**
 * In {@linkcode RestorePlan.streamItems}: the rest of the number is an index of the zero ranges,
 * not a seq.
 */
export const ZERO_RANGE_ITEM = 0x8000_0000;

/** How a restore is planned. */
export interface PlanOptions {
  /** What of the image is restored; default: all. */
  readonly extent?: ImageExtent;
  /** What the target is known to hold; what is the same there is left out. */
  readonly base?: RevisionMap | undefined;
  /** Whether the plan is for a stream of records, which says where its data belongs. */
  readonly asRecords?: boolean;
}

/** Numbers that describe a plan to users. */
export interface PlanSummary {
  /** Size of the whole image. */
  readonly imageBytes: number;
  readonly extent: ImageExtent;
  /** Places of the extent that hold data, and their bytes. */
  readonly dataSeqs: number;
  readonly dataBytes: number;
  /**
   * Places that hold zeros, mapped to the all-zero chunk or not mapped at all; chunks may hold more
   * zeros.
   */
  readonly zeroSeqs: number;
  readonly zeroBytes: number;
  /** Places at which the target is known to hold the same already. */
  readonly keptSeqs: number;
  readonly keptBytes: number;
  /** Chunks with other content than zeros, each counted once. */
  readonly distinctChunks: number;
  /** Decoded bytes of the distinct chunks, as far as the image needs them. */
  readonly distinctBytes: number;
}

/** What workers are to do; plain data over shared memory. */
export interface RestorePlan extends PlanSummary {
  /** Places in the image, with and without content. */
  readonly seqCount: number;
  /** The revision map's ids: 16 bytes a seq, 16 zero bytes for an absent one. */
  readonly ids: Uint8Array<SharedArrayBuffer>;
  /** First seq of each distinct chunk, ascending. */
  readonly firstSeqs: Uint32Array<SharedArrayBuffer>;
  /**
   * For each seq of data the next one of the same chunk, or {@linkcode NO_SEQ}; for others without
   * meaning.
   */
  readonly nextSeqs: Uint32Array<SharedArrayBuffer>;
  /** Ranges of zeros as pairs: first byte of the image, number of bytes. */
  readonly zeroRanges: Float64Array<SharedArrayBuffer>;
  /**
   * For a stream of records, what it consists of, in the order of the image: seqs of data, and zero
   * ranges as
   * {@linkcode ZERO_RANGE_ITEM} plus their index. `null`: all seqs of the extent.
   */
  readonly streamItems: Uint32Array<SharedArrayBuffer> | null;
}

/**
 * Plans the restore of a revision.
 *
 * @param map Read as is; its ids become part of the plan.
 */
export function planRestore(map: RevisionMap, options: PlanOptions = {}): RestorePlan {
  return runSteps(planSteps(map, options));
}

/** {@linkcode planRestore} in steps: the plan of a 256 TiB image takes seconds. */
export function* planSteps(map: RevisionMap, options: PlanOptions = {}): Steps<RestorePlan> {
  const { imageBytes, seqCount, ids } = map;
  const { extent = wholeImage(imageBytes), base, asRecords = false } = options;
  const test = new SeqClassifier(map, base);
  const { firstSeq, endSeq } = seqsOfExtent(extent);
  const nextSeqs = shared(seqCount);
  const distinctChunks = yield* linkSeqs(ids, { firstSeq, endSeq, test, nextSeqs });

  const firstSeqs = shared(distinctChunks);
  const seqs = { data: 0, zero: 0, kept: 0 };
  const bytes = { data: 0, zero: 0, kept: 0 };
  let jobCount = 0;
  for (let seq = firstSeq; seq < endSeq; seq++) {
    if (seq % SEQS_PER_STEP === 0) yield;
    const kind = test.isData(seq) ? "data" : test.isZero(seq) ? "zero" : "kept";
    seqs[kind]++;
    bytes[kind] += Math.min((seq + 1) * CHUNK_BYTES, extent.end) -
      Math.max(seq * CHUNK_BYTES, extent.start);
    if (kind !== "data") continue;
    if (nextSeqs[seq]! & HAS_PREDECESSOR) nextSeqs[seq]! &= ~HAS_PREDECESSOR;
    else firstSeqs[jobCount++] = seq;
  }

  // Only the image's last seq may be short, and then it is the only seq of which its chunk's job is
  // short.
  const lastJob = firstSeqs[jobCount - 1];
  const missing = lastJob === undefined ? 0 : CHUNK_BYTES - bytesOfSeq(imageBytes, lastJob);
  const ranges = yield* sharedZeroRanges(test, extent);
  return {
    imageBytes,
    extent,
    seqCount,
    dataSeqs: seqs.data,
    zeroSeqs: seqs.zero,
    keptSeqs: seqs.kept,
    dataBytes: bytes.data,
    zeroBytes: bytes.zero,
    keptBytes: bytes.kept,
    distinctChunks,
    distinctBytes: distinctChunks * CHUNK_BYTES - missing,
    ids,
    firstSeqs,
    nextSeqs,
    zeroRanges: ranges,
    streamItems: asRecords
      ? yield* streamItems(test, { firstSeq, endSeq }, ranges, seqs.data)
      : null,
  };
}

/** Puts seqs of data and ranges of zeros into the order of the image. */
function* streamItems(
  test: SeqClassifier,
  { firstSeq, endSeq }: { firstSeq: number; endSeq: number },
  ranges: Float64Array,
  dataSeqs: number,
): Steps<Uint32Array<SharedArrayBuffer>> {
  const items = shared(dataSeqs + ranges.length / 2);
  let count = 0, range = 0;
  for (let seq = firstSeq; seq < endSeq; seq++) {
    if (seq % SEQS_PER_STEP === 0) yield;
    // A range begins at a seq, or in the first one; the seqs behind are part of it.
    while (2 * range < ranges.length && ranges[2 * range]! < (seq + 1) * CHUNK_BYTES) {
      items[count++] = ZERO_RANGE_ITEM + range++;
    }
    if (test.isData(seq)) items[count++] = seq;
  }
  return items;
}

/**
 * Links the seqs of each chunk, ascending, and marks all but the first with HAS_PREDECESSOR.
 *
 * Goes through the image backwards and puts each seq in front of the list of its chunk, which is
 * found through an open-addressing table of list heads. Ids are hashes, but those of a hostile map
 * could be made to collide: they are mixed with random numbers, high bits into low ones after each
 * word (a sum of products would keep what low bits lack).
 *
 * @returns The number of distinct chunks.
 */
function* linkSeqs(
  ids: Uint8Array<SharedArrayBuffer>,
  span: { firstSeq: number; endSeq: number; test: SeqClassifier; nextSeqs: Uint32Array },
): Steps<number> {
  const { firstSeq, endSeq, test, nextSeqs } = span;
  const words = wordsOf(ids);
  let dataSeqs = 0;
  for (let seq = firstSeq; seq < endSeq; seq++) {
    if (seq % SEQS_PER_STEP === 0) yield;
    if (test.isData(seq)) dataSeqs++;
  }

  const slotBits = Math.ceil(Math.log2(dataSeqs * 1.5 + 2));
  const slots = 2 ** slotBits;
  const [m0 = 1, m1 = 1, m2 = 1, m3 = 1] = crypto.getRandomValues(new Uint32Array(4)).map((m) =>
    m | 1
  );
  const heads = new Uint32Array(slots); // seq + 1; 0: empty
  let distinct = 0;
  for (let seq = endSeq - 1; seq >= firstSeq; seq--) {
    if (seq % SEQS_PER_STEP === 0) yield;
    if (!test.isData(seq)) continue;
    const at = seq * 4;
    let hash = Math.imul(words[at]! ^ m3, m0);
    hash = Math.imul((hash ^ hash >>> 15) ^ words[at + 1]!, m1);
    hash = Math.imul((hash ^ hash >>> 15) ^ words[at + 2]!, m2);
    hash = Math.imul((hash ^ hash >>> 15) ^ words[at + 3]!, m3);
    let slot = Math.imul(hash ^ hash >>> 15, m0) >>> (32 - slotBits);
    for (;;) {
      const head = heads[slot]! - 1;
      if (head < 0) {
        distinct++;
        nextSeqs[seq] = NO_SEQ;
        break;
      }
      if (hasSameId(words, at, words, head * 4)) {
        nextSeqs[seq] = head;
        nextSeqs[head]! |= HAS_PREDECESSOR;
        break;
      }
      slot = (slot + 1) & (slots - 1);
    }
    heads[slot] = seq + 1;
  }
  return distinct;
}

function shared(length: number): Uint32Array<SharedArrayBuffer> {
  return new Uint32Array(new SharedArrayBuffer(length * 4));
}

/**
 * Collects the ranges of zeros. Counts them first: a list that grows would cost a huge image more
 * than the result.
 */
function* sharedZeroRanges(
  test: SeqClassifier,
  extent: ImageExtent,
): Steps<Float64Array<SharedArrayBuffer>> {
  let count = 0;
  yield* eachZeroRange(test, extent, () => count++);
  const pairs = new Float64Array(new SharedArrayBuffer(2 * count * 8));
  let at = 0;
  yield* eachZeroRange(test, extent, ({ offset, length }) => {
    pairs[at++] = offset;
    pairs[at++] = length;
  });
  return pairs;
}

function* eachZeroRange(
  test: SeqClassifier,
  extent: ImageExtent,
  onRange: (range: ZeroRange) => void,
): Steps<void> {
  const { firstSeq, endSeq } = seqsOfExtent(extent);
  const { start, end } = extent;
  const grouper = new ZeroRangeGrouper({
    chunkBytes: CHUNK_BYTES,
    start,
    end,
    maxBytes: ZERO_RANGE_BYTES,
  }, onRange);
  for (let seq = firstSeq; seq < endSeq; seq++) {
    if (seq % SEQS_PER_STEP === 0) yield;
    if (test.isZero(seq)) grouper.add(seq);
  }
  grouper.end();
}
