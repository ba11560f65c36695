/**
 * Recognizes sequential reading, for the chunks that follow to be loaded before they are asked for.
 * Pure.
 *
 * The kernel has several requests in flight, and they come in any order; a loop device passes the
 * reads of many programs through one open file. So several runs are followed, and each tolerates
 * some disorder.
 *
 * @module
 */

import { CHUNK_BYTES } from "../store/layout.ts";

/** Runs that are followed in one open file. */
const RUN_COUNT = 4;

/** How far from a run's end a read may begin and still be part of it. */
const SLACK_BYTES = 2 * 1024 * 1024;

/** Loading ahead begins when so much was read in a run: most files in an image are smaller. */
const MIN_RUN_BYTES = 512 * 1024;

interface Run {
  end: number;
  bytes: number;
}

/** The reading of one open file. */
export class ReadAhead {
  readonly #maxChunks: number;
  /** The most recently used first. */
  #runs: Run[] = [];

  /** @param maxChunks Most chunks that are to be loaded ahead; 0 for none. */
  constructor(maxChunks: number) {
    this.#maxChunks = maxChunks;
  }

  /**
   * Takes notice of a read.
   *
   * @returns How many chunks behind the one in which it ends should be loaded: the more, the longer
   *   the run.
   */
  follow(offset: number, length: number): number {
    const end = offset + length;
    let run = this.#runs.find((run) => Math.abs(offset - run.end) <= SLACK_BYTES);
    if (run) {
      this.#runs = [run, ...this.#runs.filter((other) => other !== run)];
      // Reading the same place again is no progress, and what was passed over was not read.
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
