/**
 * What a check is asked for, and what it tells while it runs.
 *
 * @module
 */

import type { LockEvent } from "../store/purge_lock.ts";
import type { MapProgress } from "../store/revision_map.ts";
import type { PoolProgress } from "../work/pool.ts";

/** What {@linkcode CheckOptions.onEvent} is called with. */
export type CheckEvent =
  | LockEvent
  /** Maps are read, for the first time or, once bad chunks are known, to find their places. */
  | {
    readonly type: "reading-maps";
    readonly purpose: "chunks" | "places";
    readonly maps: number;
    /** Returns how far the reading has come; valid until the next event. */
    readonly progress: () => MapProgress;
  }
  | {
    readonly type: "checking";
    readonly basedir: string;
    readonly revisions: number;
    readonly threads: number;
    /** Number of the chunks that are checked. */
    readonly distinctChunks: number;
    /** Their bytes, if all are as long as a full one. */
    readonly distinctBytes: number;
    /** Returns how far the work has come. */
    readonly progress: () => CheckProgress;
  }
  | { readonly type: "bad-map"; readonly path: string; readonly detail: string }
  | { readonly type: "bad-chunk"; readonly chunkId: string; readonly detail: string }
  | { readonly type: "notice"; readonly text: string }
  | { readonly type: "warning"; readonly text: string };

/** How far the decoding of chunks has come. Jobs are chunks. */
export type CheckProgress = Pick<PoolProgress, "jobs" | "readBytes" | "decodedBytes">;

/** What to check, and how. */
export interface CheckOptions {
  /**
   * Revisions or specs, as a restore takes them; a spec may stand for several, a directory for all.
   */
  readonly revisions: readonly string[];
  /** Chooses the revisions where `revisions` names backup directories. */
  readonly spec?: string | undefined;
  /** Share of the distinct chunks that is checked, more than 0 and at most 1 (the default). */
  readonly share?: number;
  /** Decoding workers, >= 1; a limit of the system may make them fewer. */
  readonly threads: number;
  /** Bound of the rate at which chunk files are read, in bytes a second. */
  readonly readBytesPerSecond?: number | undefined;
  /** How long to wait for the purge lock; default for ever, 0: not at all. */
  readonly lockTimeoutMs?: number | undefined;
  /**
   * Aborting it stops the check, which returns what it knows; see
   * `CheckReport.interruption`.
   */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: CheckEvent) => void;
}
