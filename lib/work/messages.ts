/**
 * What the main thread and its workers say to each other, in messages and in shared memory. What
 * there is to do is in `tasks.ts`.
 *
 * @module
 */

import type { ChunkFault, WireError } from "../errors.ts";
import type { ThrottleHandle } from "./throttle.ts";

/** Cells of the shared control block, an `Int32Array`; all access is by `Atomics`. */
export const Control = {
  /** 1: workers end as soon as they can. */
  STOP: 0,
  /** Next job to take: the number of a chunk, or of a stream's item. */
  NEXT_JOB: 1,
  /** Next job whose chunk file the kernel is asked to read ahead. */
  NEXT_PREFETCH: 2,
  /** Next zero range to take. */
  NEXT_ZERO_RANGE: 3,
  /** Item whose turn it is to be written to a stream; workers wait on it. */
  TURN: 4,
  /** A {@linkcode ReadAheadBy}. */
  READ_AHEAD_BY: 5,
} as const;

/** Who has chunk files read ahead. */
export const ReadAheadBy = {
  /** The workers, until their storage proves to be slow. */
  WORKERS: 0,
  /** The main thread, as slow storage would hold the workers up. */
  MAIN_THREAD: 1,
  /** The workers whatever their storage, as the main thread lacks descriptors or threads for it. */
  WORKERS_ONLY: 2,
} as const;

/** Number of {@linkcode Control} cells. */
export const CONTROL_CELLS = 6;

/** Cells of the shared counters, a `BigInt64Array`; they count bytes unless stated otherwise. */
export const Counter = {
  /** Bytes of the extent that are done, zeros included; 0 where no image is worked on. */
  IMAGE: 0,
  /** Decoded bytes; decoding is what takes most of the time. */
  DECODED: 1,
  /** Bytes of chunk files read; in a survey, of those found. */
  READ: 2,
  /** Bytes handed to the target, without zeros that were skipped or deallocated. */
  WRITTEN: 3,
  /** Bytes of the extent that the target was found to hold already. */
  SAME: 4,
  /** Bytes that could not be decoded because their chunk is bad. */
  BAD: 5,
  /** Jobs done (not bytes). */
  JOBS: 6,
  /** Bytes of the extent that took no time: holes of the target where zeros belong. */
  FREE: 7,
  /** From here on one counter for each backup directory: chunks (not bytes) that came from it. */
  CHUNKS_FROM: 8,
} as const;

/** What to do about a chunk without a good copy in any backup directory. */
export type OnError = "abort" | "zero";

/** The only message to a worker, once for each task. */
export interface StartMessage<T> {
  /** What to do, with all that only this kind of task needs. */
  readonly task: T;
  /** Backup directories, the revision's own first. */
  readonly sources: readonly string[];
  readonly verify: boolean;
  readonly onError: OnError;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly counters: BigInt64Array<SharedArrayBuffer>;
  /** How many workers share the task. */
  readonly workers: number;
  /** Limits the reading of chunk files. */
  readonly throttle: ThrottleHandle | null;
}

/** Why a chunk cannot be used. */
export type ChunkReason = "missing" | ChunkFault;

/** What a worker reports while it works. */
export type Note =
  /** No good copy of a chunk was found. */
  | {
    readonly type: "bad-chunk";
    readonly chunkId: string;
    /**
     * The seqs that need it, as pairs: first seq, number of seqs; ascending. A chunk may be
     * reported several times, with different seqs.
     */
    readonly runs: Uint32Array;
    readonly reason: ChunkReason;
    /** One line. */
    readonly detail: string;
  }
  /** A chunk is good, but shorter than a full one; some images may need more of it. */
  | { readonly type: "short-chunk"; readonly chunkId: string; readonly bytes: number }
  /** The target does not hold what it should here; in bytes of the target. */
  | { readonly type: "mismatch"; readonly offset: number; readonly length: number };

/** Asks the main thread to have a chunk's file read ahead. */
export interface ReadAheadMessage {
  readonly type: "read-ahead";
  readonly chunkId: string;
  /** The job that needs it. */
  readonly job: number;
}

/** A worker's first message: it has all it needs, and waits for a task. */
export interface ReadyMessage {
  readonly type: "ready";
}

/** How a worker ended its task. */
export type EndMessage =
  | { readonly type: "done" }
  | { readonly type: "stopped" }
  | { readonly type: "failed"; readonly error: WireError };

/** What a worker sends. */
export type WorkerMessage = ReadyMessage | ReadAheadMessage | Note | EndMessage;
