/**
 * Step 6 of a restore, in the worker: brings decoded bytes and runs of zeros to the target's
 * descriptor.
 *
 * Many workers write to one random-access target at once, each with a writer of its own. Writers of
 * a stream take turns, which is the caller's business.
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { Errno, osError } from "../linux/errno.ts";
import { FallocateMode, pwriteSome, tryFallocate, writeSome } from "../linux/libc.ts";
import { pollWritable } from "../linux/poll.ts";
import { trySpliceZeros } from "../linux/splice.ts";
import type { TargetExtent, TargetHandle } from "./target.ts";
import { writeFailure } from "./wording.ts";

/** The calls that writers make; tests put others in their place. */
export interface WriterSyscalls {
  readonly pwriteSome: typeof pwriteSome;
  readonly writeSome: typeof writeSome;
  readonly tryFallocate: typeof tryFallocate;
  readonly pollWritable: typeof pollWritable;
  readonly trySpliceZeros: typeof trySpliceZeros;
}

const libcCalls: WriterSyscalls = {
  pwriteSome,
  writeSome,
  tryFallocate,
  pollWritable,
  trySpliceZeros,
};

/** What both writers may be given. */
export interface WriterOptions {
  /**
   * Asked between the pieces of long ranges and waits; once it says yes, the call returns with work
   * undone.
   */
  readonly shouldStop?: () => boolean;
  readonly syscalls?: WriterSyscalls;
}

/** Zeros are written from one buffer of this size. */
const ZERO_BUFFER_BYTES = 1_048_576;

/**
 * A `fallocate` of more may take long in one uninterruptible call; a multiple of every block size.
 */
const FALLOCATE_PIECE_BYTES = 1_073_741_824;

/** A wait for a stream's reader looks up this often to see whether it should stop. */
const POLL_MS = 200;

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
 * Errors of `fallocate` that speak of the call and not of the storage. EBUSY: the device is open
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

let sharedZeros: Uint8Array<ArrayBuffer> | undefined;

function zeros(): Uint8Array<ArrayBuffer> {
  return sharedZeros ??= new Uint8Array(ZERO_BUFFER_BYTES);
}

/**
 * Writes to any offset of a file or device, in any order.
 *
 * @example
 * ```ts no-assert
 * import { RandomAccessWriter } from "./writer.ts";
 * import { GRANULE_BYTES, type TargetHandle } from "./target.ts";
 *
 * function restoreFirstGranules(handle: TargetHandle, data: Uint8Array<ArrayBuffer>) {
 *   const extent = { start: 0, end: 2 * GRANULE_BYTES };
 *   const writer = new RandomAccessWriter(handle, { extent });
 *   writer.writeData(data.subarray(0, GRANULE_BYTES), 0);
 *   writer.writeZeros(GRANULE_BYTES, GRANULE_BYTES);
 * }
 * ```
 */
export class RandomAccessWriter {
  readonly #handle: TargetHandle;
  readonly #extent: TargetExtent;
  readonly #shouldStop: () => boolean;
  readonly #syscalls: WriterSyscalls;
  /**
   * Index of the first entry of {@linkcode DEALLOCATE_MODES} that has not failed; past the end:
   * write zeros.
   */
  #deallocateMode = 0;

  /** @param options.extent What may be written; no other byte of the target is ever touched. */
  constructor(handle: TargetHandle, options: WriterOptions & { extent: TargetExtent }) {
    this.#handle = handle;
    this.#extent = options.extent;
    this.#shouldStop = options.shouldStop ?? (() => false);
    this.#syscalls = options.syscalls ?? libcCalls;
  }

  /**
   * Writes bytes of the image.
   *
   * @param view Bytes, owned by the caller; may be a view of wasm memory.
   * @param offset Byte of the target at which they go.
   * @throws {TargetError} On any failed write, with the byte at which it failed.
   * @throws {RangeError} If they do not lie within the extent.
   */
  writeData(view: Uint8Array<ArrayBuffer>, offset: number): void {
    this.#requireInside(offset, view.length);
    this.#write(view, offset);
  }

  /**
   * Sees to it that a range of the image reads as zeros, by the target's zero policy.
   *
   * @param offset First byte of the target.
   * @param length Number of bytes, of any size.
   * @throws {TargetError} On any failure that writing zeros does not get around.
   * @throws {RangeError} If the range does not lie within the extent.
   */
  writeZeros(offset: number, length: number): void {
    this.#requireInside(offset, length);
    switch (this.#handle.zeroPolicy) {
      case "skip":
      case "trust":
        return;
      case "write":
        return this.#writeZeroBytes(offset, offset + length);
      case "deallocate":
        return this.#deallocate(offset, offset + length);
    }
  }

  /**
   * Makes a range zeros for which the user's promise does not hold: it is not zeros in the image,
   * or known not to be in the target.
   *
   * @throws As {@linkcode writeZeros} does.
   */
  clear(offset: number, length: number): void {
    if (this.#handle.zeroPolicy !== "trust") return this.writeZeros(offset, length);
    this.#requireInside(offset, length);
    this.#deallocate(offset, offset + length);
  }

  #requireInside(offset: number, length: number): void {
    const end = offset + length;
    const extent = this.#extent;
    if (!Number.isSafeInteger(offset) || offset < extent.start || length < 0 || end > extent.end) {
      throw new RangeError(
        `Cannot write bytes ${offset} to ${end}: only those from ${extent.start} to ${extent.end} ` +
          "may be written",
      );
    }
  }

