/**
 * Shows the steps and the progress of a run: a redrawn line on a terminal, a plain line now and
 * then elsewhere. `progress_line.ts` renders the lines.
 *
 * @module
 */

import { printable } from "../wording.ts";
import { Activity, type Clock, type ProgressCounts, SYSTEM_CLOCK } from "./activity.ts";
import { describeFailure } from "./failure.ts";
import type { JsonFields } from "./json_line.ts";
import { renderPlainProgress, renderProgress } from "./progress_line.ts";
import type { FailureOptions, Reporter, StartFields, StepOptions } from "./reporter.ts";
import type { Display, Sink } from "./terminal.ts";

/** How a reporter is set up. */
export interface ReporterOptions {
  /** Name of the tool, put before warnings and errors. */
  readonly tool: string;
  readonly write: Sink;
  readonly display: Display;
  /** Leaves only warnings and errors. */
  readonly quiet: boolean;
  /** How long to wait before a step is shown, in case it ends sooner; default 0. */
  readonly delayMs?: number;
  readonly clock?: Clock;
}

const REDRAW_MS = 200;
const PLAIN_TICK_MS = 1000;
const PLAIN_LINE_MS = 10_000;

const ERASE_LINE = "\r\x1b[K";
const YELLOW = "\x1b[33m";
const RESET = "\x1b[0m";

/**
 * Reports a run to a person. Every text is escaped and printed as one line. Fields are for programs
 * and are left out.
 *
 * Everything happens on the calling thread: while a caller blocks it, the bar stands still.
 */
export class ProgressReporter implements Reporter {
  readonly #tool: string;
  readonly #write: Sink;
  readonly #display: Display;
  readonly #quiet: boolean;
  readonly #delayMs: number;
  readonly #clock: Clock;
  #activity: Activity | undefined;
  #stopTicking: (() => void) | undefined;
  #startMs = 0;
  #lastPlainMs = 0;
  #isLineDrawn = false;

  constructor(options: ReporterOptions) {
    this.#tool = options.tool;
    this.#write = options.write;
    this.#display = options.display;
    this.#quiet = options.quiet;
    this.#delayMs = options.delayMs ?? 0;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  start(_asked: StartFields): void {}

  step(text: string, options: StepOptions = {}): void {
    this.#begin(text, text, options.counts);
  }

  track(
    text: string,
    label: string,
    counts: () => ProgressCounts,
    _options?: StepOptions,
  ): void {
    this.#begin(text, label, counts);
    // Only measured steps are drawn at once: others often end before the first tick.
    if (!this.#quiet) this.#tick();
  }

  status(): void {
    const state = this.#activity?.measure(this.#clock.now());
    this.#print(state ? renderPlainProgress(state) : "No step is under way");
  }

  message(text: string): void {
    if (!this.#quiet) this.#print(printable(text));
  }

  warn(text: string): void {
    this.#print(`${this.#tool}: ${this.#paint(YELLOW, "warning:")} ${printable(text)}`);
  }

  listing(lines: readonly string[]): void {
    for (const line of lines) this.#print(printable(line));
  }

  summary(lines: readonly string[], _fields: JsonFields): void {
    this.stop();
    for (const line of lines) this.message(line);
  }

  fail(failure: unknown, options: FailureOptions = {}): void {
    this.stop();
    const text = typeof failure === "string" ? failure : describeFailure(failure);
    for (const line of [text, ...options.notes ?? []]) {
      this.#print(`${this.#tool}: ${printable(line)}`);
    }
  }

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
    if (this.#delayMs === 0) this.message(text);
    const startMs = this.#clock.now();
    this.#startMs = startMs;
    this.#activity = new Activity(label, { counts, startMs });
    if (this.#quiet) return;
    this.#lastPlainMs = startMs;
    const { canRedraw } = this.#display;
    this.#stopTicking = this.#clock.every(
      canRedraw ? REDRAW_MS : PLAIN_TICK_MS,
      () => this.#tick(),
    );
  }

  #tick(): void {
    const activity = this.#activity;
    if (activity === undefined) return;
    const nowMs = this.#clock.now();
    if (nowMs - this.#startMs < this.#delayMs) return;
    const state = activity.measure(nowMs);
    if (this.#display.canRedraw) {
      // The last column stays free: terminals differ in when they wrap.
      const columns = this.#display.columns() - 1;
      const line = renderProgress(state, { columns, color: this.#display.color });
      this.#write(ERASE_LINE + line);
      this.#isLineDrawn = true;
    } else if (nowMs - this.#lastPlainMs > PLAIN_LINE_MS - PLAIN_TICK_MS / 2) {
      // Rather half a tick early than half a tick late.
      this.#lastPlainMs = nowMs;
      this.#print(renderPlainProgress(state));
    }
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
