/**
 * Shows the steps and the progress of a run: a redrawn line on a terminal, a plain line now and then
 * elsewhere. What the lines look like is `progress_line.ts`'s matter.
 *
 * @module
 */

import { printable } from "../wording.ts";
import { type ProgressState, renderPlainProgress, renderProgress } from "./progress_line.ts";
import { RateEstimator } from "./rate_estimator.ts";
import type { Display, Sink } from "./terminal.ts";

/** How far a run is, as its reporter asks for it. */
export interface ProgressCounts {
  /** Bytes of the image that are in place, zeros included. */
  readonly doneBytes: number;
  /** Size of the image. */
  readonly totalBytes: number;
  /** Bytes of distinct data chunks that are decoded. */
  readonly workDoneBytes: number;
  /** Bytes of distinct data chunks that have to be decoded. */
  readonly workTotalBytes: number;
}

/** Time, as far as a reporter needs it. */
export interface Clock {
  /** Milliseconds that never run backwards. */
  now(): number;
  /** Calls back again and again until the returned function is called. */
  every(intervalMs: number, callback: () => void): () => void;
}

/** How a reporter is set up. */
export interface ReporterOptions {
  /** Name of the tool, put before warnings and errors. */
  readonly tool: string;
  readonly write: Sink;
  readonly display: Display;
  /** Leaves only warnings and errors. */
  readonly quiet: boolean;
  readonly clock?: Clock;
}

/** A step that is under way. */
interface Activity {
  readonly step: string;
  readonly counts: (() => ProgressCounts) | undefined;
  readonly startMs: number;
  /** Fed with bytes decoded. */
  readonly work: RateEstimator;
  /** Fed with bytes of the image in place. */
  readonly image: RateEstimator;
}

const REDRAW_MS = 200;
const PLAIN_TICK_MS = 1000;
const PLAIN_LINE_MS = 10_000;

const ERASE_LINE = "\r\x1b[K";
const YELLOW = "\x1b[33m";
const RESET = "\x1b[0m";

const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  every(intervalMs, callback) {
    const timer = setInterval(callback, intervalMs);
    // Progress alone is no reason for the process to live on.
    Deno.unrefTimer(timer);
    return () => clearInterval(timer);
  },
};

/**
 * Reports a run to a person. Every text is escaped and printed as one line.
 *
 * Everything happens on the calling thread: a caller that blocks for longer than a second halts the bar.
 */
export class ProgressReporter implements Disposable {
  readonly #tool: string;
  readonly #write: Sink;
  readonly #display: Display;
  readonly #quiet: boolean;
  readonly #clock: Clock;
  #activity: Activity | undefined;
  #stopTicking: (() => void) | undefined;
  #lastPlainMs = 0;
  #lastTickMs = 0;
  #isLineDrawn = false;

