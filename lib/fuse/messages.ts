/**
 * What a mount's main thread and its workers say to each other: one job at a time, one answer to each.
 *
 * @module
 */

import type { WireError } from "../errors.ts";
import type { RevisionMap } from "../store/revision_map.ts";

/** Decodes a chunk into a page. The page is the worker's until it answers. */
export interface DecodeJob {
  readonly type: "decode";
  readonly dir: string;
  readonly id: string;
  /** Whether content is compared with the chunk's id. */
  readonly verify: boolean;
  readonly page: Uint8Array<SharedArrayBuffer>;
}

/** Stores a page's content as a chunk. Others may write to the page meanwhile. */
export interface StoreJob {
  readonly type: "store";
  readonly dir: string;
  /** Its content, without what lies behind. */
  readonly content: Uint8Array<SharedArrayBuffer>;
}

/** Reads a revision map. */
export interface MapJob {
  readonly type: "map";
  readonly path: string;
}

/** What a worker is told to do. */
export type Job = DecodeJob | StoreJob | MapJob;

/** The number of bytes decoded, the id of the chunk stored, the map; or what went wrong. */
export type Result = number | string | RevisionMap;

/** Ends a job. */
export type JobAnswer =
  | { readonly type: "done"; readonly result: Result }
  | { readonly type: "failed"; readonly error: WireError };
