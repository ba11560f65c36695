/**
 * The current step and how far it is, for either reporter.
 *
 * @module
 */

import type { ProgressState } from "./progress_line.ts";
import { RateEstimator } from "./rate_estimator.ts";

/** How far a step is. */
export interface ProgressCounts {
  /** What is counted, if not bytes. */
  readonly unit?: string;
  /** Bytes of the image that are done: in place, compared or verified; zeros included. */
  readonly doneBytes: number;
  /** Bytes of the image to be done. */
  readonly totalBytes: number;
  /**
   * Bytes of the work that takes the time, usually of distinct chunks decoded; default:
   * `doneBytes`.
   */
  readonly workDoneBytes?: number;
  /** Bytes of that work to be done; default: `totalBytes`. */
  readonly workTotalBytes?: number;
}

/** Time, as far as a reporter needs it. */
export interface Clock {
  /** Milliseconds that never run backwards. */
  now(): number;
  /** Calls back at intervals until the returned function is called. */
  every(intervalMs: number, callback: () => void): () => void;
}

/** The process's own time. */
export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  every(intervalMs, callback) {
    const timer = setInterval(callback, intervalMs);
    // Progress alone must not keep the process alive.
    Deno.unrefTimer(timer);
    return () => clearInterval(timer);
  },
};

/** A step with its start and its speed. */
export class Activity {
  readonly #step: string;
  readonly #counts: (() => ProgressCounts) | undefined;
  readonly #startMs: number;
  readonly #work = new RateEstimator();
  readonly #image = new RateEstimator();

  /**
   * @param step What the state names.
   * @param options.counts Absent for a step that cannot be measured.
   * @param options.startMs When it began. It is measured at once, so that the next measurement
   *   gives a rate.
   */
  constructor(
    step: string,
    options: { counts: (() => ProgressCounts) | undefined; startMs: number },
  ) {
    this.#step = step;
    this.#counts = options.counts;
    this.#startMs = options.startMs;
    this.measure(options.startMs);
  }

  /** Whether its progress can be measured. */
  get isMeasured(): boolean {
    return this.#counts !== undefined;
  }

  /**
   * Measures how far the step is now. The more often this is called, the better rate and ETA follow
   * a change of speed.
   */
  measure(nowMs: number): ProgressState {
    const head = { step: this.#step, elapsedMs: nowMs - this.#startMs };
    if (this.#counts === undefined) {
      return {
        ...head,
        doneBytes: 0,
        totalBytes: null,
        rateBytesPerSecond: null,
        etaSeconds: null,
      };
    }
    const counts = this.#counts();
    const { unit, doneBytes, totalBytes } = counts;
    const { workDoneBytes = doneBytes, workTotalBytes = totalBytes } = counts;
    this.#work.add(nowMs, workDoneBytes);
    this.#image.add(nowMs, doneBytes);
    const remainingWork = workTotalBytes - workDoneBytes;
    // Once all chunks are decoded, only writing is left, mostly of zeros.
    const [estimator, remainingBytes] = remainingWork > 0
      ? [this.#work, remainingWork]
      : [this.#image, totalBytes - doneBytes];
    return {
      ...head,
      ...unit !== undefined && { unit },
      doneBytes,
      totalBytes,
      rateBytesPerSecond: estimator.bytesPerSecond,
      etaSeconds: estimator.etaSeconds(remainingBytes),
    };
  }
}
