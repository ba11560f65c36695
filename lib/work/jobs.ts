/**
 * The distinct chunks of an image as jobs for workers, each with all the seqs it stands at. Pure.
 *
 * Jobs lie in shared memory, so that workers take them without messages: 16 bytes a seq for the
 * ids, 4 for the links between seqs of one chunk, 4 a job; another 6 to 12 a seq while they are
 * found.
 *
 * @module
 */

import type { Steps } from "../slices.ts";
import { hasSameId, IdHasher, wordsOf } from "../store/chunk_ids.ts";
import type { ImageExtent } from "./extent.ts";

/** Ends the list of a chunk's seqs. Seqs are smaller, because images end at 256 TiB. */
export const NO_SEQ = 0x7fff_ffff;

/** Marks an item of a stream that is a zero range; the rest of the number is its index. */
export const ZERO_RANGE_ITEM = 0x8000_0000;

/** Seqs between two pauses: some milliseconds. */
export const SEQS_PER_STEP = 0x1_0000;

/** While jobs are searched for, marks a seq that is not the first of its chunk. */
const HAS_PREDECESSOR = 0x8000_0000;

/** An image whose chunks workers decode; plain data over shared memory. */
export interface SourceImage {
  /** Size of the whole image. */
  readonly imageBytes: number;
  /** Which part of it is wanted, and where that goes. */
  readonly extent: ImageExtent;
  /** The revision map's ids: 16 bytes a seq, 16 zero bytes for an absent one. */
  readonly ids: Uint8Array<SharedArrayBuffer>;
}

/** The jobs of an image: its distinct chunks. Plain data over shared memory. */
export interface ChunkJobs {
  /** First seq of each distinct chunk, ascending. */
  readonly firstSeqs: Uint32Array<SharedArrayBuffer>;
  /** For each seq of data, the next one of its chunk or {@linkcode NO_SEQ}; for others, 0. */
  readonly nextSeqs: Uint32Array<SharedArrayBuffer>;
}

/** Which seqs make jobs. */
export interface SeqSpan {
  readonly firstSeq: number;
  /** The seq after the last one. */
  readonly endSeq: number;
  /** Whether a seq holds data that is wanted. */
  readonly isData: (seq: number) => boolean;
}

/**
 * Finds the distinct chunks of a span of seqs, and links the seqs of each.
 *
 * @param ids 16 bytes a seq of the whole image.
 */
export function* findJobs(ids: Uint8Array<SharedArrayBuffer>, span: SeqSpan): Steps<ChunkJobs> {
  const { firstSeq, endSeq } = span;
  const words = wordsOf(ids);
  const nextSeqs = sharedUint32(words.length / 4);
  const firstSeqs = sharedUint32(yield* linkSeqs(words, nextSeqs, span));
  let jobCount = 0;
  for (let seq = firstSeq; seq < endSeq; seq++) {
    if (seq % SEQS_PER_STEP === 0) yield;
    const next = nextSeqs[seq]!;
    if (next & HAS_PREDECESSOR) nextSeqs[seq] = next & ~HAS_PREDECESSOR;
    else if (next !== 0) firstSeqs[jobCount++] = seq;
  }
  return { firstSeqs, nextSeqs };
}

/** Makes an array of zeros in shared memory. */
export function sharedUint32(length: number): Uint32Array<SharedArrayBuffer> {
  return new Uint32Array(new SharedArrayBuffer(length * 4));
}

/**
 * Links the seqs of each chunk, ascending, and marks all but the first with HAS_PREDECESSOR.
 *
 * Walks the image backwards and puts each seq at the head of its chunk's list; an open-addressing
 * table has the heads.
 *
 * @returns The number of distinct chunks.
 */
function* linkSeqs(
  words: Uint32Array,
  nextSeqs: Uint32Array,
  { firstSeq, endSeq, isData }: SeqSpan,
): Steps<number> {
  let dataSeqs = 0;
  for (let seq = firstSeq; seq < endSeq; seq++) {
    if (seq % SEQS_PER_STEP === 0) yield;
    if (isData(seq)) dataSeqs++;
  }

  const slots = 2 ** Math.ceil(Math.log2(dataSeqs * 1.5 + 2));
  const hasher = new IdHasher();
  const heads = new Uint32Array(slots); // seq + 1; 0: empty
  let distinct = 0;
  for (let seq = endSeq - 1; seq >= firstSeq; seq--) {
    if (seq % SEQS_PER_STEP === 0) yield;
    if (!isData(seq)) continue;
    const at = seq * 4;
    let slot = hasher.hash(words, at) & (slots - 1);
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
