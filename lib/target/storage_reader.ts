/**
 * Reads what a target's storage holds, past the page cache: what compares a target reads it by
 * this, in the workers.
 *
 * The page cache is no witness. After a failed write-back the kernel keeps the pages as if they had
 * been written (ext4, XFS and block devices do), reports the error once, and serves them to whoever
 * reads. Dropping them beforehand is not enough either, as pages that somebody has mapped or locked
 * stay. A descriptor that was opened with O_DIRECT asks the storage.
 *
 * Where a file system refuses that, and where it reads through the page cache all the same
 * (compressed files of Btrfs, ext4 with `data=journal`), what could be dropped of the cache has
 * been. What is dirty in it must have been flushed (`Target.settle()`).
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { Errno } from "../linux/errno.ts";
import { dropCachedPages, readAt } from "../linux/files.ts";

/**
 * Offsets and lengths of direct reads are multiples of these, tried in order: pages, which all
 * disks with sectors of up to 4 KiB are content with, and the largest block that the kernel
 * supports.
 */
const ALIGNMENTS = [4096, 65_536];

/** Pages of WebAssembly memory. */
const WASM_PAGE_BYTES = 65_536;

/** What is read. */
export interface ReadableTarget {
  readonly fd: number;
  /** Opened with O_DIRECT; `null` where that is refused. */
  readonly directFd: number | null;
  readonly path: string;
}

/** Reads a target; each worker has its own. */
export class StorageReader {
  readonly #target: ReadableTarget;
  /** Index of the first of {@linkcode ALIGNMENTS} that was not refused. */
  #alignment = 0;
  /** For reads that are not aligned; its memory begins on a page boundary, as direct reads want. */
  #bounce: Uint8Array<ArrayBuffer> | null = null;

  constructor(target: ReadableTarget) {
    this.#target = target;
  }

  /**
   * Reads until `length` bytes are there or the target ends.
   *
   * @param buffer Where to; begins on a page boundary, and is not shorter than `length` rounded up
   *   to 64 KiB. What lies behind the bytes that were asked for may be overwritten.
   * @returns Number of bytes, at most `length`.
   * @throws {OsError} On any failure but EINTR. Direct reads report failures of the storage by many
   *   names, others by EIO.
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

  /** @returns `null` if the alignment is refused. */
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
    if (this.#bounce === null || this.#bounce.length < bytes) {
      const pages = Math.ceil(bytes / WASM_PAGE_BYTES);
      const { buffer } = new WebAssembly.Memory({ initial: pages });
      this.#bounce = new Uint8Array(buffer as ArrayBuffer);
    }
    return this.#bounce;
  }
}
