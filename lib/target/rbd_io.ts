/**
 * Writes and reads an image in a Ceph cluster, in the workers, which share the image that the main
 * thread opened (`rbd_image.ts`).
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { Errno } from "../linux/errno.ts";
import { RbdAccess, type RbdOperation, waitFor } from "../linux/rbd_operations.ts";
import {
  type BlockIo,
  type BlockIoOptions,
  type KnownRange,
  overlap,
  requireInside,
} from "./block_io.ts";
import type { ZeroPolicy } from "./descriptor_io.ts";
import type { BlockHandle, TargetExtent } from "./target.ts";
import { readFailure, writeFailure } from "./wording.ts";

/** An image in a Ceph cluster. It belongs to the main thread and stays open during all use. */
export interface RbdHandle extends BlockHandle {
  readonly kind: "rbd";
  /** Address of the opened image. */
  readonly image: number;
  readonly zeroPolicy: ZeroPolicy;
  /**
   * Where there may be data: first byte, and byte behind the last one, of each range, ascending;
   * `null` if that is not known.
   */
  readonly dataRanges: Float64Array<SharedArrayBuffer> | null;
  /** Whether what has no storage may stay without. */
  readonly mayHaveHoles: boolean;
}

/**
 * The most of a worker in flight: two chunks, like `storage_writer.ts`. librbd keeps copies of the
 * bytes.
 */
const MAX_IN_FLIGHT_BYTES = 8_388_608, MAX_IN_FLIGHT = 64;

/** A range is zeroed in pieces of this size: sixteen objects, as a rule. */
const ZERO_PIECE_BYTES = 67_108_864;

/** An operation in flight. */
interface Flight {
  readonly operation: RbdOperation;
  /** What is written; `null` for zeros. */
  readonly bytes: Uint8Array<ArrayBuffer> | null;
  readonly offset: number;
}

/** Access to an image. Writes, and zeros too, are in flight until they are drained. */
export class RbdIo implements BlockIo {
  readonly tellsZeros: boolean;
  readonly #handle: RbdHandle;
  readonly #extent: TargetExtent;
  readonly #shouldStop: () => boolean;
  readonly #access: RbdAccess;
  /** In the order in which they began. */
  readonly #inFlight: Flight[] = [];
  #inFlightBytes = 0;

  constructor(handle: RbdHandle, { extent, shouldStop = () => false }: BlockIoOptions) {
    this.tellsZeros = handle.zeroPolicy !== "write";
    this.#handle = handle;
    this.#extent = extent;
    this.#shouldStop = shouldStop;
    this.#access = new RbdAccess(handle.image);
  }

  write(bytes: Uint8Array<ArrayBuffer>, offset: number): void {
    requireInside(this.#extent, offset, bytes.length);
    this.#begin(offset, bytes, () => this.#access.beginWrite(bytes, offset));
  }

  zero(offset: number, length: number): number {
    const { zeroPolicy } = this.#handle;
    if (zeroPolicy === "skip" || zeroPolicy === "trust") {
      requireInside(this.#extent, offset, length);
      return 0;
    }
    return this.#zero(offset, length, zeroPolicy === "write");
  }

  clear(offset: number, length: number): number {
    return this.#handle.zeroPolicy === "trust"
      ? this.#zero(offset, length, false)
      : this.zero(offset, length);
  }

  read(buffer: Uint8Array<ArrayBuffer>, offset: number, length: number): boolean {
    try {
      // Reads may overtake writes that are not drained, but nobody reads those.
      const count = this.#access.read(buffer.subarray(0, length), offset, this.#shouldStop);
      return count === length;
    } catch (error) {
      // Of an object that fails its checksum; writing it anew heals it.
      if (error instanceof OsError && error.errno === Errno.EIO) return false;
      throw readFailure(this.#handle, offset, error);
    }
  }

  *ranges(offset: number, length: number): Generator<KnownRange, void> {
    const { dataRanges, mayHaveHoles } = this.#handle;
    const end = offset + length;
    if (dataRanges === null) return yield { offset, length, content: "unknown" };
    let at = offset;
    for (let index = firstRangeBehind(dataRanges, offset); at < end; index += 2) {
      const start = Math.min(Math.max(dataRanges[index] ?? end, at), end);
      const dataEnd = Math.min(dataRanges[index + 1] ?? end, end);
      if (start > at) {
        const content = mayHaveHoles ? "zeros" : "missing";
        yield { offset: at, length: start - at, content };
      }
      if (dataEnd > start) yield { offset: start, length: dataEnd - start, content: "unknown" };
      at = dataEnd;
    }
  }

  drain(buffer?: Uint8Array<ArrayBuffer>): void {
    while (this.#isInFlight(buffer) && this.#finishFirst());
  }

  [Symbol.dispose](): void {
    // What is in flight belongs to a restore that failed or stops; closing the image waits for it.
    for (const { operation } of this.#inFlight.splice(0)) operation.abandon();
    this.#access[Symbol.dispose]();
  }

  #zero(offset: number, length: number, isThick: boolean): number {
    requireInside(this.#extent, offset, length);
    const end = offset + length;
    for (let at = offset; at < end && !this.#shouldStop(); at += ZERO_PIECE_BYTES) {
      const piece = Math.min(ZERO_PIECE_BYTES, end - at);
      this.#begin(at, null, () => this.#access.beginZero(at, piece, { isThick }));
    }
    return isThick ? length : 0;
  }

  #begin(
    offset: number,
    bytes: Uint8Array<ArrayBuffer> | null,
    start: () => RbdOperation,
  ): void {
    const length = bytes?.length ?? 0;
    while (
      this.#inFlight.length >= MAX_IN_FLIGHT ||
      (this.#inFlight.length > 0 && this.#inFlightBytes + length > MAX_IN_FLIGHT_BYTES)
    ) {
      if (!this.#finishFirst()) return;
    }
    if (this.#shouldStop()) return;
    try {
      this.#inFlight.push({ operation: start(), bytes, offset });
      this.#inFlightBytes += length;
    } catch (error) {
      throw writeFailure(this.#handle, offset, error);
    }
  }

  /** Waits for the oldest operation. @returns Whether it ended; `false`: it is time to stop. */
  #finishFirst(): boolean {
    const { operation, bytes, offset } = this.#inFlight[0]!;
    if (!waitFor(operation, this.#shouldStop)) return false;
    this.#inFlight.shift();
    this.#inFlightBytes -= bytes?.length ?? 0;
    try {
      operation.take();
    } catch (error) {
      throw writeFailure(this.#handle, offset, error);
    }
    return true;
  }

  #isInFlight(buffer: Uint8Array<ArrayBuffer> | undefined): boolean {
    if (buffer === undefined) return this.#inFlight.length > 0;
    return this.#inFlight.some(({ bytes }) => bytes !== null && overlap(bytes, buffer));
  }
}

/** Index of the first range that ends behind a byte. */
function firstRangeBehind(ranges: Float64Array, offset: number): number {
  let low = 0, high = ranges.length / 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ranges[2 * middle + 1]! > offset) high = middle;
    else low = middle + 1;
  }
  return 2 * low;
}
