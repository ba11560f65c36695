/**
 * `backy-extract list`: which revisions there are, as a table or as JSON. Only reads, and takes no
 * lock: a map that is removed meanwhile is shown as gone. `list_table.ts` renders the table.
 *
 * With `--json`, one object per line: first the revisions of unknown time, then the others, oldest
 * first. Programs should skip types and fields that they do not know; these keep their meaning:
 *
 * | type       | fields                                                                                            |
 * | ---------- | ------------------------------------------------------------------------------------------------- |
 * | `revision` | `uuid`; `time`: when the backup began, ISO 8601 with the zone's offset, `null` if the metadata    |
 * |            | has none that can be read; `tags`: an array of texts; `trust`: "trusted", "distrusted",           |
 * |            | "verified" or what stands there; `isComplete`: whether the backup ran to its end; `server`: where |
 * |            | the image is, `null`: here; `parent`: uuid or `null`;                                             |
 * |            | `bytesWritten`, `durationSeconds` of the backup, `null` where not recorded; `state` and `reason`, |
 * |            | see {@linkcode ListedRevision}; `sizeBytes`: size of the image; `distinctChunks`: number of its   |
 * |            | chunks, without zeros; `distinctBytes`: what they hold; these three are `null` unless the state   |
 * |            | is "usable"                                                                                       |
 * |            | A `trust`, `server` or `parent` that does not look like a word or host name is "?"                |
 * | `skipped`  | `name`: of a metadata file without ".rev", `reason`: why it could not be used                     |
 *
 * @module
 */

import { StoreFormatError } from "../errors.ts";
import { reasonOf } from "../linux/errno.ts";
import { type ListedRevision, listRevision, MapFactsReader } from "../store/listed_revision.ts";
import { Slices } from "../slices.ts";
import { readCatalogSteps } from "../store/catalog.ts";
import { formatLocalIso } from "../store/dates.ts";
import { noSuchRevision } from "../store/revision_meaning.ts";
import {
  parseRevisionSpec,
  type ResolvedSpec,
  resolveRevisionSpec,
} from "../store/revision_spec.ts";
import { warningsAboutOrder } from "../store/revision_warnings.ts";
import { requireStore } from "../store/store.ts";
import { hintForList, listHint } from "../store/store_hints.ts";
import { quote } from "../wording.ts";
import { ExitCode } from "./exit_code.ts";
import { renderJsonLine } from "./json_line.ts";
import { renderRevisions } from "./list_table.ts";
import type { Reporter } from "./reporter.ts";

/** What is to be listed. */
export interface ListRequest {
  /** The backup directory. */
  readonly dir: string;
  /** Which revisions, and in which order; default: all, oldest first. */
  readonly spec?: string | undefined;
  /** Lines of JSON instead of a table. */
  readonly json: boolean;
}

/** Where a list goes. */
export interface ListOutput {
  /** Writes to standard output. Returns `false` once nobody reads it any more; may throw. */
  readonly write: (text: string) => Promise<boolean>;
  readonly reporter: Pick<Reporter, "step" | "stop" | "warn" | "fail">;
  /** Width that a table must fit; `undefined` if standard output is not a terminal. */
  readonly columns: number | undefined;
}

/**
 * Lists the revisions of a backup directory. Neither unusable revisions nor an empty directory are
 * failures.
 *
 * The event loop is not blocked. A table is written at the end, because its widths depend on all
 * rows; lines of JSON are written as soon as possible.
 *
 * @returns FAILURE only if standard output cannot be written. A reader that goes, as `head` does,
 *   ends the list without a failure.
 * @throws {StoreFormatError} If the directory cannot be read, or there is no revision and no chunk
 *   store in it.
 * @throws {UsageError} If the spec is not understood.
 * @throws {RevisionError} If a part of the spec names a revision that does not exist. Sets may be
 *   empty.
 */
