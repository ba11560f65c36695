/**
 * The options of a restore, and the events that it reports while it runs.
 *
 * @module
 */

import type { SectorBytes } from "../image/partition_table.ts";
import type { StreamFormat } from "../target/stream_format.ts";
import type { DirectMode, SparseMode } from "../target/target.ts";
import type { LockEvent } from "../store/purge_lock.ts";
import type { MapProgress } from "../store/revision_map.ts";
import type { NoticeEvent } from "../work/crew.ts";
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
    /** Returns how much has been read; valid until the next event. */
    readonly progress: () => MapProgress;
  }
  /** Planning begins, and takes a while because the image is large. */
  | { readonly type: "planning" }
  /** A FIFO has no reader yet; the restore waits. */
  | { readonly type: "reader-wait"; readonly target: string }
  /** A file was emptied: its old content is gone. */
  | { readonly type: "emptied"; readonly target: string }
  | ({ readonly type: "restoring"; readonly isUpdate: boolean } & TargetWork)
  | { readonly type: "flushing"; readonly target: string }
  /** The target is read back; a second time after what differed was written again. */
  | ({ readonly type: "reading-back"; readonly round: 1 | 2 } & TargetWork)
  /** A dry run looks for the chunk files. */
  | ({ readonly type: "surveying" } & RunningWork)
  | BadChunkEvent
  | NoticeEvent
  | { readonly type: "warning"; readonly text: string };

/** Work that workers are doing. */
export interface RunningWork {
  /** The revision's name. */
  readonly revision: string;
  /** Number of workers. */
  readonly threads: number;
  /** What there is to do. */
  readonly plan: PlanSummary;
  /** Returns how far the work has come; valid until the next event. */
  readonly progress: () => PoolProgress;
}

/** Work on a target. */
export interface TargetWork extends RunningWork {
  /** The target as it was named; "standard output" for standard output. */
  readonly target: string;
  /** Whether bytes go to any offset, or in order. */
  readonly access: "random" | "stream";
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
  /**
   * File or device; "-": standard output; "rbd:POOL/IMAGE" or "rbd:POOL/NAMESPACE/IMAGE": an image
   * in a Ceph cluster; or a stream of the program's own, which is closed at the end, or aborted if
   * the restore fails.
   */
  readonly output: string | WritableStream<Uint8Array<ArrayBuffer>>;
  /**
   * Decoding workers, >= 1; a limit of the system may make them fewer. Default: one per CPU, but 2
   * to 24.
   */
  readonly threads?: number | undefined;
  /** How zeros are written; default "auto". */
  readonly sparse?: SparseMode;
  /** Whether a file or device is written past the page cache; default "auto": where it pays. */
  readonly direct?: DirectMode;
  /** Whether each chunk's content is compared with its id; default true. */
  readonly verify?: boolean;
  /** Whether the target is flushed to disk at the end; default true. */
  readonly sync?: boolean;
  /** Whether to write a target that is in use; default false. */
  readonly force?: boolean;
  /** Whether to create an image in a Ceph cluster if there is none; default false. */
  readonly create?: boolean;
  /** Other backup directories that may have good copies of chunks, in the order of their use. */
  readonly also?: readonly string[];
  /** What to do about a chunk without a good copy; default "abort". */
  readonly onError?: OnError;
  /** Whether to compare the target with the revision and write only what differs; default false. */
  readonly update?: boolean;
  /** The revision that the target already holds: as `revision`, or a name in its directory. */
  readonly base?: string | undefined;
  /** Whether to read the target back after the flush and compare it; default false. */
  readonly verifyTarget?: boolean;
  /** Restores only this part of the image, to the same offsets; `length` `null`: to the end. */
  readonly range?: { readonly offset: number; readonly length: number | null } | undefined;
  /** Restores only this partition of the image, to the target's start. */
  readonly partition?: number | undefined;
  /** Sector size that the partition table counts in; default: found out from the table. */
  readonly sectorBytes?: SectorBytes | undefined;
  /** What is written to a stream; default "raw". */
  readonly format?: StreamFormat;
  /** Most bytes of chunk files that are read in a second. */
  readonly readBytesPerSecond?: number | undefined;
  /** How long to wait for the purge lock; default: for ever, 0: not at all. */
  readonly lockTimeoutMs?: number | undefined;
  /** Aborting it stops the restore, which then throws its reason. */
  readonly signal?: AbortSignal;
  /** Hears of what goes on. */
  readonly onEvent?: (event: RestoreEvent) => void;
}
