/**
 * Step 2 of a restore: decides what is decoded in which order and which ranges are zeros. Pure: no file is touched.
 *
 * The plan lies in shared memory, so that workers take their work from it without messages: 16 bytes a seq for the
 * ids, 4 for the links between seqs of one chunk, 4 a job, 16 a range of zeros; another 6 to 12 a seq while it is made.
 *
 * @module
 */

import { CHUNK_BYTES, CHUNK_ID_BYTES, chunkIdFromHex, ZERO_CHUNK_ID } from "../store/layout.ts";
import type { RevisionMap } from "../store/revision_map.ts";
import { zeroRanges } from "../target/zero_runs.ts";

/** Ends the list of seqs at which a chunk stands. Seqs lie below it, as images end at 256 TiB. */
export const NO_SEQ = 0x7fff_ffff;

/** Marks, while a plan is made, a seq that is not the first of its chunk. */
const HAS_PREDECESSOR = 0x8000_0000;

/** Zero ranges are cut to 1 GiB, so that workers share them and notice a request to stop. */
const ZERO_RANGE_BYTES = 1_073_741_824;

/** Numbers that describe a plan to users. */
export interface PlanSummary {
  readonly imageBytes: number;
  /** Places in the image, with and without content. */
  readonly seqCount: number;
  /** Places that hold zeros, mapped to the all-zero chunk or not mapped at all. */
  readonly zeroSeqs: number;
  /** Chunks with other content, each counted once. */
  readonly distinctChunks: number;
  /** Decoded bytes of the distinct chunks, as far as the image needs them. */
  readonly distinctBytes: number;
  /** Bytes of the image that hold zeros by plan; chunks may hold more. */
  readonly zeroBytes: number;
}

/** What workers are to do; plain data over shared memory. */
export interface RestorePlan extends PlanSummary {
  /** The revision map's ids: 16 bytes a seq, 16 zero bytes for an absent one. */
  readonly ids: Uint8Array<SharedArrayBuffer>;
  /** First seq of each distinct chunk, ascending. */
  readonly firstSeqs: Uint32Array<SharedArrayBuffer>;
  /** For each seq the next one of the same chunk, or {@linkcode NO_SEQ}; meaningless for seqs of zeros. */
  readonly nextSeqs: Uint32Array<SharedArrayBuffer>;
  /** Ranges of zeros as pairs: first byte of the image, number of bytes. */
  readonly zeroRanges: Float64Array<SharedArrayBuffer>;
}

/** Returns how many bytes of the image lie in a seq: a full chunk, or less in the last one. */
export function bytesOfSeq(imageBytes: number, seq: number): number {
  return Math.min(CHUNK_BYTES, imageBytes - seq * CHUNK_BYTES);
}

/** Returns the 16 bytes of a seq's chunk id; a view that the plan owns. */
export function idOfSeq(
  plan: Pick<RestorePlan, "ids">,
  seq: number,
): Uint8Array<SharedArrayBuffer> {
  return plan.ids.subarray(seq * CHUNK_ID_BYTES, (seq + 1) * CHUNK_ID_BYTES);
}

/** Lists all seqs of the chunk that stands first at `firstSeq`, ascending. */
export function seqsOfJob(plan: Pick<RestorePlan, "nextSeqs">, firstSeq: number): number[] {
  const seqs: number[] = [];
  for (let seq = firstSeq; seq !== NO_SEQ; seq = plan.nextSeqs[seq]!) seqs.push(seq);
  return seqs;
}

/** Tells which seqs of a map hold zeros by their id. */
export class ZeroTest {
  readonly #words: Uint32Array;

  constructor(ids: Uint8Array<SharedArrayBuffer>) {
    this.#words = new Uint32Array(ids.buffer, ids.byteOffset, ids.byteLength / 4);
  }

  /** Whether a seq is absent from the mapping or names the all-zero chunk. */
  isZero(seq: number): boolean {
    const words = this.#words;
    const at = seq * 4;
    const first = words[at]!;
    if (first !== 0 && first !== ZERO_WORDS[0]) return false;
    return (first === 0 && words[at + 1] === 0 && words[at + 2] === 0 && words[at + 3] === 0) ||
      (first === ZERO_WORDS[0] && words[at + 1] === ZERO_WORDS[1] &&
        words[at + 2] === ZERO_WORDS[2] && words[at + 3] === ZERO_WORDS[3]);
  }

