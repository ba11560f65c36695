/**
 * Reads what a file's or device's storage holds, past the page cache, in the workers. Whatever
 * compares a target reads it this way.
 *
 * The page cache cannot be trusted. After a failed write-back the kernel keeps the pages as if they
 * had been written (ext4, XFS and block devices do), reports the error once, and serves the pages
 * to every reader. Dropping them before a read is not enough, because pages that somebody has
 * mapped or locked stay. A descriptor that was opened with O_DIRECT asks the storage.
 *
 * Some file systems refuse O_DIRECT, and some read through the page cache all the same (compressed
 * files of Btrfs, ext4 with `data=journal`). There at least those pages have been dropped that
 * could be. Dirty pages must have been flushed before (`Target.settle()`).
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { Errno } from "../linux/errno.ts";
import { directBuffer, dropCachedPages, readAt } from "../linux/files.ts";

/**
 * Direct reads are aligned to one of these, tried in order: a page, which is enough for all disks
 * with sectors of up to 4 KiB, and the largest block that the kernel supports.
 */
const ALIGNMENTS = [4096, 65_536];

/** A file or device to read. */
export interface ReadableTarget {
  readonly fd: number;
  /** Opened with O_DIRECT; `null` where that is refused. */
  readonly directFd: number | null;
  readonly path: string;
}

/** Reads a target; each worker has its own. */
export class StorageReader {
  readonly #target: ReadableTarget;
  /** Index of the first of {@linkcode ALIGNMENTS} that has not been refused. */
  #alignment = 0;
  /** For unaligned reads. */
  #bounce: Uint8Array<ArrayBuffer> | null = null;

  constructor(target: ReadableTarget) {
    this.#target = target;
  }

  /**
   * Reads until `length` bytes are there or the target ends.
   *
   * @param buffer Owned by the caller and filled from its start. Begins on a page boundary, and is
   *   at least as long as `length` rounded up to 64 KiB; bytes behind `length` may be overwritten.
   * @returns Number of bytes read, at most `length`.
   * @throws {OsError} On any failure but EINTR. Direct reads report failures of the storage as many
   *   different errors, other reads as EIO.
   */
  read(buffer: Uint8Array<ArrayBuffer>, offset: number, length: number): number {
    const { fd, directFd, path } = this.#target;
    dropCachedPages(fd, offset, length);
    while (directFd !== null && this.#alignment < ALIGNMENTS.length) {
      const count = this.#tryReadDirect(directFd, buffer, { offset, length });
      if (count !== null) return count;
      this.#alignment++;
    }
    return readAt(fd, buffer.subarray(0, length), offset, path);
  }

  /** @returns Number of bytes read; `null` if the alignment is refused. */
  #tryReadDirect(
    directFd: number,
    buffer: Uint8Array<ArrayBuffer>,
    { offset, length }: { offset: number; length: number },
  ): number | null {
    const { path } = this.#target;
    const alignment = ALIGNMENTS[this.#alignment]!;
    const lead = offset % alignment;
    const bytes = Math.ceil((lead + length) / alignment) * alignment;
    const into = (lead === 0 ? buffer : this.#bounceOf(bytes)).subarray(0, bytes);
    try {
      const count = readAt(directFd, into, offset - lead, path) - lead;
      const wanted = Math.max(0, Math.min(count, length));
      if (lead > 0) buffer.set(into.subarray(lead, lead + wanted));
      return wanted;
    } catch (error) {
      if (error instanceof OsError && error.errno === Errno.EINVAL) return null;
      throw error;
    }
  }

  #bounceOf(bytes: number): Uint8Array<ArrayBuffer> {
    if (this.#bounce === null || this.#bounce.length < bytes) this.#bounce = directBuffer(bytes);
    return this.#bounce;
  }
}
