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

/**
 * How far from a run's end a read may begin and still be part of it: where requests are small,
 * those of the kernel's next window of 4 MiB overtake most of the one before.
 */
const SLACK_BYTES = 8 * 1024 * 1024;

/** Chunks behind a run's end that may still be asked for by reads that were overtaken. */
const SLACK_CHUNKS = 2;

/**
 * Length of a run from which chunks count as passed: what is read again is mostly shorter, such as
 * a file in an image.
 */
const MIN_PASSING_BYTES = 32 * 1024 * 1024;

/** Length of a run from which chunks are loaded ahead: most files in an image are smaller. */
const MIN_RUN_BYTES = 512 * 1024;

interface Run {
  end: number;
  bytes: number;
  /** As far as chunks were loaded ahead, holes left aside: a seq; 0 if none were. */
  aheadSeq: number;
  /** The first seq that was not passed. */
  firstSeq: number;
}

/** What a read means for the chunks around it. */
export interface Following {
  /** Whether it belongs to a sequential read. */
  readonly isRun: boolean;
  /**
   * How many chunks to load behind the one in which the read ends: more in a longer run, and 0 if
   * an earlier read of the run has led to no fewer.
   */
  readonly aheadChunks: number;
  /** The seqs that a long run has left behind by this read. */
  readonly passed: { readonly firstSeq: number; readonly endSeq: number };
}

const NOTHING: Following["passed"] = { firstSeq: 0, endSeq: 0 };

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
   * @param dataFrom Returns the first offset from one on at which there is data: readers may leave
   *   out holes. Default: all is data.
   */
  follow(offset: number, length: number, dataFrom?: (offset: number) => number): Following {
    const end = offset + length;
    let run = this.#runs.find((run) => isNear(offset, run.end));
    if (!run && dataFrom) {
      run = this.#runs.find((run) =>
        run.end < offset && run.bytes >= MIN_RUN_BYTES && isNear(offset, dataFrom(run.end))
      );
    }
    if (!run) return this.#begin(offset, end);
    this.#runs = [run, ...this.#runs.filter((other) => other !== run)];
    // Bytes that were read before do not count, nor those that were skipped.
    run.bytes += Math.min(length, Math.max(0, end - run.end));
    run.end = Math.max(run.end, end);
    return this.#following(
      run,
      end,
      passedBy(run, Math.floor(run.end / CHUNK_BYTES) - SLACK_CHUNKS),
    );
  }

  #begin(offset: number, end: number): Following {
    const [last] = this.#runs;
    // Whoever jumps has mostly done with what was read last.
    const passed = last ? passedBy(last, Math.ceil(last.end / CHUNK_BYTES)) : NOTHING;
    const firstSeq = Math.floor(offset / CHUNK_BYTES);
    const run = { end, bytes: end - offset, aheadSeq: 0, firstSeq };
    this.#runs = [run, ...this.#runs.slice(0, RUN_COUNT - 1)];
    return this.#following(run, end, passed);
  }

  #following(run: Run, end: number, passed: Following["passed"]): Following {
    const isRun = run.bytes >= MIN_RUN_BYTES;
    return { isRun, aheadChunks: isRun ? this.#aheadOf(run, end) : 0, passed };
  }

  /** Returns how many chunks to load behind a read that ends at `end`. */
  #aheadOf(run: Run, end: number): number {
    const chunks = Math.min(this.#maxChunks, 1 + Math.floor(run.bytes / CHUNK_BYTES));
    const aheadSeq = Math.ceil(end / CHUNK_BYTES) + chunks;
    if (aheadSeq <= run.aheadSeq) return 0;
    run.aheadSeq = aheadSeq;
    return chunks;
  }
}

function isNear(offset: number, end: number): boolean {
  return Math.abs(offset - end) <= SLACK_BYTES;
}

/** Takes the seqs that a run has passed from it: those before `endSeq` if it is a long one. */
function passedBy(run: Run, endSeq: number): Following["passed"] {
  const { firstSeq } = run;
  if (run.bytes >= MIN_PASSING_BYTES) run.firstSeq = Math.max(firstSeq, endSeq);
  return { firstSeq, endSeq: run.firstSeq };
}
