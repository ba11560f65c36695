/**
 * What commands need while they run: a reporter, and signals that end them.
 *
 * @module
 */

import config from "../../deno.json" with { type: "json" };
import { END_SIGNALS, type EndSignal, InterruptedError } from "../errors.ts";
import { raiseDescriptorLimit } from "../linux/headroom.ts";
import { isSignalIgnored, SignalNumber } from "../linux/signals.ts";
import { ExitCode } from "./exit_code.ts";
import { JsonReporter } from "./json_reporter.ts";
import { processStart } from "./process_start.ts";
import { ProgressReporter } from "./progress.ts";
import type { Reporter } from "./reporter.ts";
import { type Sink, stderrDisplay } from "./terminal.ts";

/** Version of both tools, such as "1.2.3". */
export const VERSION: string = config.version;

/** A command that is running, until it is disposed of. */
export interface CommandRun extends Disposable {
  readonly reporter: Reporter;
  /** Aborted by SIGHUP, SIGINT and SIGTERM; a second one ends the process. */
  readonly signal: AbortSignal;
}

/** Begins to handle signals and to report. @param write Prints to standard error. */
export function beginRun(
  tool: string,
  how: { quiet: boolean; json: boolean },
  write: Sink,
): CommandRun {
  const { quiet, json } = how;
  raiseDescriptorLimit();
  const options = { tool, write, quiet };
  const reporter = json
    ? new JsonReporter({ ...options, version: VERSION })
    : new ProgressReporter({ ...options, display: stderrDisplay() });
  const interruption = new AbortController();
  const signals = new SignalWatch((signal, count) => {
    // Someone who asks twice does not want to wait for a worker that is blocked in a write.
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

/**
 * Calls back at each SIGHUP, SIGINT and SIGTERM until it is disposed of. Signals that were ignored
 * when the process started (nohup, background jobs of scripts) stay ignored.
 */
export class SignalWatch implements Disposable {
  readonly #listeners: readonly (readonly [Deno.Signal, () => void])[];

  /**
   * @param onSignal Called with the signal and how many there have been, from 1. All SIGHUPs count
   *   as one: when a terminal ends, the kernel sends one to the foreground jobs, and the shell
   *   another.
   * @param options.quits Whether SIGQUIT (Ctrl-\) counts as SIGINT; by default it ends the process
   *   at once.
   */
  constructor(
    onSignal: (signal: EndSignal, count: number) => void,
    { quits = false }: { readonly quits?: boolean } = {},
  ) {
    let count = 0;
    let hasHungUp = false;
    const { ignoredSignals } = processStart();
    const listened = END_SIGNALS.filter((signal) => !ignoredSignals.has(signal));
    const listeners: (readonly [Deno.Signal, () => void])[] = listened.map((signal) => [
      signal,
      () => {
        if (signal === "SIGHUP" && hasHungUp) return;
        hasHungUp ||= signal === "SIGHUP";
        onSignal(signal, ++count);
      },
    ]);
    if (quits && !isSignalIgnored(SignalNumber.SIGQUIT)) {
      listeners.push(["SIGQUIT", () => onSignal("SIGINT", ++count)]);
    }
    this.#listeners = listeners;
    for (const [signal, listener] of this.#listeners) Deno.addSignalListener(signal, listener);
  }

  [Symbol.dispose](): void {
    for (const [signal, listener] of this.#listeners) Deno.removeSignalListener(signal, listener);
  }
}

/** Creates the error that ends what a signal interrupted. */
export function interruptedBy(signal: EndSignal): InterruptedError {
  return new InterruptedError(`Interrupted by ${signal}`, { signal });
}
