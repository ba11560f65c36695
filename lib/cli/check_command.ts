/**
 * `backy-extract check`: its options, help and run. Damage goes to standard output, progress to
 * standard error.
 *
 * Without damage, standard output stays empty. Otherwise it gets a table of the damaged ranges and
 * one of all revisions.
 *
 * With `--json`, standard output gets one object per line, even without damage. Programs should
 * skip types and fields that they do not know; these keep their meaning:
 *
 * | type       | fields                                                                                            |
 * | ---------- | ------------------------------------------------------------------------------------------------- |
 * | `damage`   | a range of an image that is lost because of one chunk: `basedir`, `revision`, `offset`, `length`, |
 * |            | `chunkId`, `path` (of the chunk's file), `reason` ("missing", "header", "encoding", "size", "hash"),   |
 * |            | `detail`; 100,000 of them at most                                                                 |
 * | `revision` | each revision: `basedir`, `revision`, `path` (of its map), `state` ("intact", "damaged",          |
 * |            | "bad-map": the map cannot be read, "unknown": no damage found, but not all of its chunks were     |
 * |            | checked), `reason` (what is wrong with the map, or `null`), `sizeBytes` (`null` if not known),    |
 * |            | `damagedBytes`, `damagedRanges`, `damagedChunks`: of all ranges, also of those not printed        |
 *
 * The exit code is 3 if any chunk or map is damaged, and 130 or 143 after an interruption, which
 * prints what is known by then.
 *
 * @module
 */

import { defaultThreads } from "../work/worker_room.ts";
import type { CheckedState, CheckEvent, CheckReport } from "../check/check.ts";
import { reasonOf } from "../linux/errno.ts";
import { printable, quote } from "../wording.ts";
import { parsePercent } from "./byte_values.ts";
import { type CommandOf, defineCommand } from "./command.ts";
import { beginRun } from "./command_run.ts";
import { ExitCode, exitCodeFor } from "./exit_code.ts";
import { candidateLines } from "./failure.ts";
import { formatBytes, formatCount, formatDuration, formatQuantity, formatRate } from "./format.ts";
import { atLeastOne, flag, valued } from "./option.ts";
import { BadChunkWarnings, reportCommonEvent, type Reporter } from "./reporter.ts";
import { LOCK_TIMEOUT, QUIET, READ_RATE, REVISION_SPEC, THREADS } from "./shared_options.ts";
import { type Sink, stdoutColumns, writeAll } from "./terminal.ts";

const ARGUMENTS = {
  revisions: atLeastOne({
    name: "REVISION",
    names: "revision",
    help: "a revision, or several by a specification, such as /srv/backy/vm/last or " +
      "/srv/backy/vm/all; or a backup directory, with -r",
  }),
};

const OPTIONS = {
  spec: REVISION_SPEC,
  /** Share of the chunks that are checked, more than 0 and at most 1. */
  share: valued({
    long: "sample",
    value: "PERCENT",
    help: "check only this share of the chunks, chosen at random",
    default: "100",
    absent: 1,
    parse: (text) => parsePercent(text) / 100,
  }),
  threads: THREADS,
  lockTimeoutMs: LOCK_TIMEOUT,
  readBytesPerSecond: READ_RATE,
  quiet: QUIET,
  json: flag({
    long: "json",
    help: "print what is damaged in JSON, one object per line, and report to standard error " +
      "likewise",
  }),
};

/** A check as the command line asks for it. */
export type CheckCommand = CommandOf<"check", typeof OPTIONS, typeof ARGUMENTS>;

/** `backy-extract check`. */
export const CHECK = defineCommand({
  kind: "check",
  name: "backy-extract check",
  summary:
    "Reads, decodes and verifies each distinct chunk of the revisions once, and prints what " +
    "is damaged and which revisions and byte ranges that touches. Changes nothing.",
  brief: "read and verify all chunks of revisions, without restoring",
  arguments: ARGUMENTS,
  options: OPTIONS,
  reportsJson: true,
  run: runCheck,
});

