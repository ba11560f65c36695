/**
 * The first thing that the tools do: find out what the process was started with, before the runtime
 * changes it. `command_run.ts` and `tool.ts` use the result.
 *
 * @module
 */

import { END_SIGNALS, type EndSignal } from "../errors.ts";
import { changeDirectory, tryWorkingDirectory } from "../linux/paths.ts";
import { ignoreSignal, isSignalIgnored, SignalNumber } from "../linux/signals.ts";

/** What a process was started with. */
export interface ProcessStart {
  /** Signals that were ignored, and still are. */
  readonly ignoredSignals: ReadonlySet<EndSignal>;
  /**
   * Whether the working directory had been removed, or has a name that is not UTF-8. The process is
   * in "/" then, and relative paths would not mean what the user meant.
   */
  readonly hasLeftDirectory: boolean;
}

/**
 * Variables that make npm:yaml print what it parses, and fail if one is not UTF-8. Whoever sets
 * them means another program.
 */
const UNHEEDED_VARIABLES = ["LOG_STREAM", "LOG_TOKENS"];

let found: ProcessStart = { ignoredSignals: new Set(), hasLeftDirectory: false };

/**
 * Begins the process: SIGUSR1 no longer ends it, signals that were ignored stay ignored, a working
 * directory that cannot be used is left. To be called once, before anything that takes time is
 * imported.
 *
 * @throws {OsError} If the working directory cannot be determined, or "/" cannot be entered.
 */
export function beginProcess(): void {
  const ignored = END_SIGNALS.filter((signal) => isSignalIgnored(SignalNumber[signal]));
  // Never removed: without a listener SIGUSR1 ends the process.
  Deno.addSignalListener("SIGUSR1", () => {});
  // With its first listener the runtime (Deno 2.6) begins to catch these signals, and ends the
  // process on one that nobody listens to.
  for (const signal of ignored) ignoreSignal(SignalNumber[signal]);
  for (const name of UNHEEDED_VARIABLES) unsetVariable(name);
  found = { ignoredSignals: new Set(ignored), hasLeftDirectory: leaveUnusableDirectory() };
}

/** What the process was started with; nothing special before {@linkcode beginProcess}. */
export function processStart(): ProcessStart {
  return found;
}

/**
 * Leaves a working directory in which the runtime or its workers cannot start. Executables have
 * done that before the runtime started, and signal it by ignoring SIGRTMAX, which nobody sends
 * (`release/portable/stub/stub.c`).
 *
 * @returns Whether that was necessary.
 */
function leaveUnusableDirectory(): boolean {
  if (Deno.build.standalone && isSignalIgnored(SignalNumber.SIGRTMAX)) return true;
  if (tryWorkingDirectory() !== null) return false;
  changeDirectory("/");
  return true;
}

function unsetVariable(name: string): void {
  try {
    Deno.env.delete(name);
  } catch (error) {
    // When run from source, the user decides on permissions.
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
  }
}
