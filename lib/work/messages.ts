/**
 * What the main thread and its workers say to each other, in messages and in shared memory. What
 * there is to do is in `tasks.ts`.
 *
 * @module
 */

import type { ChunkFault, WireError } from "../errors.ts";
import type { ThrottleHandle } from "./throttle.ts";

/** Cells of the shared control block, an `Int32Array`; all are accessed by `Atomics` only. */
export const Control = {
  /** 1: end as soon as possible. */
  STOP: 0,
  /** Next job to take: the number of a chunk, or of a stream's item. */
  NEXT_JOB: 1,
  /** Next job whose chunk file is to be requested from the disk. */
  NEXT_PREFETCH: 2,
  /** Next zero range to take. */
  NEXT_ZERO_RANGE: 3,
  /** Item whose turn it is to be written to a stream; workers wait on it. */
  TURN: 4,
} as const;

/** Number of {@linkcode Control} cells. */
export const CONTROL_CELLS = 5;

/** Cells of the shared counters, a `BigInt64Array`, of bytes where nothing else is said. */
export const Counter = {
  /** Bytes of the extent that are done, zeros included; 0 where no image is worked on. */
  IMAGE: 0,
  /** Decoded bytes: the work that takes the time. */
  DECODED: 1,
  /** Bytes of chunk files read (or found, where they are only looked for). */
  READ: 2,
  /** Bytes handed to the target; zeros that were skipped or deallocated are not counted. */
  WRITTEN: 3,
  /** Bytes of the extent that the target was found to hold already. */
  SAME: 4,
  /** Bytes that were to be decoded, of chunks that turned out to be bad. */
  BAD: 5,
  /** Jobs done (not bytes). */
  JOBS: 6,
  /** Bytes of the extent that took no time: holes of a target where zeros belong. */
  FREE: 7,
  /** From here on a counter for each backup directory: chunks (not bytes) that came from it. */
  CHUNKS_FROM: 8,
} as const;

/** What becomes of a chunk that no backup directory has a good copy of. */
export type OnError = "abort" | "zero";

/** What tells a worker what to do; the only message to it, once for each run of work. */
export interface StartMessage<T> {
  /** What to do, with all that only this kind of task needs. */
  readonly task: T;
  /** Backup directories, the revision's own first. */
  readonly sources: readonly string[];
  readonly verify: boolean;
  readonly onError: OnError;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly counters: BigInt64Array<SharedArrayBuffer>;
  /** Chunk files requested ahead of the one that is decoded. */
  readonly prefetchDepth: number;
  /** Limits the reading of chunk files. */
  readonly throttle: ThrottleHandle | null;
}

/** Why a chunk cannot be used. */
export type ChunkReason = "missing" | ChunkFault;

/** What a worker tells while it works. */
export type Note =
  /** No good copy of a chunk was found. */
  | {
    readonly type: "bad-chunk";
    readonly chunkId: string;
    /**
     * The seqs at which it is missed, as pairs: first seq, number of seqs; ascending. The work may
     * tell of one chunk several times, of different seqs.
     */
    readonly runs: Uint32Array;
    readonly reason: ChunkReason;
    /** One line. */
    readonly detail: string;
  }
  /** A chunk is right, but shorter than a full one: some places may need more of it. */
  | { readonly type: "short-chunk"; readonly chunkId: string; readonly bytes: number }
  /** The target does not hold what it should; in bytes of the target. */
  | { readonly type: "mismatch"; readonly offset: number; readonly length: number };

/** A worker has all that it needs, and waits for work; its first message. */
export interface ReadyMessage {
  readonly type: "ready";
}

/** Ends a worker's run of work. */
export type EndMessage =
  | { readonly type: "done" }
  | { readonly type: "stopped" }
  | { readonly type: "failed"; readonly error: WireError };

/** What comes from a worker. */
export type WorkerMessage = ReadyMessage | Note | EndMessage;