async function runCheck(command: CheckCommand, tool: string, write: Sink): Promise<ExitCode> {
  // Loaded only now: a restore must not wait for what it does not need.
  const { check } = await import("../check/check.ts");
  using run = beginRun(tool, command, write);
  const { reporter, signal } = run;
  const { kind, quiet: _quiet, json, ...asked } = command;
  const threads = command.threads ?? defaultThreads();
  reporter.start({ command: kind, arguments: { ...asked, threads } });
  const badChunks = new BadChunkWarnings(reporter);
  const badMaps = new BadChunkWarnings(reporter, "map");
  try {
    const report = await check({
      ...asked,
      threads,
      signal,
      onEvent: (event) => tell(reporter, { badChunks, badMaps }, event),
    });
    badMaps.end();
    badChunks.end();
    const { damaged: _damaged, revisions, interruption, ...numbers } = report;
    // The bar may be on the same terminal.
    reporter.stop();
    await printFindings(reporter, report, { json, isSample: command.share < 1, signal });
    const fields = {
      ...numbers,
      revisions: revisions.length,
      intactRevisions: countOf(report, "intact"),
      damagedRevisions: countOf(report, "damaged") + countOf(report, "bad-map"),
    };
    if (signal.aborted) {
      const known = interruption === null || report.checkedChunks === 0 ? [] : describe(report);
      reporter.fail(signal.reason, { notes: known, fields });
      return exitCodeFor(signal.reason);
    }
    reporter.summary(describe(report), fields);
    return isDamaged(report) ? ExitCode.DATA : ExitCode.COMPLETE;
  } catch (error) {
    badMaps.end();
    badChunks.end();
    reporter.fail(error, { notes: candidateLines(error) });
    return exitCodeFor(error);
  }
}

/** How long output may take after an interruption, in case nobody reads it. */
const LAST_OUTPUT_MS = 400;

/** Prints findings to standard output; an interruption ends that soon. */
async function printFindings(
  reporter: Reporter,
  report: CheckReport,
  { json, isSample, signal }: { json: boolean; isSample: boolean; signal: AbortSignal },
): Promise<void> {
  // Before the time begins: on a busy machine this alone may take as long.
  const { renderFindings, renderJsonFindings } = await import("./check_table.ts");
  const given = Promise.withResolvers<void>();
  // A reader that has stopped reading must not keep an interrupted check alive.
  const giveUp = () => given.resolve();
  const timer = signal.aborted ? setTimeout(giveUp, LAST_OUTPUT_MS) : undefined;
  signal.addEventListener("abort", giveUp);
  try {
    await Promise.race([write(), given.promise]);
  } catch (error) {
    reporter.warn(`Cannot write standard output: ${reasonOf(error)}`);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", giveUp);
  }

  async function write(): Promise<void> {
    const lines = json
      ? [...renderJsonFindings(report)]
      : renderFindings({ ...report, isSample }, { maxCells: stdoutColumns() }).map((line) =>
        `${line}\n`
      );
    for (let at = 0; at < lines.length; at += LINES_AT_ONCE) {
      const text = lines.slice(at, at + LINES_AT_ONCE).join("");
      if (!await writeAll(Deno.stdout, text)) return;
    }
  }
}

const LINES_AT_ONCE = 256;

function tell(
  reporter: Reporter,
  warnings: { badChunks: BadChunkWarnings; badMaps: BadChunkWarnings },
  event: CheckEvent,
): void {
  switch (event.type) {
    case "reading-maps":
      return event.purpose === "chunks"
        ? reporter.step("Loading revision maps", { name: "read-map", counts: event.progress })
        : reporter.step("Looking up the places of chunks", {
          name: "find-places",
          counts: event.progress,
        });
    case "bad-map":
      return warnings.badMaps.tell(event.detail);
    case "checking":
      return trackCheck(reporter, event);
    case "bad-chunk":
      return warnings.badChunks.tell(event.detail);
    default:
      return reportCommonEvent(reporter, event);
  }
}

