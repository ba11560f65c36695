/**
 * What a worker does to a target that takes bytes at any offset. `lib/work/random_access_work.ts`
 * and `target_comparer.ts` know targets by this interface only; `descriptor_io.ts` implements it
 * for files and block devices, and `block_kinds.ts` lists the implementations. Streams have
 * `stream_writer.ts`.
 *
 * @module
 */

import type { TargetExtent } from "./target.ts";

/** How a worker opens its access to a target. */
export interface BlockIoOptions {
  /** What may be written; no other byte of the target is ever touched. */
  readonly extent: TargetExtent;
  /**
   * Asked before each system call that writes, and during waits. Once it returns true, calls return
   * with work undone, and nothing more is written.
   */
  readonly shouldStop?: () => boolean;
}

/** A range of a target, and what is known of it without reading. */
export interface KnownRange {
  /** First byte of the target. */
  readonly offset: number;
  /** Number of bytes, > 0. */
  readonly length: number;
  /**
   * - `zeros`: it reads as zeros, which may stay as they are;
   * - `missing`: it must be written even where zeros belong, because it lies behind the end of a
   *   file, or has no storage although all of the target should have some;
   * - `unknown`: only reading tells.
   */
  readonly content: "zeros" | "missing" | "unknown";
}

/**
 * One worker's access to a target. Offsets and lengths are bytes of the target, of any alignment.
 *
 * Each worker has its own and calls it from one thread; together they write disjoint ranges, and no
 * worker reads a range that it wrote before that is drained.
 *
 * **Writes in flight.** An implementation may keep several writes in flight, so that
 * {@linkcode write} returns before its bytes are written. Until {@linkcode drain} returns, the
 * caller neither changes nor frees these bytes. Any later call may throw the error of an earlier
 * write.
 *
 * **Where a write failed.** Storage that is full names its first byte that found no room. Of other
 * failures the system knows only the write that they hit, so the byte is that write's first: the
 * bad one lies in the 4 MiB from there on.
 */
export interface BlockIo extends Disposable {
  /**
   * Whether {@linkcode zero} does better than writing zeros. If not, it is no use looking for zeros
   * in decoded chunks: they are written like data.
   */
  readonly tellsZeros: boolean;

  /**
   * Writes bytes.
   *
   * @param bytes Owned by the caller, who leaves them unchanged until {@linkcode drain}; may be a
   *   view of WebAssembly memory.
   * @param offset Where in the target they go.
   * @throws {TargetError} If a write fails, with where it failed (see above).
   * @throws {RangeError} If they do not lie within the extent.
   */
  write(bytes: Uint8Array<ArrayBuffer>, offset: number): void;

  /**
   * Makes sure that a range reads as zeros, in the way that `--sparse` asks for: writes or
   * deallocates it, or leaves it alone if the target is new or the user promised that it holds
   * zeros.
   *
   * @returns Bytes that count as written: `length`, or 0 where zeros are left out or deallocated.
   * @throws As {@linkcode write} does.
   */
  zero(offset: number, length: number): number;

  /**
   * Like {@linkcode zero}, but zeroes a range even under `--sparse=always`: the target was found to
   * hold something else there, or the image has data there that cannot be restored.
   */
  clear(offset: number, length: number): number;

  /**
   * Reads what the storage holds, not what a cache says. Only for a handle that
   * `Target.comparable()` returned.
   *
   * @param buffer Owned by the caller and filled from its start. Begins on a page boundary, and is
   *   at least as long as `length` rounded up to 64 KiB; bytes behind `length` may be overwritten.
   * @returns Whether all bytes were read. `false` if the target ends before, or if its storage
   *   cannot give them, which writing may heal.
   * @throws {TargetError} If reading fails for another reason.
   */
  read(buffer: Uint8Array<ArrayBuffer>, offset: number, length: number): boolean;

  /**
   * Splits a range by what is known of it without reading; the parts cover it in order. Only for a
   * handle that `Target.comparable()` returned.
   *
   * @throws {TargetError | OsError} If the target cannot be asked.
   */
  ranges(offset: number, length: number): Iterable<KnownRange>;

  /**
   * Waits for writes in flight. The caller does this before it fills a buffer again, and at the end
   * of its run.
   *
   * @param buffer Wait only for writes from these bytes (an implementation may wait for more);
   *   default: for all.
   * @throws {TargetError} If a write failed and that has not been reported yet.
   */
  drain(buffer?: Uint8Array<ArrayBuffer>): void;

  /**
   * Waits for writes in flight, ignores their errors, and frees what the worker holds of the
   * target. The target itself belongs to the main thread and stays open.
   */
  [Symbol.dispose](): void;
}

/** @throws {RangeError} If a range does not lie within an extent. */
export function requireInside(extent: TargetExtent, offset: number, length: number): void {
  const end = offset + length;
  if (!Number.isSafeInteger(offset) || offset < extent.start || length < 0 || end > extent.end) {
    throw new RangeError(
      `Cannot write bytes ${offset} to ${end}: only those from ${extent.start} to ${extent.end} ` +
        "may be written",
    );
  }
}

/** Whether two views of memory have a byte in common. */
export function overlap(one: Uint8Array, other: Uint8Array): boolean {
  return one.buffer === other.buffer && one.byteOffset < other.byteOffset + other.byteLength &&
    other.byteOffset < one.byteOffset + one.byteLength;
}
