/**
 * Writes and reads files and block devices, in the workers: all of them use one descriptor with
 * `pwrite`, `fallocate` and `lseek`. `storage_reader.ts` and `storage_writer.ts` go past the page
 * cache.
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { Errno, osError } from "../linux/errno.ts";
import { FallocateMode, lengthOfFd, nextDataRange, tryFallocate } from "../linux/file_space.ts";
import { pwriteSome, zeroBytes } from "../linux/files.ts";
import { WriteQueue } from "../linux/write_queue.ts";
import { type BlockIo, type BlockIoOptions, type KnownRange, requireInside } from "./block_io.ts";
import type { DirectWrites } from "./direct_writes.ts";
import { StorageReader } from "./storage_reader.ts";
import { StorageWriter, type WriteCalls } from "./storage_writer.ts";
import type { BlockHandle, TargetExtent } from "./target.ts";
import { readFailure, writeFailure } from "./wording.ts";

/**
 * What happens to a run of zeros:
 * - `skip`: nothing, the target holds zeros wherever nothing was written (a new or emptied file);
 * - `trust`: nothing, the user promised that the target holds zeros there;
 * - `deallocate`: the range is given back or zeroed by `fallocate`, and written where that is not
 *   possible;
 * - `write`: zeros are written like data.
 */
export type ZeroPolicy = "skip" | "trust" | "deallocate" | "write";

/** How a target is compared that was written to, see `Target.comparable()`. */
export function asWritten<Handle extends { zeroPolicy: ZeroPolicy; mayHaveHoles: boolean }>(
  handle: Handle,
): Handle {
  const zeroPolicy = handle.zeroPolicy === "write" ? "write" : "deallocate";
  return { ...handle, zeroPolicy, mayHaveHoles: true };
}

/** A file or block device. Its descriptors belong to the main thread and outlive all use. */
export interface DescriptorHandle extends BlockHandle {
  readonly kind: "descriptor";
  readonly fd: number;
  readonly zeroPolicy: ZeroPolicy;
  /** Ranges are deallocated in multiples of this: a sector or page of a device, 1 for a file. */
  readonly blockBytes: number;
  /**
   * Descriptor for reading past the page cache (O_DIRECT); `null` where the file system does not
   * support that, and as long as nothing is to be read.
   */
  readonly directFd: number | null;
  /** How it is written past the page cache; `null` where that is refused or does not pay. */
  readonly direct: DirectWrites | null;
  /** Whether a hole is as good as zeros that take storage. */
  readonly mayHaveHoles: boolean;
}

/** The system calls that write; tests replace them. */
export interface DescriptorCalls extends WriteCalls {
  readonly tryFallocate: typeof tryFallocate;
}

const SYSTEM_CALLS: DescriptorCalls = {
  pwriteSome,
  tryFallocate,
  openWriteQueue: WriteQueue.open,
};

/**
 * A `fallocate` of more may take long in one uninterruptible call; a multiple of every block size.
 */
const FALLOCATE_PIECE_BYTES = 1_073_741_824;

/**
 * Ways to zero a range without sending zeros, best first. PUNCH_HOLE gives storage back and reads
 * as zeros on files and devices alike (unlike a discard, which promises nothing); ZERO_RANGE keeps
 * the storage.
 */
const DEALLOCATE_MODES = [
  FallocateMode.PUNCH_HOLE | FallocateMode.KEEP_SIZE,
  FallocateMode.ZERO_RANGE | FallocateMode.KEEP_SIZE,
];

/**
 * Errors of `fallocate` that are about the call, not about the storage. EBUSY: the device is open
 * elsewhere with dirty pages in this range (--force). EREMOTEIO: the device announced a command
 * that it then refused.
 */
const UNSUPPORTED: ReadonlySet<number> = new Set([
  Errno.EOPNOTSUPP,
  Errno.ENOSYS,
  Errno.EINVAL,
  Errno.ENODEV,
  Errno.ENOTTY,
  Errno.EPERM,
  Errno.EBUSY,
  Errno.EREMOTEIO,
]);

/**
 * Errors of storage that has lost what it should hold. Reads through the page cache report EIO
 * only; direct ones report what a device said (`blk_errors` in block/blk-core.c) or a file system
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

/**
 * Access to a file or block device. Writes past the page cache are in flight until `drain()`; all
 * else is done when a call returns.
 *
 * @example
 * ```ts no-assert
 * import { DescriptorIo, type DescriptorHandle } from "./descriptor_io.ts";
 * import { GRANULE_BYTES } from "./target.ts";
 *
 * function restoreFirstGranules(handle: DescriptorHandle, data: Uint8Array<ArrayBuffer>) {
 *   using io = new DescriptorIo(handle, { extent: { start: 0, end: 2 * GRANULE_BYTES } });
 *   io.write(data.subarray(0, GRANULE_BYTES), 0);
 *   io.zero(GRANULE_BYTES, GRANULE_BYTES);
 *   io.drain();
 * }
 * ```
 */
