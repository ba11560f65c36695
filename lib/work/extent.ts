/**
 * Which bytes of an image are restored, and where in the target they go. Pure.
 *
 * A plain restore writes the whole image. A range goes to its own offsets in a target that keeps
 * the rest of its content; a partition goes to the start of a target of its own.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { CHUNK_BYTES } from "../store/layout.ts";

/** The bytes of an image that are restored, and where in the target they go. All in bytes. */
export interface ImageExtent {
  /** First byte of the image that is restored. */
  readonly start: number;
  /** Byte of the image after the last one that is restored; at most the image's size. */
  readonly end: number;
  /** Where in the target the first byte goes. */
  readonly targetStart: number;
}

/** The part of a seq's chunk that an extent wants. */
export interface ChunkPart {
  /** First byte of the chunk that is wanted. */
  readonly chunkOffset: number;
  /** Number of bytes, 1 to CHUNK_BYTES. */
  readonly length: number;
  /** Where in the image it lies. */
  readonly imageOffset: number;
  /** Where in the target it goes. */
  readonly targetOffset: number;
}

/** The extent of a whole image. */
export function wholeImage(imageBytes: number): ImageExtent {
  return { start: 0, end: imageBytes, targetStart: 0 };
}

/**
 * The extent of a range, which goes to its own offsets.
 *
 * @param range.length Number of bytes; `null`: to the end of the image.
 * @throws {UsageError} If it does not lie within the image.
 */
export function rangeOfImage(
  imageBytes: number,
  range: { offset: number; length: number | null },
): ImageExtent {
  const { offset, length } = range;
  const end = length === null ? imageBytes : offset + length;
  if (offset >= imageBytes || end > imageBytes) {
    const what = length === null
      ? `from byte ${offset} to the end`
      : `bytes ${offset} to ${Math.max(end, offset + 1) - 1}`;
    throw new UsageError(`Cannot restore ${what}: the image has ${imageBytes} bytes`);
  }
  return { start: offset, end, targetStart: offset };
}

/** The first seq of an extent, and the seq after its last one. */
export function seqsOfExtent({ start, end }: ImageExtent): { firstSeq: number; endSeq: number } {
  const firstSeq = Math.floor(start / CHUNK_BYTES);
  return { firstSeq, endSeq: end > start ? Math.ceil(end / CHUNK_BYTES) : firstSeq };
}

/** Says which part of a seq's chunk an extent wants, and where it goes. @param seq Within it. */
export function partOfSeq(extent: ImageExtent, seq: number): ChunkPart {
  const imageOffset = Math.max(seq * CHUNK_BYTES, extent.start);
  const end = Math.min((seq + 1) * CHUNK_BYTES, extent.end);
  return {
    chunkOffset: imageOffset - seq * CHUNK_BYTES,
    length: end - imageOffset,
    imageOffset,
    targetOffset: targetOffsetOf(extent, imageOffset),
  };
}

/** Where in the target a byte of the image goes. */
export function targetOffsetOf(extent: ImageExtent, imageOffset: number): number {
  return imageOffset - extent.start + extent.targetStart;
}

/** Which byte of the image goes to a byte of the target. */
export function imageOffsetOf(extent: ImageExtent, targetOffset: number): number {
  return targetOffset - extent.targetStart + extent.start;
}

/** Byte of the target after the last one that is written. */
export function targetEndOf(extent: ImageExtent): number {
  return targetOffsetOf(extent, extent.end);
}