export async function list(request: ListRequest, output: ListOutput): Promise<ExitCode> {
  const { dir, spec, json } = request;
  const { reporter, columns } = output;
  const parsedSpec = spec === undefined ? undefined : parseRevisionSpec(spec);
  const slices = new Slices();
  reporter.step("Reading metadata");
  const catalog = await slices.run(readCatalogSteps(dir)).catch((error) => {
    throw withHint(error, dir);
  });
  const { skipped } = catalog;
  if (catalog.revisions.length + skipped.length === 0) requireStore(dir);
  const resolved: ResolvedSpec = parsedSpec
    ? resolveRevisionSpec(
      parsedSpec,
      catalog.revisions,
      (state) =>
        noSuchRevision(`${quote(spec ?? "", 200)} in ${quote(dir)}`, dir, [state, listHint(dir)]),
    )
    : { entries: catalog.revisions, passedOver: [], tied: [] };
  const { entries } = resolved;

  const revisions: ListedRevision[] = [];
  const counts = () => ({
    doneBytes: revisions.length,
    totalBytes: entries.length,
    unit: "revision",
  });
  // On a terminal, the lines of JSON themselves show the progress.
  if (json && columns !== undefined) reporter.stop();
  else reporter.step("Reading revision maps", { counts });
  const printer = new Printer(output);
  const reader = new MapFactsReader();
  for (const entry of entries) {
    const revision = await slices.run(listRevision(entry, reader));
    revisions.push(revision);
    if (json && !await printer.add(renderRevisionLine(revision))) return printer.code;
  }
  if (json) {
    for (const { name, reason } of skipped) {
      if (!await printer.add(renderJsonLine({ type: "skipped", name, reason }))) {
        return printer.code;
      }
    }
  } else if (revisions.length > 0) {
    const lines = await slices.run(renderRevisions(revisions, columns));
    reporter.stop();
    for (const line of lines) if (!await printer.add(`${line}\n`)) return printer.code;
  }
  reporter.stop();
  if (!await printer.flush()) return printer.code;
  for (const { state, reason } of revisions) if (state === "bad-map") reporter.warn(reason ?? "");
  for (const { name, reason } of skipped) reporter.warn(`skipped ${quote(name, 255)}: ${reason}`);
  for (const line of warningsAboutOrder(resolved)) reporter.warn(line);
  if (catalog.revisions.length === 0) reporter.warn(`there are no revisions in ${quote(dir)}`);
  return ExitCode.COMPLETE;
}

/** Adds to an error what may have been meant: `DIR last` where `DIR/last` was given. */
function withHint(error: unknown, dir: string): unknown {
  if (!(error instanceof StoreFormatError)) return error;
  const hint = hintForList(dir);
  if (hint === undefined) return error;
  return new StoreFormatError(`${error.message}; ${hint}`, { path: dir }, { cause: error });
}

/** Text is collected up to this many characters... */
const PRINTED_CHARS = 0x1_0000;
/** ...but held back no longer than this. */
const HELD_MS = 100;

/** Writes lines in large pieces. */
export class Printer {
  readonly #output: ListOutput;
  #text = "";
  #writtenMs = performance.now();
  /** The exit code if nothing more can be written. */
  code: ExitCode = ExitCode.COMPLETE;

  constructor(output: ListOutput) {
    this.#output = output;
  }

  /** Takes a line. @returns Whether more can be written. */
  async add(line: string): Promise<boolean> {
    this.#text += line;
    const isDue = this.#text.length >= PRINTED_CHARS ||
      performance.now() - this.#writtenMs >= HELD_MS;
    return !isDue || await this.flush();
  }

  /** Writes what was taken. @returns Whether more can be written. */
  async flush(): Promise<boolean> {
    const text = this.#text;
    this.#text = "";
    try {
      return text === "" || await this.#output.write(text);
    } catch (error) {
      this.#output.reporter.fail(`Cannot write standard output: ${reasonOf(error)}`);
      this.code = ExitCode.FAILURE;
      return false;
    } finally {
      this.#writtenMs = performance.now();
    }
  }
}

function renderRevisionLine({ entry, state, reason, facts }: ListedRevision): string {
  const { uuid, tags, trust, isComplete, server, parent, stats } = entry.info;
  return renderJsonLine({
    type: "revision",
    uuid,
    time: entry.time && formatLocalIso(entry.time),
    tags,
    trust,
    isComplete,
    server: server === "" ? null : server,
    parent,
    state,
    reason,
    bytesWritten: stats.bytesWritten ?? null,
    durationSeconds: stats.durationSeconds ?? null,
    ...facts ?? { sizeBytes: null, distinctChunks: null, distinctBytes: null },
  });
}
