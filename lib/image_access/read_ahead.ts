/**
 * Recognizes sequential reading, so that the following chunks are loaded before they are needed.
 * Pure.
 *
 * The kernel has several requests in flight, which arrive in any order, and a loop device passes
 * the reads of many programs through one open file. So several runs are followed, and each
 * tolerates some disorder.
 *
 * @module
 */

import { CHUNK_BYTES } from "../store/layout.ts";

/** Runs that are followed in an open image. */
const RUN_COUNT = 4;

/** How far from a run's end a read may begin and still be part of it. */
const SLACK_BYTES = 2 * 1024 * 1024;

/** Length of a run from which chunks are loaded ahead: most files in an image are smaller. */
const MIN_RUN_BYTES = 512 * 1024;

interface Run {
  end: number;
  bytes: number;
}

/** The runs of reads in an open image. */
export class ReadAhead {
  readonly #maxChunks: number;
  /** The most recently used first. */
  #runs: Run[] = [];

  /** @param maxChunks Most chunks to load ahead; 0 for none. */
  constructor(maxChunks: number) {
    this.#maxChunks = maxChunks;
  }

  /**
   * Takes note of a read.
   *
   * @returns How many chunks to load behind the one in which the read ends: more in a longer run.
   */
  follow(offset: number, length: number): number {
    const end = offset + length;
    let run = this.#runs.find((run) => Math.abs(offset - run.end) <= SLACK_BYTES);
    if (run) {
      this.#runs = [run, ...this.#runs.filter((other) => other !== run)];
      // Bytes that were read before do not count, nor those that were skipped.
      run.bytes += Math.min(length, Math.max(0, end - run.end));
      run.end = Math.max(run.end, end);
    } else {
      run = { end, bytes: length };
      this.#runs = [run, ...this.#runs.slice(0, RUN_COUNT - 1)];
    }
    if (run.bytes < MIN_RUN_BYTES) return 0;
    return Math.min(this.#maxChunks, 1 + Math.floor(run.bytes / CHUNK_BYTES));
  }
}
