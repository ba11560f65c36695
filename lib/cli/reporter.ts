/**
 * What a command reports while it runs, to a person (`progress.ts`) or a program
 * (`json_reporter.ts`).
 *
 * A command calls {@linkcode Reporter.start} once, then a method for each step, and ends with
 * {@linkcode Reporter.summary} or {@linkcode Reporter.fail}. Texts are for people, names and fields
 * for programs. Both are passed in one call, so that neither is forgotten.
 *
 * @module
 */

import type { LockEvent } from "../store/purge_lock.ts";
import type { ProgressCounts } from "./activity.ts";
import { formatQuantity } from "./format.ts";
import type { JsonFields } from "./json_line.ts";

/** What a run was asked for. */
export interface StartFields {
  /** Name of the command. */
  readonly command: string;
  /** The arguments and options as they were understood, by stable names in camelCase. */
  readonly arguments: JsonFields;
}

/** What a program is told about a step, besides its text. */
export interface StepOptions {
  /** The step's stable name, such as "read-map" or "restore"; default: its label. */
  readonly name?: string;
  /** More about it, by stable names in camelCase. */
  readonly fields?: JsonFields;
  /** How far the step is, if it may take long; called several times a second. */
  readonly counts?: () => ProgressCounts;
}

/** What is reported about a failure, besides the error. */
export interface FailureOptions {
  /** What follows from it, a line each: `"/dev/vg/vm" is incomplete`. */
  readonly notes?: readonly string[];
  /** More about it for programs, by stable names in camelCase. */
  readonly fields?: JsonFields;
}

/**
 * Reports how a run goes. Texts are escaped, so they may contain untrusted names. No method throws.
 */
export interface Reporter extends Disposable {
  /** Says what was asked for. */
  start(asked: StartFields): void;

  /** Announces a step, which lasts until the next one or until {@linkcode stop}. */
  step(text: string, options?: StepOptions): void;

  /**
   * Announces a step whose progress can be measured.
   *
   * @param text What is announced, such as `Restoring REV (100 GiB) to "TARGET" with 2 workers`.
   * @param label Short form for the bar, such as "Restoring".
   * @param counts Returns the current state; called several times a second, so it must be quick.
   */
  track(text: string, label: string, counts: () => ProgressCounts, options?: StepOptions): void;

  /** Shows once how far the step is, quiet or not: what SIGUSR1 asks for. */
  status(): void;

  /** Says something that no program needs to know; silent when quiet. */
  message(text: string): void;

  /** Says that something is not as it should be, quiet or not; the run goes on. */
  warn(text: string): void;

  /**
   * Shows lines for a person, quiet or not. A program finds the same in the fields of the summary
   * or the error.
   */
  listing(lines: readonly string[]): void;

  /**
   * Ends the step and says what was done: to a person in `lines`, unless quiet; to a program in
   * `fields`, those of a report.
   */
  summary(lines: readonly string[], fields: JsonFields): void;

  /**
   * Ends the step and says what made the run fail, quiet or not.
   *
   * @param failure What was caught, or a text.
   */
  fail(failure: unknown, options?: FailureOptions): void;

  /** Ends the current step, if there is one. */
  stop(): void;
}

/** Reports what restores, checks and mounts have in common. */
export function reportCommonEvent(
  reporter: Reporter,
  event: LockEvent | { readonly type: "notice"; readonly text: string },
): void {
  switch (event.type) {
    case "locking": {
      const { basedir } = event;
      return reporter.step("Obtaining purge lock", { name: "lock", fields: { basedir } });
    }
    case "lock-wait":
      return reporter.warn(`waiting for the purge lock, which is held by ${event.holder}`);
    case "notice":
      return reporter.message(event.text);
    case "warning":
      return reporter.warn(event.text);
  }
}

const TOLD_MAX = 10;

/**
 * Warns of the first few bad chunks or maps while a run goes on, so that a person notices. The
 * report at the end has all of them.
 */
export class BadChunkWarnings {
  readonly #reporter: Reporter;
  readonly #noun: string;
  #count = 0;

  /** @param noun What is bad, such as "chunk". */
  constructor(reporter: Reporter, noun = "chunk") {
    this.#reporter = reporter;
    this.#noun = noun;
  }

  /** Warns of one more; `detail` is a line. */
  tell(detail: string): void {
    if (++this.#count <= TOLD_MAX) this.#reporter.warn(detail);
  }

  /** Says how many more there were. */
  end(): void {
    const more = this.#count - TOLD_MAX;
    if (more > 0) {
      this.#reporter.warn(`${formatQuantity(more, `more ${this.#noun}`)} missing or corrupt`);
    }
    this.#count = 0;
  }
}
