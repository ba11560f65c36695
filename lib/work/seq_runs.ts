/**
 * The seqs at which a chunk stands, run-length coded: there may be millions, usually side by side.
 * Pure.
 *
 * @module
 */

import type { ChunkRef, SeqList } from "../chunk/chunk_ref.ts";
import { chunkIdAt } from "../store/chunk_ids.ts";
import { type ChunkJobs, NO_SEQ, type SourceImage } from "./jobs.ts";

/** Seqs that an error lists. */
const LISTED_SEQS = 100;

/** Seqs in ascending order. */
export class SeqRuns {
  /** Pairs: first seq, number of seqs. */
  #pairs = new Uint32Array(2);
  #used = 0;
  #count = 0;

  /** All seqs of the chunk that stands first at a seq. */
  static ofJob({ nextSeqs }: Pick<ChunkJobs, "nextSeqs">, firstSeq: number): SeqRuns {
    const runs = new SeqRuns();
    for (let seq = firstSeq; seq !== NO_SEQ; seq = nextSeqs[seq]!) runs.add(seq);
    return runs;
  }

  /** These seqs, which ascend. */
  static of(...seqs: number[]): SeqRuns {
    const runs = new SeqRuns();
    for (const seq of seqs) runs.add(seq);
    return runs;
  }

  /** Number of seqs. */
  get count(): number {
    return this.#count;
  }

  /** Adds a seq that is greater than all others. */
  add(seq: number): void {
    const last = this.#used - 2;
    this.#count++;
    if (last >= 0 && this.#pairs[last]! + this.#pairs[last + 1]! === seq) {
      this.#pairs[last + 1]!++;
      return;
    }
    if (this.#used === this.#pairs.length) {
      const pairs = new Uint32Array(2 * this.#used);
      pairs.set(this.#pairs);
      this.#pairs = pairs;
    }
    this.#pairs[this.#used++] = seq;
    this.#pairs[this.#used++] = 1;
  }

  /** Returns a copy of the runs as pairs: first seq, number of seqs. */
  pairs(): Uint32Array<ArrayBuffer> {
    return this.#pairs.slice(0, this.#used);
  }

  /** Returns the first seqs as a list, and how many there are. */
  list(): SeqList {
    const first: number[] = [];
    for (const seq of this) if (first.push(seq) === LISTED_SEQS) break;
    return { first, count: this.#count };
  }

  *[Symbol.iterator](): Generator<number, void> {
    for (let at = 0; at < this.#used; at += 2) {
      const first = this.#pairs[at]!;
      const end = first + this.#pairs[at + 1]!;
      for (let seq = first; seq < end; seq++) yield seq;
    }
  }
}

/** Counts the seqs of the chunk that stands first at a seq, without a list of them. */
export function countSeqs({ nextSeqs }: Pick<ChunkJobs, "nextSeqs">, firstSeq: number): number {
  let count = 0;
  for (let seq = firstSeq; seq !== NO_SEQ; seq = nextSeqs[seq]!) count++;
  return count;
}

/** A chunk that workers read, and the seqs that need it. */
export interface WantedChunk extends ChunkRef {
  /** Absent if no image is involved. */
  readonly runs?: () => SeqRuns;
}

/**
 * Describes the chunk at a seq of an image.
 *
 * @param runs Returns the seqs that need the chunk; called only if it is bad.
 */
export function chunkAt(
  { ids, imageBytes }: Pick<SourceImage, "ids" | "imageBytes">,
  seq: number,
  runs: () => SeqRuns,
): WantedChunk {
  return { id: chunkIdAt(ids, seq), seqs: () => runs().list(), imageBytes, runs };
}
