/**
 * What a restore is asked for, and what it tells while it runs.
 *
 * @module
 */

import type { SectorBytes } from "../image/partition_table.ts";
import type { StreamFormat } from "../target/stream_format.ts";
import type { SparseMode, TargetHandle } from "../target/target.ts";
import type { LockEvent } from "../store/purge_lock.ts";
import type { MapProgress } from "../store/revision_map.ts";
import type { OnError } from "../work/messages.ts";
import type { BadChunkEvent } from "./damage.ts";
import type { PlanSummary } from "./plan.ts";
import type { PoolProgress } from "../work/pool.ts";

/** What {@linkcode RestoreOptions.onEvent} is called with. */
export type RestoreEvent =
  | LockEvent
  | {
    readonly type: "reading-map";
    readonly path: string;
    /** Returns how far the reading has come; valid until the next event. */
    readonly progress: () => MapProgress;
  }
  /** A plan is made of an image so large that this takes a while. */
  | { readonly type: "planning" }
  /** A FIFO has no reader yet; the restore waits. */
  | { readonly type: "reader-wait"; readonly target: string }
  /** A file has been emptied: what it held before is gone. */
  | { readonly type: "emptied"; readonly target: string }
  | ({ readonly type: "restoring"; readonly isUpdate: boolean } & TargetWork)
  | { readonly type: "flushing"; readonly target: string }
  /** The target is read back; in the second round after what differed was written again. */
  | ({ readonly type: "reading-back"; readonly round: 1 | 2 } & TargetWork)
  /** A dry run looks for the chunk files. */
  | ({ readonly type: "surveying" } & RunningWork)
  | BadChunkEvent
  /** Something that need not worry anybody, in one line. */
  | { readonly type: "notice"; readonly text: string }
  | { readonly type: "warning"; readonly text: string };

/** Work that workers are doing. */
export interface RunningWork {
  /** The revision's name. */
  readonly revision: string;
  readonly threads: number;
  readonly plan: PlanSummary;
  /** Returns how far the work has come; valid until the next event. */
  readonly progress: () => PoolProgress;
}

/** Work on a target. */
export interface TargetWork extends RunningWork {
  readonly target: string;
  readonly access: TargetHandle["access"];
}

/** What to restore, where to and how. */
export interface RestoreOptions {
  /**
   * A revision map, such as `/srv/backy/vm/Nym6uacWoXGb8VnbksM3yH`, or a backup directory and a
   * spec, `/srv/backy/vm/last`.
   */
  readonly revision: string;
  /** Chooses the revision where `revision` names a backup directory. */
  readonly spec?: string | undefined;
  /** File or device; "-": standard output. */
  readonly output: string;
  /** Decoding workers, >= 1; a limit of the system may make them fewer. */
  readonly threads: number;
  /** What becomes of zeros; default "auto". */
  readonly sparse?: SparseMode;
  /** Whether each chunk's content is compared with its id; default true. */
  readonly verify?: boolean;
  /** Whether the target is flushed to disk at the end; default true. */
  readonly sync?: boolean;
  /** Whether a target that is in use is written; default false. */
  readonly force?: boolean;
  /**
   * Other backup directories that may hold good copies of chunks, in the order in which they are
   * asked.
   */
  readonly also?: readonly string[];
  /** What becomes of a chunk without a good copy; default "abort". */
  readonly onError?: OnError;
  /**
   * Whether the target is compared with the revision, and only what differs is written; default
   * false.
   */
  readonly update?: boolean;
  /**
   * The revision that the target is known to hold, as `revision`, or its name in the same
   * directory.
   */
  readonly base?: string | undefined;
  /**
   * Whether the target is read back after the flush and compared with the revision; default false.
   */
  readonly verifyTarget?: boolean;
  /** Restores a part of the image only, to its own offsets; `length` `null`: to the end. */
  readonly range?: { readonly offset: number; readonly length: number | null } | undefined;
  /** Restores a partition of the image only, to the target's start. */
  readonly partition?: number | undefined;
  /** Length of the sectors in which the partition table counts; default: it is found out. */
  readonly sectorBytes?: SectorBytes | undefined;
  /** What is written to a stream; default "raw". */
  readonly format?: StreamFormat;
  /** Bound of the rate at which chunk files are read, in bytes a second. */
  readonly readBytesPerSecond?: number | undefined;
  /** How long to wait for the purge lock; default for ever, 0: not at all. */
  readonly lockTimeoutMs?: number | undefined;
  /** Aborting it stops the restore; its reason is thrown. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: RestoreEvent) => void;
}
