/**
 * The formats of a stream: how they are called, and what stands before and behind the data. Pure.
 *
 * @module
 */

import { RBD_DIFF_END, rbdDiffPrologue } from "./rbd_diff.ts";

/** What a stream looks like: the bare image, or records that name their offsets (`rbd_diff.ts`). */
export type StreamFormat = "raw" | "rbd-diff";

/** Says how a stream of an image begins and ends. */
export function streamFrame(
  format: StreamFormat,
  imageBytes: number,
): { head: Uint8Array<ArrayBuffer>; tail: Uint8Array<ArrayBuffer> } {
  if (format === "raw") return { head: new Uint8Array(0), tail: new Uint8Array(0) };
  return { head: rbdDiffPrologue(imageBytes), tail: RBD_DIFF_END };
}
