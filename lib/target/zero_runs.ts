/**
 * Groups zeros: granules of a decoded chunk into runs, and chunks that are all zeros into ranges of
 * the image. Pure.
 *
 * @module
 */

import { GRANULE_BYTES } from "./target.ts";

/** A part of a chunk whose granules are all zeros, or all have data. */
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
 * Yields the runs of a chunk in order. Zeros and data alternate, and together they cover the chunk.
 *
 * @param flags One byte a granule, nonzero where the granule is all zeros; may be longer than the
 *   chunk needs.
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
 * Yields the runs between two bytes of a chunk in order, with offsets from the chunk's start.
 *
 * @param flags As {@linkcode zeroRuns} takes them; `null`: everything counts as data.
 */
export function* runsBetween(
  flags: Uint8Array | null,
  start: number,
  end: number,
): Generator<Run, void> {
  if (!flags) return yield { offset: start, length: end - start, isZero: false };
  for (const run of zeroRuns(flags, end)) {
    const offset = Math.max(run.offset, start);
    const length = run.offset + run.length - offset;
    if (length > 0) yield { ...run, offset, length };
  }
}

/** Groups chunks of zeros into ranges of an image, neighbours joined. */
export class ZeroRangeGrouper {
  readonly #chunkBytes: number;
  readonly #start: number;
  readonly #end: number;
  readonly #maxChunks: number;
  readonly #onRange: (range: ZeroRange) => void;
  // The range so far consists of chunks #first to #next - 1.
  #first = 0;
  #next = 0;

  /**
   * @param options.chunkBytes Size of a chunk; the image's last one ends with the image.
   * @param options.start First byte of the image that counts; it may lie inside of a chunk.
   * @param options.end Byte behind the last one that counts; chunks from there on are ignored.
   * @param options.maxBytes Longest range; longer ones are split, so that several workers share
   *   them.
   * @param onRange Called with each range as soon as it is complete.
   */
  constructor(
    options: { chunkBytes: number; start: number; end: number; maxBytes: number },
    onRange: (range: ZeroRange) => void,
  ) {
    this.#chunkBytes = options.chunkBytes;
    this.#start = options.start;
    this.#end = options.end;
    this.#maxChunks = Math.max(1, Math.floor(options.maxBytes / options.chunkBytes));
    this.#onRange = onRange;
  }

  /** Adds a chunk by its number. Numbers must ascend. */
  add(seq: number): void {
    if (seq * this.#chunkBytes >= this.#end) return;
    if (seq !== this.#next || seq - this.#first >= this.#maxChunks) {
      this.end();
      this.#first = seq;
    }
    this.#next = seq + 1;
  }

  /** Ends the current range, if there is one. */
  end(): void {
    if (this.#next <= this.#first) return;
    const offset = Math.max(this.#first * this.#chunkBytes, this.#start);
    const length = Math.min(this.#next * this.#chunkBytes, this.#end) - offset;
    this.#first = this.#next;
    this.#onRange({ offset, length });
  }
}