export class DescriptorIo implements BlockIo {
  readonly tellsZeros: boolean;
  readonly #handle: DescriptorHandle;
  readonly #extent: TargetExtent;
  readonly #shouldStop: () => boolean;
  readonly #calls: DescriptorCalls;
  readonly #reader: StorageReader;
  readonly #writer: StorageWriter;
  /**
   * Index of the first entry of {@linkcode DEALLOCATE_MODES} that has not failed; past the end:
   * write zeros.
   */
  #deallocateMode = 0;

  constructor(handle: DescriptorHandle, options: BlockIoOptions & { calls?: DescriptorCalls }) {
    this.tellsZeros = handle.zeroPolicy !== "write";
    this.#handle = handle;
    this.#extent = options.extent;
    this.#shouldStop = options.shouldStop ?? (() => false);
    this.#calls = options.calls ?? SYSTEM_CALLS;
    this.#reader = new StorageReader(handle);
    this.#writer = new StorageWriter(handle, this.#calls, { shouldStop: this.#shouldStop });
  }

  write(bytes: Uint8Array<ArrayBuffer>, offset: number): void {
    requireInside(this.#extent, offset, bytes.length);
    this.#writer.write(bytes, offset);
  }

  zero(offset: number, length: number): number {
    requireInside(this.#extent, offset, length);
    switch (this.#handle.zeroPolicy) {
      case "skip":
      case "trust":
        return 0;
      case "write":
        this.#writeZeros(offset, offset + length);
        return length;
      case "deallocate":
        this.#deallocate(offset, offset + length);
        return 0;
    }
  }

  clear(offset: number, length: number): number {
    if (this.#handle.zeroPolicy !== "trust") return this.zero(offset, length);
    requireInside(this.#extent, offset, length);
    this.#deallocate(offset, offset + length);
    return 0;
  }

  read(buffer: Uint8Array<ArrayBuffer>, offset: number, length: number): boolean {
    try {
      return this.#reader.read(buffer, offset, length) === length;
    } catch (error) {
      if (error instanceof OsError && UNREADABLE.has(error.errno)) return false;
      throw readFailure(this.#handle, offset, error);
    }
  }

  *ranges(offset: number, length: number): Generator<KnownRange, void> {
    const { fd, path, mayHaveHoles } = this.#handle;
    const end = offset + length;
    for (let at = offset; at < end;) {
      const data = nextDataRange(fd, at, end) ?? { start: end, end };
      if (data.start > at) {
        // After a flush a hole is a hole on the disk too. What is behind the end is not a hole.
        const isZero = mayHaveHoles && data.start <= lengthOfFd(fd, path);
        yield { offset: at, length: data.start - at, content: isZero ? "zeros" : "missing" };
      }
      if (data.end > data.start) {
        yield { offset: data.start, length: data.end - data.start, content: "unknown" };
      }
      at = data.end;
    }
  }

  drain(buffer?: Uint8Array<ArrayBuffer>): void {
    this.#writer.drain(buffer);
  }

  [Symbol.dispose](): void {
    this.#writer[Symbol.dispose]();
  }

  #writeZeros(start: number, end: number): void {
    for (let offset = start; offset < end && !this.#shouldStop();) {
      const zeros = zeroBytes(end - offset, offset);
      this.#writer.write(zeros, offset);
      offset += zeros.length;
    }
  }

  #deallocate(start: number, end: number): void {
    const { blockBytes } = this.#handle;
    const firstBlock = Math.ceil(start / blockBytes) * blockBytes;
    const lastBlock = Math.floor(end / blockBytes) * blockBytes;
    if (firstBlock >= lastBlock) return this.#writeZeros(start, end);
    this.#writeZeros(start, firstBlock);
    let offset = firstBlock;
    while (offset < lastBlock && !this.#shouldStop()) {
      const length = Math.min(FALLOCATE_PIECE_BYTES, lastBlock - offset);
      if (!this.#tryDeallocate(offset, length)) {
        this.#writeZeros(offset, lastBlock);
        break;
      }
      offset += length;
    }
    this.#writeZeros(lastBlock, end);
  }

  /** Zeroes whole blocks in the best way that still works. @returns `false` if none does. */
  #tryDeallocate(offset: number, length: number): boolean {
    const { fd, path } = this.#handle;
    while (this.#deallocateMode < DEALLOCATE_MODES.length && !this.#shouldStop()) {
      const mode = DEALLOCATE_MODES[this.#deallocateMode]!;
      const errno = this.#calls.tryFallocate(fd, mode, { offset, length });
      if (errno === 0) return true;
      if (!UNSUPPORTED.has(errno)) {
        const cause = osError(errno, { syscall: "fallocate", path });
        throw writeFailure(this.#handle, offset, cause);
      }
      this.#deallocateMode++;
    }
    return false;
  }
}
