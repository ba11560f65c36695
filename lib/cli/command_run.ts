/**
 * What all commands need while they run: somebody to report to, and an ear for signals.
 *
 * @module
 */

import { raiseDescriptorLimit } from "../linux/headroom.ts";
import { ExitCode } from "./exit_code.ts";
import { interruptedBy, SignalWatch } from "./interruption.ts";
import { JsonReporter } from "./json_reporter.ts";
import { ProgressReporter } from "./progress.ts";
import type { Reporter } from "./reporter.ts";
import { openSink, type Sink, stderrDisplay } from "./terminal.ts";
import { VERSION } from "./version.ts";

/** A command that is running, until it is disposed of. */
export interface CommandRun extends Disposable {
  readonly reporter: Reporter;
  /** Aborted by SIGHUP, SIGINT and SIGTERM; a second one ends the process. */
  readonly signal: AbortSignal;
}

/**
 * Begins to listen and to report.
 *
 * @param write Takes what is printed; default: standard error.
 */
export function beginRun(
  tool: string,
  how: { quiet: boolean; json: boolean },
  write: Sink = openSink(),
): CommandRun {
  const { quiet, json } = how;
  raiseDescriptorLimit();
  const options = { tool, write, quiet };
  const reporter = json
    ? new JsonReporter({ ...options, version: VERSION })
    : new ProgressReporter({ ...options, display: stderrDisplay() });
  const interruption = new AbortController();
  const signals = new SignalWatch((signal, count) => {
    // Who asks twice does not want to wait for a worker that may be blocked in a write.
    if (count > 1) Deno.exit(ExitCode[signal]);
    interruption.abort(interruptedBy(signal));
  });
  const onStatus = () => reporter.status();
  Deno.addSignalListener("SIGUSR1", onStatus);
  return {
    reporter,
    signal: interruption.signal,
    [Symbol.dispose]() {
      Deno.removeSignalListener("SIGUSR1", onStatus);
      signals[Symbol.dispose]();
      reporter[Symbol.dispose]();
    },
  };
}
