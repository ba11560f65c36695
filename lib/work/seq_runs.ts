/**
 * Places of a chunk, run-length coded: one chunk may stand at millions of seqs, as a rule side by
 * side. Pure.
 *
 * @module
 */

import type { SeqList } from "../chunk/chunk_ref.ts";
import { NO_SEQ, type RestorePlan } from "./plan.ts";

/** As many seqs are listed one by one, in errors. */
const LISTED_SEQS = 100;

/** Seqs in ascending order. */
export class SeqRuns {
  /** Pairs: first seq, number of seqs. */
  #pairs = new Uint32Array(2);
  #used = 0;
  #count = 0;

  /** All seqs of the chunk that stands first at a seq of a plan. */
  static ofJob(plan: Pick<RestorePlan, "nextSeqs">, firstSeq: number): SeqRuns {
    const runs = new SeqRuns();
    for (let seq = firstSeq; seq !== NO_SEQ; seq = plan.nextSeqs[seq]!) runs.add(seq);
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

  /** Adds a seq behind all others. */
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

  /** Lists the first seqs. */
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
