/**
 * Messages between a chunk loader and its workers: a worker first says where its memory is, and
 * then answers each job.
 *
 * @module
 */

import type { WireError } from "../errors.ts";
import type { StoredRevisionMap } from "../store/revision_map.ts";

/**
 * A worker's memory, which is shared: chunks are decoded into pages there without a copy.
 *
 * The receiver grows it; output buffer `firstOutput + n` of the worker's codec is then at byte
 * `start + n * span`.
 */
export interface WorkerMemory {
  readonly type: "memory";
  readonly memory: WebAssembly.Memory;
  readonly firstOutput: number;
  readonly start: number;
  readonly span: number;
}

/** Decodes a chunk into a page. The page is the worker's until it answers. */
export interface DecodeJob {
  readonly type: "decode";
  readonly dir: string;
  readonly id: string;
  /** Whether content is compared with the chunk's id. */
  readonly verify: boolean;
  /**
   * The page: the number of one of the codec's output buffers, or memory elsewhere, to which the
   * content is copied.
   */
  readonly page: number | Uint8Array<SharedArrayBuffer>;
}

/** Stores a page's content as a chunk. The page may be written to meanwhile. */
export interface StoreJob {
  readonly type: "store";
  readonly dir: string;
  /** The part of the page that is content. */
  readonly content: Uint8Array<SharedArrayBuffer>;
}

/** Reads a revision map. */
export interface MapJob {
  readonly type: "map";
  readonly path: string;
}

/** A job for a worker. */
export type Job = DecodeJob | StoreJob | MapJob;

/** The number of bytes decoded, the id of the chunk stored, the map; or what went wrong. */
export type Result = number | string | StoredRevisionMap;

/** What a worker says. */
export type WorkerMessage = WorkerMemory | JobAnswer;

/** Ends a job. */
export type JobAnswer =
  | {
    readonly type: "done";
    readonly result: Result;
    /** Whether storage has kept the worker waiting for long in its last jobs. */
    readonly readsAreSlow: boolean;
  }
  | { readonly type: "failed"; readonly error: WireError };
