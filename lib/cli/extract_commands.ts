/**
 * The commands of `backy-extract`, as they come out of its arguments.
 *
 * @module
 */

import type { SectorBytes } from "../image/partition_table.ts";
import type { OnError } from "../work/messages.ts";
import type { StreamFormat } from "../target/stream_format.ts";
import type { SparseMode } from "../target/target.ts";
import type { ToolSpec } from "./option_table.ts";

/** A restore as the command line asks for it. */
export interface RestoreCommand {
  readonly kind: "restore";
  /**
   * Path of the revision map, or of a backup directory with a spec behind it or in
   * {@linkcode spec}; not empty.
   */
  readonly revision: string;
  readonly spec: string | undefined;
  /** Path of the target, or "-" for standard output; not empty. */
  readonly output: string;
  /** Number of decoding workers; `undefined` where it is left to `defaultThreads`. */
  readonly threads: number | undefined;
  readonly sparse: SparseMode;
  readonly update: boolean;
  readonly base: string | undefined;
  readonly verifyTarget: boolean;
  readonly range: { readonly offset: number; readonly length: number | null } | undefined;
  readonly partition: number | undefined;
  /**
   * Length of the sectors in which the partition table counts; `undefined` where it is found out.
   */
  readonly sectorBytes: SectorBytes | undefined;
  readonly format: StreamFormat;
  readonly onError: OnError;
  readonly also: readonly string[];
  /** File for the bad ranges. */
  readonly reportFile: string | undefined;
  readonly verify: boolean;
  readonly sync: boolean;
  /** Milliseconds, 0 for not waiting at all, `undefined` for waiting without end. */
  readonly lockTimeoutMs: number | undefined;
  readonly readBytesPerSecond: number | undefined;
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly quiet: boolean;
  readonly json: boolean;
}

/** A listing as the command line asks for it. */
export interface ListCommand {
  readonly kind: "list";
  /** Backup directory; not empty. */
  readonly dir: string;
  readonly spec: string | undefined;
  readonly json: boolean;
}

/** A check as the command line asks for it. */
export interface CheckCommand {
  readonly kind: "check";
  /** At least one; none is empty. */
  readonly revisions: readonly string[];
  readonly spec: string | undefined;
  /** Share of the chunks that are checked, more than 0 and at most 1. */
  readonly share: number;
  readonly threads: number | undefined;
  readonly lockTimeoutMs: number | undefined;
  readonly readBytesPerSecond: number | undefined;
  readonly quiet: boolean;
  readonly json: boolean;
}

/** What a command line of `backy-extract` asks for. */
export type ExtractCommand =
  | { readonly kind: "help"; readonly tool: ToolSpec }
  | { readonly kind: "version" }
  | RestoreCommand
  | ListCommand
  | CheckCommand;
