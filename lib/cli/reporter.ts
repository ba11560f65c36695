/**
 * What a command reports while it runs, to a person (`progress.ts`) or a program
 * (`json_reporter.ts`).
 *
 * A command calls {@linkcode Reporter.start} once, a step for each event that begins one, and ends
 * with
 * {@linkcode Reporter.summary} or {@linkcode Reporter.fail}. Texts are for persons, names and
 * fields for programs; both come from one call, so that neither is forgotten.
 *
 * @module
 */

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

/** What a program learns of a step beside its text. */
export interface StepOptions {
  /** The step's stable name, in the manner of events: "read-map", "restore"; default: its label. */
  readonly name?: string;
  /** More about it, by stable names in camelCase. */
  readonly fields?: JsonFields;
  /** How far a step is that may be over at once or last for long; asked several times a second. */
  readonly counts?: () => ProgressCounts;
}

/** What there is to say about a failure beside the error. */
export interface FailureOptions {
  /** What follows from it, a line each: `"/dev/vg/vm" is incomplete`. */
  readonly notes?: readonly string[];
  /** More about it for programs, by stable names in camelCase. */
  readonly fields?: JsonFields;
}

/**
 * Tells how a run goes. Texts are escaped, so that they may hold what others wrote. No method
 * throws.
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
   * @param counts Asked for the state of affairs several times a second; must be quick.
   */
  track(text: string, label: string, counts: () => ProgressCounts, options?: StepOptions): void;

  /** Shows once how far the step is, quiet or not; what SIGUSR1 asks for. */
  status(): void;

  /** Says something that no program needs to know; nothing when quiet. */
  message(text: string): void;

  /** Says that something is not as it should be, quiet or not; the run goes on. */
  warn(text: string): void;

  /**
   * Shows lines that tell a person what a program finds in the fields of the summary or error,
   * quiet or not.
   */
  listing(lines: readonly string[]): void;

  /**
   * Ends the step and tells what was done, a person in lines, unless quiet; `fields` are those of a
   * report.
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

const TOLD_MAX = 10;

/**
 * Warns of the first bad chunks or maps while a run goes on, so that a person sees what is going
 * on; the report at the end has all of them.
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

  /** Takes what is wrong with one more chunk, in a line. */
  tell(detail: string): void {
    if (++this.#count <= TOLD_MAX) this.#reporter.warn(detail);
  }

  /** Says how many there were beyond those that were told. */
  end(): void {
    const more = this.#count - TOLD_MAX;
    if (more > 0) {
      this.#reporter.warn(`${formatQuantity(more, `more ${this.#noun}`)} missing or corrupt`);
    }
    this.#count = 0;
  }
}