  #write(view: Uint8Array<ArrayBuffer>, offset: number): void {
    let done = 0;
    while (done < view.length) {
      try {
        const rest = done === 0 ? view : view.subarray(done);
        done += this.#syscalls.pwriteSome(this.#handle.fd, rest, offset + done, this.#handle.path);
      } catch (error) {
        throw writeFailure(this.#handle, offset + done, error);
      }
    }
  }

  #writeZeroBytes(start: number, end: number): void {
    const source = zeros();
    for (let offset = start; offset < end && !this.#shouldStop(); offset += source.length) {
      this.#write(source.subarray(0, Math.min(source.length, end - offset)), offset);
    }
  }

  #deallocate(start: number, end: number): void {
    const { blockBytes } = this.#handle;
    const firstBlock = Math.ceil(start / blockBytes) * blockBytes;
    const lastBlock = Math.floor(end / blockBytes) * blockBytes;
    if (firstBlock >= lastBlock) return this.#writeZeroBytes(start, end);
    this.#writeZeroBytes(start, firstBlock);
    let offset = firstBlock;
    while (offset < lastBlock && !this.#shouldStop()) {
      const length = Math.min(FALLOCATE_PIECE_BYTES, lastBlock - offset);
      if (!this.#tryDeallocate(offset, length)) {
        this.#writeZeroBytes(offset, lastBlock);
        break;
      }
      offset += length;
    }
    this.#writeZeroBytes(lastBlock, end);
  }

  /** Zeroes whole blocks by the best means that is left. @returns `false` if none is. */
  #tryDeallocate(offset: number, length: number): boolean {
    const { fd, path } = this.#handle;
    for (; this.#deallocateMode < DEALLOCATE_MODES.length; this.#deallocateMode++) {
      const mode = DEALLOCATE_MODES[this.#deallocateMode]!;
      const errno = this.#syscalls.tryFallocate(fd, mode, { offset, length });
      if (errno === 0) return true;
      if (!UNSUPPORTED.has(errno)) {
        const cause = osError(errno, { syscall: "fallocate", path });
        throw writeFailure(this.#handle, offset, cause);
      }
    }
    return false;
  }
}

/**
 * Writes to a pipe, a character device or standard output, in order from the first byte to the
 * last.
 */
export class StreamWriter {
  /**
   * Byte of the image that is written next. Callers that write in turn set it before each of
   * theirs.
   */
  position = 0;

  readonly #handle: TargetHandle;
  readonly #shouldStop: () => boolean;
  readonly #syscalls: WriterSyscalls;
  /** Whether zeros can be given to the target by reference: it is a pipe, as far as known. */
  #canSplice = true;

  constructor(handle: TargetHandle, options: WriterOptions = {}) {
    this.#handle = handle;
    this.#shouldStop = options.shouldStop ?? (() => false);
    this.#syscalls = options.syscalls ?? libcCalls;
  }

  /**
   * Writes the next bytes of the image, and waits while the reader is behind.
   *
   * @param view Bytes, owned by the caller; may be a view of wasm memory.
   * @throws {TargetError} On any failed write, with the byte of the image at which it failed.
   */
  write(view: Uint8Array<ArrayBuffer>): void {
    const { fd, path } = this.#handle;
    let done = 0;
    while (done < view.length) {
      try {
        const rest = done === 0 ? view : view.subarray(done);
        const count = this.#syscalls.writeSome(fd, rest, path);
        done += count;
        this.position += count;
      } catch (error) {
        if (!isWouldBlock(error)) throw writeFailure(this.#handle, this.position, error);
        if (!this.#waitWritable()) return;
      }
    }
  }

  /**
   * Writes zeros as the next bytes of the image.
   *
   * @param length Number of bytes, of any size.
   * @throws {TargetError} As {@linkcode write} does.
   */
  writeZeros(length: number): void {
    const end = this.position + length;
    while (this.position < end && !this.#shouldStop()) {
      const rest = end - this.position;
      if (!this.#canSplice || !this.#spliceZeros(rest)) {
        this.write(zeros().subarray(0, Math.min(ZERO_BUFFER_BYTES, rest)));
      }
    }
  }

  /**
   * Gives zeros to a pipe without copying them: the time that a pipe is locked for copying is what
   * bounds its speed.
   *
   * @returns `false` if the target takes none in this way, now and for ever.
   */
  #spliceZeros(length: number): boolean {
    const { fd, path } = this.#handle;
    const count = this.#syscalls.trySpliceZeros(fd, length);
    if (count > 0) {
      this.position += count;
    } else if (count === -Errno.EAGAIN) {
      this.#waitWritable();
    } else if (count === -Errno.EPIPE) {
      throw writeFailure(this.#handle, this.position, osError(-count, { syscall: "write", path }));
    } else {
      this.#canSplice = false;
    }
    return this.#canSplice;
  }

  /**
   * Waits for room, where the one who opened the pipe made it nonblocking. @returns `false` to
   * stop.
   */
  #waitWritable(): boolean {
    while (!this.#shouldStop()) {
      try {
        if (this.#syscalls.pollWritable(this.#handle.fd, POLL_MS, this.#handle.path)) return true;
      } catch (error) {
        throw writeFailure(this.#handle, this.position, error);
      }
    }
    return false;
  }
}

function isWouldBlock(error: unknown): boolean {
  return error instanceof OsError && error.errno === Errno.EAGAIN;
}
