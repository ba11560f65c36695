/**
 * `backy-extract check` as a command. What is damaged goes to standard output, how the check goes to standard error.
 *
 * With `--json` standard output gets an object for each range that is damaged: `type` "damage", `basedir`, `revision`,
 * `offset` and `length` in its image, `chunkId`, `reason` ("missing", "header", "lzo", "size", "hash"), `detail`.
 *
 * @module
 */

import { check, type CheckEvent, type CheckReport } from "../check/check.ts";
import { reasonOf } from "../ffi/errno.ts";
import { BadChunkWarnings } from "./bad_chunk_warnings.ts";
import { candidateLines } from "./candidates.ts";
import { renderCheckedDamage } from "./check_table.ts";
import { beginRun } from "./command_run.ts";
import { ExitCode, exitCodeFor } from "./exit_code.ts";
import type { CheckCommand } from "./extract_commands.ts";
import { formatBytes, formatCount, formatDuration, formatQuantity, formatRate } from "./format.ts";
import { defaultThreads } from "./option_values.ts";
import type { Reporter } from "./reporter.ts";
import { stdoutColumns, writeFully } from "./terminal.ts";

/** Runs a check. @returns The exit code; everything there is to say was printed. */
export async function runCheck(tool: string, command: CheckCommand): Promise<ExitCode> {
  using run = beginRun(tool, command);
  const { reporter, signal } = run;
  const { kind, quiet: _quiet, json, ...asked } = command;
  const threads = command.threads ?? defaultThreads(navigator.hardwareConcurrency);
  reporter.start({ command: kind, arguments: { ...asked, threads } });
  const badChunks = new BadChunkWarnings(reporter);
  let lastType: CheckEvent["type"] | undefined;
  try {
    const report = await check({
      ...{ ...asked, threads, signal },
      onEvent(event) {
        // Many maps are one step.
        const isNextMap = event.type === "reading-map" && lastType?.startsWith("reading-map");
        lastType = event.type;
        if (isNextMap) reporter.refresh();
        else tell(reporter, badChunks, event);
      },
    });
    badChunks.end();
    const { damaged, revisions, ...numbers } = report;
    if (damaged.length > 0) printDamage(reporter, report, json);
    reporter.summary([renderSummary(report)], {
      ...{ ...numbers, revisions: revisions.length, damagedChunks: damaged.length },
    });
    return damaged.length === 0 ? ExitCode.COMPLETE : ExitCode.DATA;
  } catch (error) {
    badChunks.end();
    reporter.fail(error, { notes: candidateLines(error) });
    return exitCodeFor(error);
  }
}

function printDamage(reporter: Reporter, report: CheckReport, json: boolean): void {
  const lines = renderCheckedDamage(report.damaged, { json, maxCells: stdoutColumns() });
  // The bar may be on the same terminal.
  reporter.stop();
  try {
    for (const line of lines) writeFully(Deno.stdout, `${line}\n`);
  } catch (error) {
    reporter.warn(`Cannot write standard output: ${reasonOf(error)}`);
  }
}

function tell(reporter: Reporter, badChunks: BadChunkWarnings, event: CheckEvent): void {
  switch (event.type) {
    case "locking":
      return reporter.step("Obtaining purge lock", {
        ...{ name: "lock", fields: { basedir: event.basedir } },
      });
    case "lock-wait":
      return reporter.warn(`waiting for the purge lock, which is held by ${event.holder}`);
    case "reading-map":
      return reporter.step("Loading revision maps", { name: "read-map" });
    case "reading-map-on":
      return reporter.refresh();
    case "checking":
      return trackCheck(reporter, event);
    case "bad-chunk":
      return badChunks.tell(event.detail);
    case "notice":
      return reporter.message(event.text);
    case "warning":
      return reporter.warn(event.text);
  }
}

function trackCheck(reporter: Reporter, event: Extract<CheckEvent, { type: "checking" }>): void {
  const { basedir, revisions, threads, plan, progress } = event;
  const { distinctChunks, distinctBytes } = plan;
  const chunks = formatQuantity(distinctChunks, "distinct chunk");
  // Bad chunks count as well.
  const chunkBytes = distinctChunks === 0 ? 0 : distinctBytes / distinctChunks;
  reporter.track(
    `Checking ${chunks} (${formatBytes(distinctBytes)}) of ` +
      `${formatQuantity(revisions, "revision")} with ${formatQuantity(threads, "worker")}`,
    "Checking",
    () => ({ doneBytes: progress().jobs * chunkBytes, totalBytes: distinctBytes }),
    { name: "check", fields: { basedir, revisions, threads, distinctChunks, distinctBytes } },
  );
}

function renderSummary(report: CheckReport): string {
  const { revisions, distinctChunks, checkedChunks, readBytes, damaged } = report;
  const seconds = report.elapsedMs / 1000;
  const rate = formatRate(readBytes / Math.max(seconds, 0.001));
  const chunks = checkedChunks === distinctChunks
    ? formatQuantity(distinctChunks, "distinct chunk")
    : `${formatCount(checkedChunks)} of ${formatQuantity(distinctChunks, "distinct chunk")}`;
  const verdict = damaged.length === 0
    ? checkedChunks === distinctChunks ? "all are good" : "these are good"
    : `${formatCount(damaged.length)} damaged`;
  return `Checked ${chunks} of ${formatQuantity(revisions.length, "revision")} in ` +
    `${formatDuration(seconds)} (${formatBytes(readBytes)} read, ${rate}): ${verdict}`;
}
