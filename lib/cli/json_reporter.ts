/**
 * Reports a run to a program: one JSON object per line on standard error.
 *
 * Every object has `type` and `time` (ISO 8601, UTC). Sizes, offsets and lengths are numbers of
 * bytes. `null` stands for what is not known. Programs should skip types and fields that they do
 * not know; those below keep their meaning.
 *
 * | type       | fields                                                                                            |
 * | ---------- | ------------------------------------------------------------------------------------------------- |
 * | `start`    | `tool`, `version`, and what was asked for: `command`, `arguments` (an object: the arguments and   |
 * |            | options as they were understood, `null` for those that were not given)                            |
 * | `step`     | `step`: its name, `text`: for persons, and what is known by then. Of `lock`: `basedir`; of        |
 * |            | `restore`, `update`, `read-back`, `read-back-again` and `survey` (a dry run): `revision`,         |
 * |            | `target` (but of `survey`), `threads` and the numbers of `summary` up to `distinctBytes`; of      |
 * |            | `check`: `basedir`, `revisions`, `threads`, `distinctChunks`, `distinctBytes`. Other steps:       |
 * |            | `read-map`, `plan` (of a large image), `find-places` (of bad chunks), `flush`                     |
 * | `progress` | once a second, and when SIGUSR1 asks: `step` (`null` between steps), `doneBytes`, `totalBytes`    |
 * |            | (`null` for steps that cannot be measured), `rateBytesPerSecond` and `etaSeconds` (`null` as long |
 * |            | as they cannot be told), `elapsedSeconds` since the step began                                    |
 * | `message`  | `message`: what else a person is told                                                             |
 * | `warning`  | `message`                                                                                         |
 * | `error`    | `message`, `code`, `exitCode`, `notes` (an array of texts: what follows from it), and by `code`:  |
 * |            | `chunkId`, `seqs` (the first 100), `seqCount`, `path`, `reason` (of `chunk-missing`,              |
 * |            | `chunk-corrupt`); `path`, `offset`, `isDisplaced` (of `target`: `path` leads elsewhere since it   |
 * |            | was opened); `path` (of `revision`, `store-format`), and                                          |
 * |            | `candidates`, `candidateCount` (of `revision`, if several are meant); `signal` (of `interrupted`);|
 * |            | of a restore that failed `incompleteTarget` (`null` if the target is as it was).                  |
 * |            | Other codes: `usage`, `lock`, `mount`, `os`, `resources` (less room than one worker needs);       |
 * |            | `internal` for bugs, `failure` for all else                                                       |
 * | `summary`  | what was done, of a restore: `imageBytes`, `extent` (`start`, `end`, `targetStart`), `dataSeqs`,  |
 * |            | `dataBytes`, `zeroSeqs`, `zeroBytes`, `keptSeqs`, `keptBytes`, `distinctChunks`, `distinctBytes`, |
 * |            | `readBytes`, `decodedBytes`, `writtenBytes`, `sameBytes`, `rewrittenBytes` (`null` unless the     |
 * |            | target was read back), `badRanges` (an array of `offset`, `length`, `chunkId`, `reason`,          |
 * |            | `detail`: the first 100,000), `badRangeCount`, `badBytes`, `badChunks` (of all of them),          |
 * |            | `lentChunks` (an array of `dir`, `chunks`), `elapsedMs`, `isVerified`, `isSynced`; of a dry run   |
 * |            | the same without what only a restore can know, and `mayWriteLess`; of a check                     |
 * |            | `revisions`, `intactRevisions`, `damagedRevisions`, `distinctChunks`, `checkedChunks`,            |
 * |            | `damagedChunks`, `readBytes`, `decodedBytes`, `elapsedMs`; an interrupted one has them in `error` |
 *
 * The last object of a run is `summary` or `error`; where the arguments are not understood, `error`
 * is the only one. Quiet leaves out `step`, `message` and the regular `progress`. Unprintable
 * characters are escaped (`json_line.ts`).
 *
 * @module
 */

import { BackyError, toWireError } from "../errors.ts";
import { Activity, type Clock, type ProgressCounts, SYSTEM_CLOCK } from "./activity.ts";
import { ExitCode, exitCodeFor } from "./exit_code.ts";
import { describeFailure } from "./failure.ts";
import { type JsonFields, renderJsonLine } from "./json_line.ts";
import type { FailureOptions, Reporter, StartFields, StepOptions } from "./reporter.ts";
import type { Sink } from "./terminal.ts";

/** How a reporter is set up. */
export interface JsonReporterOptions {
  readonly tool: string;
  readonly version: string;
  readonly write: Sink;
  /** Leaves out steps, messages and the regular progress. */
  readonly quiet: boolean;
  readonly clock?: Clock;
  /** The time of day; default: the system's. */
  readonly date?: () => Date;
}

