/**
 * Which options of a restore do not go together, and why, as data.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import type { RestoreCommand } from "./extract_commands.ts";

/** Options that contradict each other. */
export interface Conflict {
  /** Whether a command has it. */
  readonly isIn: (command: RestoreCommand) => boolean;
  /** The options, as in `"--update" with "--base"`. */
  readonly options: string;
  readonly reason: string;
}

const isDiff = ({ format }: RestoreCommand) => format === "rbd-diff";
const isStdout = ({ output }: RestoreCommand) => output === "-";
const IN_ORDER = "standard output takes bytes in order only, name a file or block device";

/** All contradictions; the first that a command has is told. */
export const CONFLICTS: readonly Conflict[] = [
  {
    isIn: ({ range, partition }) => range !== undefined && partition !== undefined,
    options: '"--range" with "--partition"',
    reason: "each chooses a part of the image",
  },
  {
    isIn: ({ sectorBytes, partition }) => sectorBytes !== undefined && partition === undefined,
    options: '"--sector-size" without "--partition"',
    reason: "it says in which unit the partition table counts",
  },
  {
    isIn: ({ update, base }) => update && base !== undefined,
    options: '"--update" with "--base"',
    reason: "one reads the target to see what it holds, the other trusts that it is known",
  },
  {
    isIn: (command) => command.update && isStdout(command),
    options: '"--update" with standard output',
    reason: IN_ORDER,
  },
  {
    isIn: (command) => command.verifyTarget && isStdout(command),
    options: '"--verify-target" with standard output',
    reason: IN_ORDER,
  },
  {
    isIn: (command) => command.base !== undefined && isStdout(command) && !isDiff(command),
    options: '"--base" with an image on standard output',
    reason: "that would have gaps; use --format=rbd-diff, or name a file or block device",
  },
  {
    isIn: ({ verifyTarget, sync }) => verifyTarget && !sync,
    options: '"--verify-target" with "--no-sync"',
    reason: "what was not flushed cannot be read back",
  },
  {
    isIn: ({ verifyTarget, verify }) => verifyTarget && !verify,
    options: '"--verify-target" with "--no-verify"',
    reason: "the target is compared with the chunks' ids, which must be right then",
  },
  {
    isIn: ({ update, sparse }) => update && sparse === "always",
    options: '"--update" with "--sparse=always"',
    reason: "the target is either compared or trusted to hold zeros, not both",
  },
  {
    isIn: ({ base, sparse }) => base !== undefined && sparse === "always",
    options: '"--base" with "--sparse=always"',
    reason: "where the base has data and the revision zeros, that data would stay",
  },
  {
    isIn: (command) => isDiff(command) && !isStdout(command),
    options: '"--format=rbd-diff" with OUTPUT',
    reason: "it is a stream, for standard output only",
  },
  {
    isIn: (command) =>
      isDiff(command) && (command.range !== undefined || command.partition !== undefined),
    options: '"--format=rbd-diff" with "--range" or "--partition"',
    reason: "a diff is of the whole image",
  },
  {
    isIn: (command) => isDiff(command) && command.sparse === "never",
    options: '"--format=rbd-diff" with "--sparse=never"',
    reason: "its zeros are records, not bytes",
  },
  {
    isIn: ({ reportFile, onError }) => reportFile !== undefined && onError !== "zero",
    options: '"--report" without "--on-error=zero"',
    reason: "the restore ends at the first bad chunk, and there is nothing to report",
  },
];

/** Refuses a command that contradicts itself. @throws {UsageError} With the reason. */
export function requireNoConflict(command: RestoreCommand): void {
  const conflict = CONFLICTS.find(({ isIn }) => isIn(command));
  if (conflict) throw new UsageError(`Cannot use ${conflict.options}: ${conflict.reason}`);
}
