/**
 * Plans a restore: which chunks are decoded, which ranges are zeroed, and what is left alone since
 * the target has it already. Pure. Workers get what they need of it with their task
 * (`../work/tasks.ts`).
 *
 * @module
 */

import { runSteps, type Steps } from "../slices.ts";
import { hasSameId, wordsOf, ZeroTest } from "../store/chunk_ids.ts";
import { bytesOfSeq, CHUNK_BYTES } from "../store/layout.ts";
import type { RevisionMap } from "../store/revision_map.ts";
import { type ZeroRange, ZeroRangeGrouper } from "../target/zero_runs.ts";
import { type ImageExtent, seqsOfExtent, wholeImage } from "../work/extent.ts";
import {
  type ChunkJobs,
  findJobs,
  SEQS_PER_STEP,
  sharedUint32,
  type SourceImage,
  ZERO_RANGE_ITEM,
} from "../work/jobs.ts";

/** Zero ranges are at most 1 GiB, so that workers share them and notice a request to stop. */
const ZERO_RANGE_BYTES = 1_073_741_824;

/** How a restore is planned. */
export interface PlanOptions {
  /** Which part of the image is restored; default: all. */
  readonly extent?: ImageExtent;
  /** What the target already holds; seqs that are the same in it are left out. */
  readonly base?: RevisionMap | undefined;
  /** Whether the plan is for a stream of records that say where their data belongs. */
  readonly asRecords?: boolean;
}

/** Numbers that describe a plan to users. */
export interface PlanSummary {
  /** Size of the whole image. */
  readonly imageBytes: number;
  /** The part of the image that is restored. */
  readonly extent: ImageExtent;
  /** Number of seqs that hold data. */
  readonly dataSeqs: number;
  /** Their bytes in the extent. */
  readonly dataBytes: number;
  /**
   * Seqs of zeros: mapped to the all-zero chunk, or not mapped at all. Other chunks may hold zeros
   * too.
   */
  readonly zeroSeqs: number;
  /** Their bytes in the extent. */
  readonly zeroBytes: number;
  /** Seqs that the target already holds. */
  readonly keptSeqs: number;
  /** Their bytes in the extent. */
  readonly keptBytes: number;
  /** Number of distinct chunks other than the all-zero one. */
  readonly distinctChunks: number;
  /** Bytes of these that the image needs. */
  readonly distinctBytes: number;
}

/** What a restore does. */
export interface RestorePlan {
  readonly summary: PlanSummary;
  readonly image: SourceImage;
  readonly chunks: ChunkJobs;
  /** Ranges of zeros as pairs: first byte of the image, number of bytes. */
  readonly zeroRanges: Float64Array<SharedArrayBuffer>;
  /**
   * The items of a stream of records, in the order of the image: seqs of data, and zero ranges as
   * {@linkcode ZERO_RANGE_ITEM} plus their index. `null`: all seqs of the extent.
   */
  readonly streamItems: Uint32Array<SharedArrayBuffer> | null;
}

/**
 * Plans the restore of a revision.
 *
 * @param map Its ids become part of the plan.
 */
export function planRestore(map: RevisionMap, options: PlanOptions = {}): RestorePlan {
  return runSteps(planSteps(map, options));
}

/** {@linkcode planRestore} in steps: the plan of a 256 TiB image takes seconds. */
export function* planSteps(map: RevisionMap, options: PlanOptions = {}): Steps<RestorePlan> {
  const { imageBytes, ids } = map;
  const { extent = wholeImage(imageBytes), base, asRecords = false } = options;
  const classifier = new SeqClassifier(map, base);
  const span = seqsOfExtent(extent);
  const { firstSeq, endSeq } = span;
  const chunks = yield* findJobs(ids, { ...span, isData: (seq) => classifier.isData(seq) });

  const seqs = { data: 0, zero: 0, kept: 0 };
  const bytes = { data: 0, zero: 0, kept: 0 };
  for (let seq = firstSeq; seq < endSeq; seq++) {
    if (seq % SEQS_PER_STEP === 0) yield;
    const kind = classifier.kindOf(seq);
    seqs[kind]++;
    bytes[kind] += Math.min((seq + 1) * CHUNK_BYTES, extent.end) -
      Math.max(seq * CHUNK_BYTES, extent.start);
  }

  const distinctChunks = chunks.firstSeqs.length;
  // Only the image's last seq may be short. Its chunk's job is short only if no other seq needs it.
  const lastJob = chunks.firstSeqs[distinctChunks - 1];
  const missing = lastJob === undefined ? 0 : CHUNK_BYTES - bytesOfSeq(imageBytes, lastJob);
  const zeroRanges = yield* sharedZeroRanges(classifier, extent);
  return {
    summary: {
      imageBytes,
      extent,
      dataSeqs: seqs.data,
      dataBytes: bytes.data,
      zeroSeqs: seqs.zero,
      zeroBytes: bytes.zero,
      keptSeqs: seqs.kept,
      keptBytes: bytes.kept,
      distinctChunks,
      distinctBytes: distinctChunks * CHUNK_BYTES - missing,
    },
    image: { imageBytes, extent, ids },
    chunks,
    zeroRanges,
    streamItems: asRecords ? yield* streamItems(classifier, span, zeroRanges, seqs.data) : null,
  };
}

