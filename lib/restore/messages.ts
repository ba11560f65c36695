/**
 * Step 4 of a restore: what the orchestrator and its workers say to each other, in messages and in shared memory.
 *
 * @module
 */

import type { WireError } from "../errors.ts";
import type { TargetHandle } from "../target/target.ts";
import type { RestorePlan } from "./plan.ts";

/** Cells of the shared control block, an `Int32Array`; all are accessed by `Atomics` only. */
export const Control = {
  /** 1: end as soon as possible. */
  STOP: 0,
  /** Next job to take: an index of `firstSeqs`, or a seq for a stream. */
  NEXT_JOB: 1,
  /** Next job whose chunk file is to be requested from the disk. */
  NEXT_PREFETCH: 2,
  /** Next zero range to take. */
  NEXT_ZERO_RANGE: 3,
  /** Seq whose turn it is to be written to a stream; workers wait on it. */
  TURN: 4,
} as const;

/** Number of {@linkcode Control} cells. */
export const CONTROL_CELLS = 5;

/** Cells of the shared counters, a `BigInt64Array` of bytes. */
export const Counter = {
  /** Bytes of the image that are done, zeros included. */
  IMAGE: 0,
  /** Decoded bytes: the work that takes the time. */
  DECODED: 1,
  /** Bytes of chunk files read. */
  READ: 2,
  /** Bytes handed to the target; zeros that were skipped or deallocated are not counted. */
  WRITTEN: 3,
} as const;

/** Number of {@linkcode Counter} cells. */
export const COUNTER_CELLS = 4;

/** Gives a worker everything it needs; the first and only message to it. */
export interface StartMessage {
  readonly plan: RestorePlan;
  readonly target: TargetHandle;
  readonly basedir: string;
  readonly verify: boolean;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly counters: BigInt64Array<SharedArrayBuffer>;
  /** Chunk files requested ahead of the one that is decoded. */
  readonly prefetchDepth: number;
}

/** Ends a worker's work; the last and only message from it. */
export type EndMessage =
  | { readonly type: "done" }
  | { readonly type: "stopped" }
  | { readonly type: "failed"; readonly error: WireError };
