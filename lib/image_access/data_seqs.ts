/**
 * Which seqs of an image hold data, for those who ask for its holes or for the space that it takes.
 *
 * Data is what the revision map names, except for the all-zero chunk, and each chunk that was
 * written to, even if by zeros. No chunk is read to find that out; so a hole is at least one chunk
 * long. Used by `image_map.ts` and `image.ts`. Pure.
 *
 * @module
 */

import { ZeroTest } from "../store/chunk_ids.ts";
import { bytesOfSeq, CHUNK_BYTES } from "../store/layout.ts";
import type { RevisionMap } from "../store/revision_map.ts";

/**
 * Seqs that are counted together. An image of 64 TiB has 4,096 such blocks, so that finding the end
 * of any run takes some thousand steps, not 16 million: programs ask again for every few MiB that
 * they read of a run.
 */
const BLOCK_SEQS = 4096;

/** What a seq holds. */
export type SeqContent = "data" | "zeros";

/** The data and the holes of an image. */
export class DataSeqs {
  readonly #zeros: ZeroTest;
  readonly #seqCount: number;
  readonly #imageBytes: number;
  /** Zeros by the map that were written to. */
  readonly #changed = new Set<number>();
  /** Number of seqs with data in each block. */
  readonly #counts: Uint16Array;
  #count = 0;

  /** @param changed Seqs that were written to. */
  constructor(map: RevisionMap, changed: Iterable<number>) {
    this.#zeros = new ZeroTest(map.ids);
    this.#seqCount = map.seqCount;
    this.#imageBytes = map.imageBytes;
    this.#counts = new Uint16Array(Math.ceil(map.seqCount / BLOCK_SEQS));
    for (let block = 0; block < this.#counts.length; block++) {
      let count = 0;
      for (let seq = block * BLOCK_SEQS, end = this.#endOf(block); seq < end; seq++) {
        if (!this.#zeros.isZero(seq)) count++;
      }
      this.#counts[block] = count;
      this.#count += count;
    }
    for (const seq of changed) this.add(seq);
  }

  /** Bytes of the image that are data. */
  get bytes(): number {
    if (this.#count === 0) return 0;
    const last = this.#seqCount - 1;
    const missing = this.isData(last) ? CHUNK_BYTES - bytesOfSeq(this.#imageBytes, last) : 0;
    return this.#count * CHUNK_BYTES - missing;
  }

  /** Bytes from `start` up to, not including, `end` that are data; both lie in the image. */
  bytesIn(start: number, end: number): number {
    if (start >= end) return 0;
    const first = Math.floor(start / CHUNK_BYTES), last = Math.ceil(end / CHUNK_BYTES) - 1;
    let count = 0;
    for (let seq = first; seq <= last;) {
      if (seq % BLOCK_SEQS === 0 && seq + BLOCK_SEQS <= last) {
        count += this.#counts[seq / BLOCK_SEQS]!;
        seq += BLOCK_SEQS;
      } else if (this.isData(seq++)) count++;
    }
    // Only a part of the first and of the last chunk may lie in the range.
    const before = this.isData(first) ? start - first * CHUNK_BYTES : 0;
    const behind = this.isData(last) ? (last + 1) * CHUNK_BYTES - end : 0;
    return count * CHUNK_BYTES - before - behind;
  }

  isData(seq: number): boolean {
    return !this.#zeros.isZero(seq) || this.#changed.has(seq);
  }

  /** Takes note that a seq was written to; may be called again for the same one. */
  add(seq: number): void {
    if (this.isData(seq)) return;
    this.#changed.add(seq);
    this.#counts[Math.floor(seq / BLOCK_SEQS)]!++;
    this.#count++;
  }

  /** Returns the first seq from `seq` on that holds such content; the number of seqs if none. */
  find(seq: number, content: SeqContent): number {
    const isData = content === "data";
    while (seq < this.#seqCount) {
      const block = Math.floor(seq / BLOCK_SEQS);
      const end = this.#endOf(block);
      const data = this.#counts[block]!;
      const hasAny = isData ? data > 0 : data < end - block * BLOCK_SEQS;
      for (; hasAny && seq < end; seq++) if (this.isData(seq) === isData) return seq;
      seq = end;
    }
    return this.#seqCount;
  }

  #endOf(block: number): number {
    return Math.min((block + 1) * BLOCK_SEQS, this.#seqCount);
  }
}
