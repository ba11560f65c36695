/**
 * Writes a file's or device's storage, in the workers: past the page cache where that pays.
 *
 * A restore writes more than a host has memory to cache, and nobody reads it soon. Through the page
 * cache each byte is copied once more, pages are allocated and written back, and what the host had
 * cached is thrown out. A descriptor that was opened with O_DIRECT does without.
 *
 * Direct writes are made of whole pages at page boundaries, all else goes through the page cache.
 * So the two never share a page: no page in the cache is older than what a direct write put under
 * it, and none is written back over it. (The kernel also writes back and drops what others have
 * cached of a range before it writes there directly.) Errors of direct writes are reported at once,
 * those of the others by the flush at the end, which is of the buffered descriptor and also makes
 * the device write its own cache.
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { Errno } from "../linux/errno.ts";
import type { pwriteSome } from "../linux/files.ts";
import type { BlockHandle } from "./target.ts";
import { writeFailure } from "./wording.ts";

/** A page of the page cache; sectors of disks are not larger, and divide it. */
const PAGE_BYTES = 4096;

/** A file or device to write. */
export interface WritableTarget extends BlockHandle {
  readonly fd: number;
  /** Opened for writing with O_DIRECT; `null` where that is refused or does not pay. */
  readonly directWriteFd: number | null;
}

/** Writes to a target; each worker has its own. */
export class StorageWriter {
  readonly #target: WritableTarget;
  readonly #pwrite: typeof pwriteSome;
  /** Becomes `null` where the first direct write is refused. */
  #directFd: number | null;

  /** @param pwrite The system call; tests replace it. */
  constructor(target: WritableTarget, pwrite: typeof pwriteSome) {
    this.#target = target;
    this.#pwrite = pwrite;
    this.#directFd = target.directWriteFd;
  }

  /**
   * Writes bytes. They have left `bytes` when it returns.
   *
   * @param bytes Written directly if they lie in their memory as in the target: at the same offset
   *   within a page. The memory itself should begin at a page, as WebAssembly's does.
   * @param offset Where in the target they go.
   * @throws {TargetError} If a write fails, with the byte at which it failed.
   */
  write(bytes: Uint8Array<ArrayBuffer>, offset: number): void {
    const end = bytes.length;
    const isParallel = (bytes.byteOffset - offset) % PAGE_BYTES === 0;
    const directStart = Math.min(Math.ceil(offset / PAGE_BYTES) * PAGE_BYTES - offset, end);
    const directEnd = Math.floor((offset + end) / PAGE_BYTES) * PAGE_BYTES - offset;
    if (this.#directFd === null || !isParallel || directEnd <= directStart) {
      return this.#writeCached(bytes, offset, 0);
    }
    this.#writeCached(bytes.subarray(0, directStart), offset, 0);
    this.#writeDirect(bytes.subarray(0, directEnd), offset, directStart);
    this.#writeCached(bytes, offset, directEnd);
  }

  /** Writes `bytes` from index `start` on, whole pages. */
  #writeDirect(bytes: Uint8Array<ArrayBuffer>, offset: number, start: number): void {
    const { path } = this.#target;
    let done = start;
    while (done < bytes.length && this.#directFd !== null) {
      try {
        done += this.#pwrite(this.#directFd, bytes.subarray(done), offset + done, path);
      } catch (error) {
        if (!(error instanceof OsError && error.errno === Errno.EINVAL)) {
          throw writeFailure(this.#target, offset + done, error);
        }
        // The file system or device wants larger blocks, or none of this.
        this.#directFd = null;
      }
      // The rest of a page that was written in part.
      if (done % PAGE_BYTES !== start % PAGE_BYTES) break;
    }
    this.#writeCached(bytes, offset, done);
  }

  /** Writes `bytes` from index `start` on. */
  #writeCached(bytes: Uint8Array<ArrayBuffer>, offset: number, start: number): void {
    const { fd, path } = this.#target;
    for (let done = start; done < bytes.length;) {
      try {
        done += this.#pwrite(fd, done === 0 ? bytes : bytes.subarray(done), offset + done, path);
      } catch (error) {
        throw writeFailure(this.#target, offset + done, error);
      }
    }
  }
}