function trackCheck(reporter: Reporter, event: Extract<CheckEvent, { type: "checking" }>): void {
  const { basedir, revisions, threads, distinctChunks, distinctBytes, progress } = event;
  const chunks = formatQuantity(distinctChunks, "distinct chunk");
  // Bad chunks count as done.
  const chunkBytes = distinctChunks === 0 ? 0 : distinctBytes / distinctChunks;
  reporter.track(
    `Checking ${chunks} (${formatBytes(distinctBytes)}) of ` +
      `${formatQuantity(revisions, "revision")} with ${formatQuantity(threads, "worker")}`,
    "Checking",
    () => ({ doneBytes: progress().jobs * chunkBytes, totalBytes: distinctBytes }),
    { name: "check", fields: { basedir, revisions, threads, distinctChunks, distinctBytes } },
  );
}

/** Says what was checked, and which revisions are good. */
function describe(report: CheckReport): string[] {
  const { revisions, distinctChunks, checkedChunks, readBytes } = report;
  const seconds = report.elapsedMs / 1000;
  const rate = formatRate(readBytes / Math.max(seconds, 0.001));
  const isWhole = checkedChunks === distinctChunks;
  const isSample = !isWhole && report.interruption === null;
  const chunks = isWhole
    ? formatQuantity(distinctChunks, "distinct chunk")
    : `${formatCount(checkedChunks)} of ${formatQuantity(distinctChunks, "distinct chunk")}`;
  return [
    `Checked ${chunks} of ${formatQuantity(revisions.length, "revision")} in ` +
    `${formatDuration(seconds)} (${formatBytes(readBytes)} read, ${rate}): ${verdict(report)}`,
    ...namesLine(report, "bad-map", "Map unreadable"),
    ...namesLine(report, "damaged", "Damaged"),
    ...isSample ? [] : namesLine(report, "unknown", "Not fully checked"),
    ...namesLine(report, "intact", "Intact"),
  ];
}

function verdict(report: CheckReport): string {
  const { checkedChunks, distinctChunks, damagedChunks, revisions } = report;
  const isSample = checkedChunks !== distinctChunks;
  const badMaps = countOf(report, "bad-map");
  const bad = [
    ...damagedChunks > 0 ? [`${formatQuantity(damagedChunks, "chunk")} damaged`] : [],
    ...badMaps > 0 ? [`${formatQuantity(badMaps, "map")} unreadable`] : [],
  ];
  const intact = `${formatCount(countOf(report, "intact"))} of ` +
    `${formatQuantity(revisions.length, "revision")} intact`;
  if (bad.length > 0) return `${bad.join(", ")}, ${intact}`;
  if (report.interruption !== null) return "no damage found so far";
  if (isSample) return "no damage found in the sample";
  // Revisions whose maps changed meanwhile name chunks that were not checked.
  if (countOf(report, "unknown") > 0) return `no damage found, ${intact}`;
  return distinctChunks === 0 ? "nothing but zeros, which need no chunk" : "all are intact";
}

/** How many revisions of a state are listed by name. */
const NAMES_MAX = 20;

/** Lists the revisions in a state, a line for each directory. */
function namesLine(
  { revisions }: CheckReport,
  state: CheckedState,
  title: string,
): string[] {
  const byDirectory = Map.groupBy(
    revisions.filter((revision) => revision.state === state),
    ({ basedir }) => basedir,
  );
  return [...byDirectory].map(([basedir, members]) => {
    const names = members.slice(0, NAMES_MAX).map(({ name }) => printable(name, 64));
    const more = members.length - names.length;
    return `${title} in ${quote(basedir)}: ${names.join(", ")}` +
      (more > 0 ? ` and ${formatCount(more)} more` : "");
  });
}

function countOf({ revisions }: CheckReport, state: CheckedState): number {
  return revisions.filter((revision) => revision.state === state).length;
}

function isDamaged(report: CheckReport): boolean {
  return countOf(report, "damaged") + countOf(report, "bad-map") > 0;
}
