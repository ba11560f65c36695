/**
 * Tells what a file or block device holds already: reads it and compares it with chunk ids, with
 * decoded bytes, or with zeros.
 *
 * Uses the codec's second output buffer, and lets the content of the first one be.
 *
 * @module
 */

import * as codec from "lzo-wasm";
import { OsError } from "../errors.ts";
import { Errno } from "../linux/errno.ts";
import { lengthOfFd, nextDataRange } from "../linux/read_at.ts";
import { CHUNK_BYTES, chunkIdToHex } from "../store/layout.ts";
import { StorageReader } from "../target/storage_reader.ts";
import { type ComparableTarget, GRANULE_BYTES } from "../target/target.ts";
import { zeroRuns } from "../target/zero_runs.ts";
import { readFailure } from "../target/wording.ts";
import type { Place } from "./extent.ts";

/** Output buffer of the codec that the target is read into. */
const OUTPUT = 1;

/**
 * How storage says that it cannot give what it should hold. Reads through the page cache know EIO
 * only; direct ones tell what a device said (`blk_errors` in block/blk-core.c) or a file system
 * found (EBADMSG and EUCLEAN of XFS and ext4).
 */
const UNREADABLE: ReadonlySet<number> = new Set([
  Errno.EIO,
  Errno.ENODATA,
  Errno.EREMOTEIO,
  Errno.EILSEQ,
  Errno.EBADMSG,
  Errno.EUCLEAN,
  Errno.ETIMEDOUT,
  Errno.ENOLINK,
]);

/** A part of the target that is zeros, or holds something else. */
export interface ComparedRange {
  readonly offset: number;
  readonly length: number;
  readonly isZero: boolean;
  /** Whether that was known without reading. */
  readonly isHole: boolean;
}

/** Compares a target with what it should hold. */
export class TargetComparer {
  readonly #target: ComparableTarget;
  readonly #reader: StorageReader;
  readonly #mayHaveHoles: boolean;

  /**
   * @param target What is dirty of it in the page cache must have been flushed.
   * @param options.mayHaveHoles Whether a hole is as good as zeros that take storage.
   */
  constructor(target: ComparableTarget, options: { mayHaveHoles: boolean }) {
    this.#target = target;
    this.#reader = new StorageReader(target);
    this.#mayHaveHoles = options.mayHaveHoles;
  }

  /**
   * Whether the bytes at a place have a chunk's id. A part of a longer chunk has not, even if it is
   * the same.
   */
  holdsChunk(id: string, place: Place): boolean {
    if (!this.#read(place.targetOffset, place.length)) return false;
    return chunkIdToHex(codec.murmur3(OUTPUT, place.length)) === id;
  }

  /** Whether the bytes at a place are the given ones. */
  holdsBytes(content: Uint8Array, place: Place): boolean {
    if (!this.#read(place.targetOffset, place.length)) return false;
    const found = codec.outputs[OUTPUT]!;
    for (let index = 0; index < place.length; index++) {
      if (found[index] !== content[index]) return false;
    }
    return true;
  }

  /** Goes through a range and tells which parts of it are zeros; together they cover it. */
  *comparedToZeros(offset: number, length: number): Generator<ComparedRange, void> {
    const { fd, path } = this.#target;
    const end = offset + length;
    let at = offset;
    while (at < end) {
      const data = nextDataRange(fd, at, end) ?? { start: end, end };
      if (data.start > at) {
        // After the flush a hole is one on the disk, too. What lies behind the end of the file is
        // no hole.
        const isZero = this.#mayHaveHoles && data.start <= lengthOfFd(fd, path);
        yield { offset: at, length: data.start - at, isZero, isHole: true };
      }
      for (at = data.start; at < data.end; at += CHUNK_BYTES) {
        yield* this.#scan(at, Math.min(CHUNK_BYTES, data.end - at));
      }
      at = data.end;
    }
  }

  *#scan(offset: number, length: number): Generator<ComparedRange, void> {
    if (!this.#read(offset, length)) return yield { offset, length, isZero: false, isHole: false };
    const flags = codec.scanZeros(OUTPUT, { bytes: length, granuleBytes: GRANULE_BYTES });
    // A copy: who takes a range may use the codec before the next one.
    for (const run of zeroRuns(flags.slice(), length)) {
      yield { ...run, offset: offset + run.offset, isHole: false };
    }
  }

  /**
   * @returns `false` if the target ends before, or cannot be read there: writing may heal it.
   * @throws {TargetError} If reading fails for another reason.
   */
  #read(offset: number, length: number): boolean {
    try {
      return this.#reader.read(codec.outputs[OUTPUT]!, offset, length) === length;
    } catch (error) {
      if (error instanceof OsError && UNREADABLE.has(error.errno)) return false;
      throw readFailure(this.#target, offset, error);
    }
  }
}
