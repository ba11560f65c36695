/**
 * What a person is told behind the error of a restore: in what state the target is, and what to do next. Pure.
 *
 * @module
 */

import { OsError, TargetError } from "../errors.ts";
import type { TargetHandle } from "../target/target.ts";
import { STDOUT_NAME } from "../target/wording.ts";
import { quote } from "../wording.ts";
import type { RestoreCommand } from "./extract_commands.ts";

/** A target that may have been changed. */
export interface TouchedTarget {
  /** "standard output" for standard output. */
  readonly path: string;
  readonly access: TargetHandle["access"];
}

/** What of a command decides how it is resumed. */
export type ResumedCommand = Pick<RestoreCommand, "update" | "base" | "sparse">;

/** errno names that mean: there is no room. */
const NO_ROOM: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT"]);

/** Says in which state a failed restore left its target, and how to go on. @returns Lines for a person. */
export function targetNotes(
  error: unknown,
  target: TouchedTarget | null,
  command: ResumedCommand,
): string[] {
  if (target === null) return [];
  // The error says where the image is.
  if (error instanceof TargetError && error.isDisplaced) return [];
  const state = `${nameOfTarget(target.path)} is incomplete`;
  const step = target.access === "random" ? nextStep(error, command) : null;
  return [step === null ? state : `${state}: ${step}`];
}

/** What mends a file or device that could not be written; `null` where an update would not. */
function nextStep(error: unknown, command: ResumedCommand): string | null {
  if (!(error instanceof TargetError && error.cause instanceof OsError)) return null;
  return NO_ROOM.has(error.cause.errnoName)
    ? `make room, then run ${resumingCommand(command)}`
    : `${resumingCommand(command)} writes what is missing`;
}

/** The command that goes on where the given one ended, in words. */
export function resumingCommand({ update, base, sparse }: ResumedCommand): string {
  if (update) return "the same command";
  const withUpdate = "the same command with --update";
  if (base !== undefined) return `${withUpdate} instead of --base`;
  return sparse === "always" ? `${withUpdate} instead of --sparse=always` : withUpdate;
}

/** Quotes a target's path; standard output is no path. */
export function nameOfTarget(path: string): string {
  return path === STDOUT_NAME ? path : quote(path);
}