/** Merges seqs of data and ranges of zeros, in the order of the image. */
function* streamItems(
  classifier: SeqClassifier,
  { firstSeq, endSeq }: { firstSeq: number; endSeq: number },
  ranges: Float64Array,
  dataSeqs: number,
): Steps<Uint32Array<SharedArrayBuffer>> {
  const items = sharedUint32(dataSeqs + ranges.length / 2);
  let count = 0, range = 0;
  for (let seq = firstSeq; seq < endSeq; seq++) {
    if (seq % SEQS_PER_STEP === 0) yield;
    // A range begins at the start of a seq, or inside the first one, and covers the seqs after it.
    while (2 * range < ranges.length && ranges[2 * range]! < (seq + 1) * CHUNK_BYTES) {
      items[count++] = ZERO_RANGE_ITEM + range++;
    }
    if (classifier.isData(seq)) items[count++] = seq;
  }
  return items;
}

/** Collects the ranges of zeros. Counts them first: a growing list would need more memory. */
function* sharedZeroRanges(
  classifier: SeqClassifier,
  extent: ImageExtent,
): Steps<Float64Array<SharedArrayBuffer>> {
  let count = 0;
  yield* eachZeroRange(classifier, extent, () => count++);
  const pairs = new Float64Array(new SharedArrayBuffer(2 * count * 8));
  let at = 0;
  yield* eachZeroRange(classifier, extent, ({ offset, length }) => {
    pairs[at++] = offset;
    pairs[at++] = length;
  });
  return pairs;
}

function* eachZeroRange(
  classifier: SeqClassifier,
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
    if (classifier.isZero(seq)) grouper.add(seq);
  }
  grouper.end();
}

/** What is compared of a revision map. */
class Ids {
  readonly words: Uint32Array;
  readonly zeroTest: ZeroTest;
  readonly imageBytes: number;

  constructor({ ids, imageBytes }: RevisionMap) {
    this.words = wordsOf(ids);
    this.zeroTest = new ZeroTest(ids);
    this.imageBytes = imageBytes;
  }
}

/** Tells what to do at each seq: write data, write zeros, or keep what the target has. */
class SeqClassifier {
  readonly #image: Ids;
  readonly #base: Ids | null;

  /** @param base What the target holds, if that is known. */
  constructor(map: RevisionMap, base: RevisionMap | undefined) {
    this.#image = new Ids(map);
    this.#base = base ? new Ids(base) : null;
  }

  kindOf(seq: number): "data" | "zero" | "kept" {
    if (this.#isKept(seq)) return "kept";
    return this.#image.zeroTest.isZero(seq) ? "zero" : "data";
  }

  isData(seq: number): boolean {
    return !this.#image.zeroTest.isZero(seq) && !this.#isKept(seq);
  }

  isZero(seq: number): boolean {
    return this.#image.zeroTest.isZero(seq) && !this.#isKept(seq);
  }

  /** Whether the base has the same content at a seq, as far as the image reaches. */
  #isKept(seq: number): boolean {
    const image = this.#image, base = this.#base;
    if (base === null) return false;
    // What the target holds after the base's end is unknown, so zeros there are written too.
    const end = Math.min((seq + 1) * CHUNK_BYTES, image.imageBytes);
    if (end > base.imageBytes) return false;
    if (image.zeroTest.isZero(seq)) return base.zeroTest.isZero(seq);
    return hasSameId(image.words, seq * 4, base.words, seq * 4);
  }
}