const PROGRESS_MS = 1000;
/** Timers are not exact: progress that is due in this time is reported now. */
const PROGRESS_SLACK_MS = 50;
/** Longest array in an error: one chunk may stand at a million places. */
const ITEMS_MAX = 100;

/** Reports a run to a program; see above. */
export class JsonReporter implements Reporter {
  readonly #tool: string;
  readonly #version: string;
  readonly #write: Sink;
  readonly #quiet: boolean;
  readonly #clock: Clock;
  readonly #date: () => Date;
  #activity: Activity | undefined;
  #stopTicking: (() => void) | undefined;
  #lastProgressMs = -Infinity;

  constructor(options: JsonReporterOptions) {
    this.#tool = options.tool;
    this.#version = options.version;
    this.#write = options.write;
    this.#quiet = options.quiet;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#date = options.date ?? (() => new Date());
  }

  start(asked: StartFields): void {
    const args = Object.entries(asked.arguments).map(([name, value]) => [name, value ?? null]);
    this.#emit("start", {
      tool: this.#tool,
      version: this.#version,
      command: asked.command,
      arguments: Object.fromEntries(args),
    });
  }

  step(text: string, options: StepOptions = {}): void {
    this.#begin(text, options.name ?? text, options);
  }

  track(
    text: string,
    label: string,
    counts: () => ProgressCounts,
    options: StepOptions = {},
  ): void {
    this.#begin(text, options.name ?? label, { fields: options.fields, counts });
    this.#showIfDue();
  }

  #showIfDue(): void {
    const dueMs = this.#lastProgressMs + PROGRESS_MS - PROGRESS_SLACK_MS;
    if (this.#quiet || this.#activity === undefined || this.#clock.now() < dueMs) return;
    this.status();
  }

  status(): void {
    const nowMs = this.#clock.now();
    this.#lastProgressMs = nowMs;
    const state = this.#activity?.measure(nowMs);
    const isMeasured = this.#activity?.isMeasured ?? false;
    this.#emit("progress", {
      step: state?.step ?? null,
      doneBytes: isMeasured ? state?.doneBytes : null,
      totalBytes: isMeasured ? state?.totalBytes : null,
      rateBytesPerSecond: rounded(state?.rateBytesPerSecond, 0),
      etaSeconds: rounded(state?.etaSeconds, 1),
      elapsedSeconds: rounded(state && state.elapsedMs / 1000, 3),
    });
  }

  message(text: string): void {
    if (!this.#quiet) this.#emit("message", { message: text });
  }

  warn(text: string): void {
    this.#emit("warning", { message: text });
  }

  /** Writes nothing: the fields of the summary or error say it. */
  listing(_lines: readonly string[]): void {}

  summary(_lines: readonly string[], fields: JsonFields): void {
    this.stop();
    this.#emit("summary", fields);
  }

  fail(failure: unknown, options: FailureOptions = {}): void {
    this.stop();
    const isText = typeof failure === "string";
    this.#emit("error", {
      message: isText ? failure : describeFailure(failure),
      code: isText ? "failure" : codeOf(failure),
      exitCode: isText ? ExitCode.FAILURE : exitCodeFor(failure),
      notes: options.notes ?? [],
      ...fieldsOf(failure),
      ...options.fields,
    });
  }

  stop(): void {
    this.#stopTicking?.();
    this.#stopTicking = undefined;
    this.#activity = undefined;
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  #begin(
    text: string,
    name: string,
    about: { fields?: JsonFields | undefined; counts?: (() => ProgressCounts) | undefined },
  ): void {
    this.stop();
    const { fields, counts } = about;
    this.#activity = new Activity(name, { counts, startMs: this.#clock.now() });
    if (this.#quiet) return;
    this.#emit("step", { step: name, text, ...fields });
    this.#stopTicking = this.#clock.every(PROGRESS_MS, () => this.#showIfDue());
  }

  #emit(type: string, fields: JsonFields): void {
    // Fields from elsewhere must not replace these two.
    const own = { type, time: this.#date().toISOString() };
    this.#write(renderJsonLine({ ...own, ...fields, ...own }));
  }
}

function codeOf(error: unknown): string {
  return error instanceof BackyError && error.code !== "worker" ? error.code : "internal";
}

/**
 * The error's own fields; of an array its beginning and its length, as `seqs` and `seqCount`.
 */
function fieldsOf(error: unknown): JsonFields {
  if (!(error instanceof BackyError)) return {};
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(toWireError(error).fields)) {
    fields[name] = Array.isArray(value) ? value.slice(0, ITEMS_MAX) : value;
    // An error that has only the first seqs has their number itself.
    if (Array.isArray(value)) fields[`${name.replace(/s$/, "")}Count`] ??= value.length;
  }
  return fields;
}

function rounded(value: number | null | undefined, digits: number): number | null {
  return value === null || value === undefined ? null : Number(value.toFixed(digits));
}