  constructor(options: ReporterOptions) {
    this.#tool = options.tool;
    this.#write = options.write;
    this.#display = options.display;
    this.#quiet = options.quiet;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  /**
   * Announces a step, which lasts until the next one or until {@linkcode stop}.
   *
   * @param text What is announced, such as "Loading revision map".
   */
  step(text: string): void {
    this.#begin(text, text, undefined);
  }

  /**
   * Announces a step whose progress can be measured.
   *
   * @param text What is announced, such as `Restoring REV (100 GiB) to "TARGET" with 2 workers`.
   * @param label Short form for the bar, such as "Restoring".
   * @param counts Asked for the state of affairs several times a second; must be quick.
   */
  track(text: string, label: string, counts: () => ProgressCounts): void {
    this.#begin(text, label, counts);
  }

  /** Moves the bar if it is time; for work that keeps timers from running, which calls this again and again. */
  refresh(): void {
    const { canRedraw } = this.#display;
    const dueMs = this.#lastTickMs + (canRedraw ? REDRAW_MS : PLAIN_TICK_MS);
    if (this.#activity !== undefined && this.#clock.now() >= dueMs) this.#tick();
  }

  /** Prints a line, unless quiet; the bar stays below it. */
  message(text: string): void {
    if (!this.#quiet) this.#print(printable(text));
  }

  /** Prints a warning, quiet or not; the bar stays below it. */
  warn(text: string): void {
    this.#print(`${this.#tool}: ${this.#paint(YELLOW, "warning:")} ${printable(text)}`);
  }

  /** Ends the bar and prints what made the run fail, quiet or not. */
  fail(text: string): void {
    this.stop();
    this.#print(`${this.#tool}: ${printable(text)}`);
  }

  /** Ends the step that is under way and removes its bar; does nothing where there is none. */
  stop(): void {
    this.#stopTicking?.();
    this.#stopTicking = undefined;
    this.#activity = undefined;
    this.#erase();
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  #begin(text: string, label: string, counts: (() => ProgressCounts) | undefined): void {
    this.stop();
    if (this.#quiet) return;
    this.message(text);
    const startMs = this.#clock.now();
    this.#activity = {
      step: label,
      counts,
      startMs,
      work: new RateEstimator(),
      image: new RateEstimator(),
    };
    this.#lastPlainMs = startMs;
    this.#lastTickMs = startMs;
    const { canRedraw } = this.#display;
    this.#stopTicking = this.#clock.every(
      canRedraw ? REDRAW_MS : PLAIN_TICK_MS,
      () => this.#tick(),
    );
    // A step without measure is often over at once; its line comes with the first tick.
    if (counts !== undefined) this.#tick();
  }

  #tick(): void {
    const activity = this.#activity;
    if (activity === undefined) return;
    const nowMs = this.#clock.now();
    this.#lastTickMs = nowMs;
    const state = this.#measure(activity, nowMs);
    if (this.#display.canRedraw) {
      // The last column stays free: terminals differ in when they wrap.
      const columns = this.#display.columns() - 1;
      const line = renderProgress(state, { columns, color: this.#display.color });
      this.#write(ERASE_LINE + line);
      this.#isLineDrawn = true;
    } else if (nowMs - this.#lastPlainMs > PLAIN_LINE_MS - PLAIN_TICK_MS / 2) {
      // Half a tick early rather than half a tick late.
      this.#lastPlainMs = nowMs;
      this.#print(renderPlainProgress(state));
    }
  }

  #measure(activity: Activity, nowMs: number): ProgressState {
    const { step, counts, startMs, work, image } = activity;
    const elapsedMs = nowMs - startMs;
    if (counts === undefined) {
      return {
        step,
        elapsedMs,
        doneBytes: 0,
        totalBytes: null,
        rateBytesPerSecond: null,
        etaSeconds: null,
      };
    }
    const { doneBytes, totalBytes, workDoneBytes, workTotalBytes } = counts();
    work.add(nowMs, workDoneBytes);
    image.add(nowMs, doneBytes);
    const remainingWork = workTotalBytes - workDoneBytes;
    // With all chunks decoded (or none to decode), what is left is writing, of zeros for the most part.
    const [estimator, remainingBytes] = remainingWork > 0
      ? [work, remainingWork]
      : [image, totalBytes - doneBytes];
    return {
      step,
      elapsedMs,
      doneBytes,
      totalBytes,
      rateBytesPerSecond: estimator.bytesPerSecond,
      etaSeconds: estimator.etaSeconds(remainingBytes),
    };
  }

  /** Prints a whole line in place of the bar, which the next tick draws again. */
  #print(line: string): void {
    this.#erase();
    this.#write(`${line}\n`);
  }

  #erase(): void {
    if (this.#isLineDrawn) this.#write(ERASE_LINE);
    this.#isLineDrawn = false;
  }

  #paint(color: string, text: string): string {
    return this.#display.color ? `${color}${text}${RESET}` : text;
  }
}
