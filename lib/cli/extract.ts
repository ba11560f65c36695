/**
 * `backy-extract` from its arguments to its exit code: parses, restores, reports.
 *
 * @module
 */

import { restore, type RestoreEvent } from "../restore/restore.ts";
import type { RestoreReport } from "../restore/report.ts";
import { STDOUT_NAME } from "../target/wording.ts";
import { parseExtractArguments, type RestoreCommand } from "./extract_arguments.ts";
import { defaultThreads } from "./option_values.ts";
import { ExitCode, exitCodeFor } from "./exit_code.ts";
import { describeFailure, printAnswer } from "./failure.ts";
import { quote } from "../wording.ts";
import { formatBytes, formatQuantity } from "./format.ts";
import { renderHelp } from "./help.ts";
import { interruptedBy, SignalWatch } from "./interruption.ts";
import { EXTRACT_TOOL } from "./option_table.ts";
import { ProgressReporter } from "./progress.ts";
import { renderSummary } from "./progress_line.ts";
import { openSink, stderrDisplay } from "./terminal.ts";
import { VERSION } from "./version.ts";

const NAME = EXTRACT_TOOL.name;

/**
 * Runs the tool.
 *
 * @param args Command line without the program's name.
 * @returns The exit code; everything there is to say was printed.
 */
export async function runExtract(args: readonly string[]): Promise<ExitCode> {
  const write = openSink();
  try {
    const command = parseExtractArguments(args);
    if (command.kind === "restore") return await runRestore(command);
    // What is asked for goes to standard output. backy looks for a line that begins with the tool's name.
    const text = command.kind === "version" ? `${NAME} ${VERSION}\n` : renderHelp(EXTRACT_TOOL);
    return printAnswer(text, NAME, write);
  } catch (error) {
    write(`${NAME}: ${describeFailure(error)}\n`);
    return exitCodeFor(error);
  }
}

async function runRestore(command: RestoreCommand): Promise<ExitCode> {
  using reporter = new ProgressReporter({
    tool: NAME,
    write: openSink(),
    display: stderrDisplay(),
    quiet: command.quiet,
  });
  const interruption = new AbortController();
  using _signals = new SignalWatch({ hangup: false }, (signal, count) => {
    // Who asks twice does not want to wait for a worker that may be blocked in a write.
    if (count > 1) Deno.exit(ExitCode[signal]);
    interruption.abort(interruptedBy(signal));
  });
  let touchedTarget: string | undefined;
  try {
    const report = await restore({
      ...command,
      threads: command.threads ?? defaultThreads(navigator.hardwareConcurrency),
      signal: interruption.signal,
      onEvent(event) {
        if (event.type === "restoring") touchedTarget = event.target;
        showEvent(reporter, event);
      },
    });
    reporter.stop();
    reporter.message(renderReport(report));
    return ExitCode.COMPLETE;
  } catch (error) {
    reporter.fail(describeFailure(error));
    if (touchedTarget !== undefined) reporter.fail(`${nameTarget(touchedTarget)} is incomplete`);
    return exitCodeFor(error);
  }
}

function showEvent(reporter: ProgressReporter, event: RestoreEvent): void {
  switch (event.type) {
    case "locking":
      return reporter.step("Obtaining purge lock");
    case "lock-wait":
      return reporter.warn(`waiting for the purge lock, which is held by ${event.holder}`);
    case "reading-map":
      return reporter.step("Loading revision map");
    case "reading-map-on":
      return reporter.refresh();
    case "reader-wait":
      return reporter.warn(`waiting for a reader of ${nameTarget(event.target)}`);
    case "restoring":
      return showRestoring(reporter, event);
    case "flushing":
      return reporter.step("Flushing");
    case "warning":
      return reporter.warn(event.text);
  }
}

function showRestoring(
  reporter: ProgressReporter,
  event: Extract<RestoreEvent, { type: "restoring" }>,
): void {
  const { plan, progress } = event;
  const amount = `${formatBytes(plan.imageBytes)}, ${
    formatQuantity(plan.distinctChunks, "distinct chunk")
  }`;
  const workers = formatQuantity(event.threads, "worker");
  // A stream decodes a chunk at every place where it stands.
  const workTotalBytes = event.access === "random"
    ? plan.distinctBytes
    : plan.imageBytes - plan.zeroBytes;
  reporter.track(
    `Restoring ${event.revision} (${amount}) to ${nameTarget(event.target)} with ${workers}`,
    "Restoring",
    () => {
      const { imageBytes, decodedBytes } = progress();
      return {
        doneBytes: imageBytes,
        totalBytes: plan.imageBytes,
        workDoneBytes: decodedBytes,
        workTotalBytes,
      };
    },
  );
}

/** Quotes a target's path; standard output is no path. */
function nameTarget(path: string): string {
  return path === STDOUT_NAME ? path : quote(path);
}

function renderReport(report: RestoreReport): string {
  return renderSummary({
    bytes: report.imageBytes,
    seconds: report.elapsedMs / 1000,
    dataChunks: report.seqCount - report.zeroSeqs,
    zeroChunks: report.zeroSeqs,
    distinctChunks: report.distinctChunks,
    verified: report.isVerified,
  });
}
