/**
 * The exit codes of the tools, and which error leads to which.
 *
 * @module
 */

import { BackyError, InterruptedError } from "../errors.ts";

/** What a tool's exit status tells a script. */
export const ExitCode = {
  COMPLETE: 0,
  FAILURE: 1,
  USAGE: 2,
  DATA: 3,
  TARGET: 4,
  STORE: 10,
  LOCK: 11,
  SIGHUP: 129,
  SIGINT: 130,
  SIGTERM: 143,
} as const;

/** One of the values of {@linkcode ExitCode}. */
export type ExitCode = typeof ExitCode[keyof typeof ExitCode];

/** The table that `--help` and the manual pages show: every code once. */
export const EXIT_CODE_TABLE: readonly { readonly code: ExitCode; readonly meaning: string }[] = [
  { code: ExitCode.COMPLETE, meaning: "complete" },
  { code: ExitCode.FAILURE, meaning: "other failure" },
  { code: ExitCode.USAGE, meaning: "usage error" },
  { code: ExitCode.DATA, meaning: "backup data missing or corrupt" },
  {
    code: ExitCode.TARGET,
    meaning: "target refused, failed while it was written, or no longer under its name",
  },
  { code: ExitCode.STORE, meaning: "not a store, no such revision, or unreadable map" },
  { code: ExitCode.LOCK, meaning: "purge lock not obtained" },
  { code: ExitCode.SIGHUP, meaning: "interrupted by SIGHUP: the terminal or connection ended" },
  { code: ExitCode.SIGINT, meaning: "interrupted by SIGINT" },
  { code: ExitCode.SIGTERM, meaning: "interrupted by SIGTERM" },
];

const BY_ERROR_CODE: ReadonlyMap<string, ExitCode> = new Map([
  ["usage", ExitCode.USAGE],
  ["chunk-missing", ExitCode.DATA],
  ["chunk-corrupt", ExitCode.DATA],
  ["target", ExitCode.TARGET],
  ["store-format", ExitCode.STORE],
  ["revision", ExitCode.STORE],
  ["lock", ExitCode.LOCK],
]);

/**
 * Chooses the exit code for whatever ended a run.
 *
 * Only the error itself counts, not its cause: the layer that throws a {@linkcode BackyError} knows
 * what the failure means, the `OsError` below it does not.
 *
 * @param error What was caught.
 * @returns Never `ExitCode.COMPLETE`.
 */
export function exitCodeFor(error: unknown): ExitCode {
  if (error instanceof InterruptedError) return ExitCode[error.signal];
  if (error instanceof BackyError) return BY_ERROR_CODE.get(error.code) ?? ExitCode.FAILURE;
  return ExitCode.FAILURE;
}
