/**
 * What a person is told about a failure: the error in one line, the revisions to choose from, what
 * state the target is in, and what to do next. Pure.
 *
 * @module
 */

import { BackyError, isChunkFault, OsError, RevisionError, TargetError } from "../errors.ts";
import type { SparseMode, TargetHandle } from "../target/target.ts";
import { nameTarget } from "../target/wording.ts";
import { quote } from "../wording.ts";
import { formatListedTime, formatQuantity } from "./format.ts";

const SHOWN_MAX = 20;

/** Says in one line what went wrong; an error that is not ours is reported as a bug. */
export function describeFailure(error: unknown): string {
  if (error instanceof BackyError && error.code !== "worker") return error.message;
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return `Cannot go on: internal error, please report it: ${text}`;
}

/**
 * Lists the revisions that an ambiguous specification left to choose from: the last 20, which are
 * usually the newest. No lines for other errors.
 */
export function candidateLines(error: unknown): string[] {
  if (!(error instanceof RevisionError) || error.candidates.length === 0) return [];
  const { candidates } = error;
  const more = candidates.length - SHOWN_MAX;
  return [
    ...(more > 0 ? [`${formatQuantity(more, "candidate")} before these, not shown`] : []),
    ...candidates.slice(-SHOWN_MAX).map(({ name, time, tags }) =>
      [
        "candidate:",
        formatListedTime(time === null ? null : new Date(time)),
        name,
        ...tags.map((tag) => quote(tag, 40)),
      ].join(" ")
    ),
  ];
}

/** A target that may have been changed. */
export interface TouchedTarget {
  /** "standard output" for standard output. */
  readonly path: string;
  readonly access: TargetHandle["access"];
}

/** The parts of a command that decide how it is resumed. */
export interface ResumedCommand {
  readonly update: boolean;
  readonly base: string | undefined;
  readonly sparse: SparseMode;
  readonly partition: number | undefined;
}

/** errno names that mean: there is no room. */
const NO_ROOM: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT"]);

/**
 * Says what state a failed restore left its target in, and how to go on. @returns Lines for a
 * person.
 */
export function targetNotes(
  error: unknown,
  target: TouchedTarget | null,
  command: ResumedCommand,
): string[] {
  const isChunks = isChunkFault(error);
  const advice = isChunks ? [chunkAdvice(target, command)] : [];
  if (target === null) return advice;
  // The error itself says where the image is.
  if (error instanceof TargetError && error.isDisplaced) return [];
  const state = `${nameTarget(target.path)} is incomplete`;
  const step = target.access === "random" && !isChunks ? nextStep(error, command) : null;
  return [step === null ? state : `${state}: ${step}`, ...advice];
}

/** How to repair the file or device; `null` if an update would not. */
function nextStep(error: unknown, command: ResumedCommand): string | null {
  const goesOn = `${resumingCommand(command)} writes what is missing`;
  if (!(error instanceof TargetError)) return goesOn;
  if (!(error.cause instanceof OsError)) return null;
  return NO_ROOM.has(error.cause.errnoName)
    ? `make room, then run ${resumingCommand(command)}`
    : goesOn;
}

/** What helps against a bad chunk. */
function chunkAdvice(target: TouchedTarget | null, command: ResumedCommand): string {
  const also = "--also DIR for a good copy of the chunk elsewhere";
  // Zeros do not help: without the partition table it is not known what to restore.
  const ways = target === null && command.partition !== undefined
    ? `${also}; if it has the partition table, list --partitions may still know which bytes to ` +
      "give to --range"
    : `${also}, or --on-error=zero for zeros in its place`;
  return target?.access === "random" && !command.update
    ? `To go on, add ${updateOption(command)}, and ${ways}`
    : `To go on, add ${ways}`;
}

/** The command that resumes the given one, in words. */
function resumingCommand({ update, base, sparse }: ResumedCommand): string {
  return update ? "the same command" : `the same command with ${updateOption({ base, sparse })}`;
}

/** The option that resumes a restore, and the one that it replaces. */
function updateOption({ base, sparse }: Pick<ResumedCommand, "base" | "sparse">): string {
  if (base !== undefined) return "--update instead of --base";
  return sparse === "always" ? "--update instead of --sparse=always" : "--update";
}