  /** Yields the seqs below `seqCount` that hold zeros, ascending. */
  *zeroSeqs(seqCount: number): Generator<number, void> {
    for (let seq = 0; seq < seqCount; seq++) if (this.isZero(seq)) yield seq;
  }
}

const ZERO_WORDS = new Uint32Array(chunkIdFromHex(ZERO_CHUNK_ID).buffer);

/**
 * Plans the restore of a revision.
 *
 * @param map Read as is; its ids become part of the plan.
 */
export function planRestore(map: RevisionMap): RestorePlan {
  const { size: imageBytes, seqCount, ids } = map;
  const zeroTest = new ZeroTest(ids);
  const nextSeqs = shared(seqCount);
  const distinctChunks = linkSeqs(ids, seqCount, zeroTest, nextSeqs);

  const firstSeqs = shared(distinctChunks);
  let jobCount = 0;
  let zeroSeqs = 0;
  for (let seq = 0; seq < seqCount; seq++) {
    if (zeroTest.isZero(seq)) zeroSeqs++;
    else if (nextSeqs[seq]! & HAS_PREDECESSOR) nextSeqs[seq]! &= ~HAS_PREDECESSOR;
    else firstSeqs[jobCount++] = seq;
  }

  // Only the last seq may be short: it is short of the same number of bytes wherever it counts.
  const missing = seqCount * CHUNK_BYTES - imageBytes;
  const lastIsZero = seqCount > 0 && zeroTest.isZero(seqCount - 1);
  const lastIsJob = jobCount > 0 && firstSeqs[jobCount - 1] === seqCount - 1;
  return {
    imageBytes,
    seqCount,
    zeroSeqs,
    distinctChunks,
    distinctBytes: distinctChunks * CHUNK_BYTES - (lastIsJob ? missing : 0),
    zeroBytes: zeroSeqs * CHUNK_BYTES - (lastIsZero ? missing : 0),
    ids,
    firstSeqs,
    nextSeqs,
    zeroRanges: sharedZeroRanges(zeroTest, seqCount, imageBytes),
  };
}

/**
 * Links the seqs of each chunk, ascending, and marks all but the first with HAS_PREDECESSOR.
 *
 * Goes through the image backwards and puts each seq in front of the list of its chunk, which is found through an open-addressing
 * table of list heads. Ids are hashes, but those of a hostile map could be made to collide: they are mixed with
 * random numbers, high bits into low ones after each word (a sum of products would keep what low bits lack).
 *
 * @returns The number of distinct chunks.
 */
function linkSeqs(
  ids: Uint8Array<SharedArrayBuffer>,
  seqCount: number,
  zeroTest: ZeroTest,
  nextSeqs: Uint32Array,
): number {
  const words = new Uint32Array(ids.buffer, ids.byteOffset, seqCount * 4);
  let dataSeqs = 0;
  for (let seq = 0; seq < seqCount; seq++) if (!zeroTest.isZero(seq)) dataSeqs++;

  const slotBits = Math.ceil(Math.log2(dataSeqs * 1.5 + 2));
  const slots = 2 ** slotBits;
  const [m0 = 1, m1 = 1, m2 = 1, m3 = 1] = crypto.getRandomValues(new Uint32Array(4)).map((m) =>
    m | 1
  );
  const heads = new Uint32Array(slots); // seq + 1; 0: empty
  let distinct = 0;
  for (let seq = seqCount - 1; seq >= 0; seq--) {
    if (zeroTest.isZero(seq)) continue;
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
      const other = head * 4;
      if (
        words[at] === words[other] && words[at + 1] === words[other + 1] &&
        words[at + 2] === words[other + 2] && words[at + 3] === words[other + 3]
      ) {
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

/** Collects the ranges of zeros. Counts them first: a list that grows would cost a huge image more than the result. */
function sharedZeroRanges(
  zeroTest: ZeroTest,
  seqCount: number,
  imageBytes: number,
): Float64Array<SharedArrayBuffer> {
  const options = { chunkBytes: CHUNK_BYTES, imageBytes, maxBytes: ZERO_RANGE_BYTES };
  const ranges = () => zeroRanges(zeroTest.zeroSeqs(seqCount), options);
  let count = 0;
  for (const _ of ranges()) count++;
  const pairs = new Float64Array(new SharedArrayBuffer(2 * count * 8));
  let at = 0;
  for (const { offset, length } of ranges()) {
    pairs[at++] = offset;
    pairs[at++] = length;
  }
  return pairs;
}
