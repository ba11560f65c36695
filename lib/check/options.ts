/**
 * The options of a check, and the events that it reports while it runs.
 *
 * @module
 */

import type { LockEvent } from "../store/purge_lock.ts";
import type { MapProgress } from "../store/revision_map.ts";
import type { NoticeEvent } from "../work/crew.ts";
import type { PoolProgress } from "../work/pool.ts";

/** What {@linkcode CheckOptions.onEvent} is called with. */
export type CheckEvent =
  | LockEvent
  /** Maps are read: first to collect chunks, then to find the places of bad ones. */
  | {
    readonly type: "reading-maps";
    readonly purpose: "chunks" | "places";
    readonly maps: number;
    /** Returns how much has been read; valid until the next event. */
    readonly progress: () => MapProgress;
  }
  | {
    readonly type: "checking";
    readonly basedir: string;
    readonly revisions: number;
    readonly threads: number;
    /** Number of the chunks that are checked. */
    readonly distinctChunks: number;
    /** Their bytes, if each is as long as a full one. */
    readonly distinctBytes: number;
    /** Returns how far the work has come. */
    readonly progress: () => CheckProgress;
  }
  | { readonly type: "bad-map"; readonly path: string; readonly detail: string }
  | { readonly type: "bad-chunk"; readonly chunkId: string; readonly detail: string }
  | NoticeEvent
  | { readonly type: "warning"; readonly text: string };

/** How far the decoding of chunks has come. Jobs are chunks. */
export type CheckProgress = Pick<PoolProgress, "jobs" | "readBytes" | "decodedBytes">;

/** What to check, and how. */
export interface CheckOptions {
  /**
   * Revisions or specs, as a restore takes them. A spec may mean several revisions, a directory
   * means all.
   */
  readonly revisions: readonly string[];
  /** Chooses the revisions where `revisions` names backup directories. */
  readonly spec?: string | undefined;
  /** Share of the distinct chunks that is checked, more than 0 and at most 1 (the default). */
  readonly share?: number;
  /**
   * Decoding workers, >= 1; a limit of the system may make them fewer. Default: one per CPU, but 2
   * to 24.
   */
  readonly threads?: number | undefined;
  /** Most bytes of chunk files that are read in a second. */
  readonly readBytesPerSecond?: number | undefined;
  /** How long to wait for the purge lock; default: for ever, 0: not at all. */
  readonly lockTimeoutMs?: number | undefined;
  /**
   * Aborting it stops the check, which returns what it knows; see
   * `CheckReport.interruption`.
   */
  readonly signal?: AbortSignal;
  /** Hears of what goes on and of what is found. */
  readonly onEvent?: (event: CheckEvent) => void;
}
