/**
 * Groups zeros: granules of a decoded chunk into runs, and chunks that are all zeros into ranges of the image. Pure.
 *
 * @module
 */

import { GRANULE_BYTES } from "./target.ts";

/** A stretch of a chunk that is zeros throughout, or data in every granule. */
export interface Run {
  /** First byte, counted from the chunk's start; a multiple of {@linkcode GRANULE_BYTES}. */
  readonly offset: number;
  /** Number of bytes, > 0. */
  readonly length: number;
  readonly isZero: boolean;
}

/** A range of the image, in bytes. */
export interface ZeroRange {
  readonly offset: number;
  /** Number of bytes, > 0. */
  readonly length: number;
}

/**
 * Yields the runs of a chunk in order; zeros and data alternate, and together they cover it.
 *
 * @param flags One byte a granule, nonzero where the granule is all zeros; may be longer than the chunk needs.
 * @param chunkBytes Bytes of the chunk that count, >= 0; the last granule may be cut short.
 * @throws {RangeError} If there are fewer flags than granules.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { zeroRuns } from "./zero_runs.ts";
 *
 * assertEquals([...zeroRuns(Uint8Array.of(0, 1, 1), 131_073)], [
 *   { offset: 0, length: 65_536, isZero: false },
 *   { offset: 65_536, length: 65_537, isZero: true },
 * ]);
 * ```
 */
export function* zeroRuns(flags: Uint8Array, chunkBytes: number): Generator<Run, void> {
  const granules = Math.ceil(chunkBytes / GRANULE_BYTES);
  if (flags.length < granules) {
    throw new RangeError(
      `Cannot group ${granules} granules by ${flags.length} flags: each granule needs one`,
    );
  }
  let start = 0;
  while (start < granules) {
    const isZero = flags[start] !== 0;
    let end = start + 1;
    while (end < granules && (flags[end] !== 0) === isZero) end++;
    const offset = start * GRANULE_BYTES;
    yield { offset, length: Math.min(end * GRANULE_BYTES, chunkBytes) - offset, isZero };
    start = end;
  }
}

/**
 * Yields the ranges of an image that chunks of zeros cover, neighbours joined.
 *
 * @param seqs Numbers of the chunks, ascending.
 * @param options.chunkBytes Size of a chunk; the image's last one ends with the image.
 * @param options.start First byte of the image that counts; the first chunk may lie before it in part.
 * @param options.end Byte behind the last one that counts; chunks at or beyond it yield nothing.
 * @param options.maxBytes Longest range: longer ones are split there, so that several workers share them.
 */
export function* zeroRanges(
  seqs: Iterable<number>,
  options: { chunkBytes: number; start: number; end: number; maxBytes: number },
): Generator<ZeroRange, void> {
  const { chunkBytes, start, end } = options;
  const maxChunks = Math.max(1, Math.floor(options.maxBytes / chunkBytes));
  let first = 0, next = 0; // chunks first to next - 1 are the range so far
  const range = () => {
    const offset = Math.max(first * chunkBytes, start);
    return { offset, length: Math.min(next * chunkBytes, end) - offset };
  };
  for (const seq of seqs) {
    if (seq * chunkBytes >= end) continue;
    if (seq !== next || next - first >= maxChunks) {
      if (next > first) yield range();
      first = seq;
    }
    next = seq + 1;
  }
  if (next > first) yield range();
}
