/**
 * The first thing that the tools do: find out what the process was started with, before the runtime
 * changes it. `command_run.ts` and `tool.ts` ask later what was found.
 *
 * @module
 */

import type { EndSignal } from "../errors.ts";
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

const END_SIGNALS: readonly EndSignal[] = ["SIGHUP", "SIGINT", "SIGTERM"];

/**
 * Variables by which npm:yaml prints what it parses; it fails if one is not UTF-8. Whoever sets
 * such a variable means another program.
 */
const UNHEEDED_VARIABLES = ["LOG_STREAM", "LOG_TOKENS"];

let found: ProcessStart = { ignoredSignals: new Set(), hasLeftDirectory: false };

/**
 * Begins the process: SIGUSR1 no longer ends it, signals that were ignored stay ignored, a working
 * directory that cannot be used is left. To be called once, before anything that takes time is
 * imported.
 *
 * @throws {OsError} If the working directory cannot be told, or "/" not be entered.
 */
export function beginProcess(): void {
  const ignored = END_SIGNALS.filter((signal) => isSignalIgnored(SignalNumber[signal]));
  // Never removed: without a listener SIGUSR1 ends the process.
  Deno.addSignalListener("SIGUSR1", () => {});
  // With its first listener the runtime (Deno 2.6) begins to catch these, and what nobody listens
  // to ends the process.
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
 * done that already, before the runtime started, and ignore a signal that nobody sends as a sign of
 * it (`release/portable/stub/stub.c`).
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
    // From source it is the user who decides what the tool may do.
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
  }
}
