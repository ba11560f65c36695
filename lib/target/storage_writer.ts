/**
 * Writes a file's or device's storage, in the workers: past the page cache where that pays, and
 * then while the worker decodes the next chunk (`linux/write_queue.ts`).
 *
 * A restore writes more than a host has memory to cache, and nobody reads it soon. Through the page
 * cache each byte is copied once more, pages are allocated and written back, and what the host had
 * cached is thrown out. A descriptor that was opened with O_DIRECT does without.
 *
 * Direct writes are made of whole blocks (`direct_writes.ts`), all else goes through the page
 * cache. So the two never share a page or block: no page in the cache is older than what a direct
 * write put under it, and none is written back over it. (The kernel also writes back and drops what
 * others have cached of a range before it writes there directly.) Errors of direct writes are
 * reported when they end, those of the others by the flush at the end, which is of the buffered
 * descriptor and also makes the device write its own cache.
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { Errno, osError } from "../linux/errno.ts";
import type { pwriteSome } from "../linux/files.ts";
import type { EndedWrite, WriteQueue } from "../linux/write_queue.ts";
import { overlap } from "./block_io.ts";
import type { DirectWrites } from "./direct_writes.ts";
import type { BlockHandle } from "./target.ts";
import { writeFailure } from "./wording.ts";

/** A file or device to write. */
export interface WritableTarget extends BlockHandle {
  readonly fd: number;
  /** How it is written past the page cache; `null` where that is refused or does not pay. */
  readonly direct: DirectWrites | null;
}

/** The part of a {@linkcode WriteQueue} that is used. */
export type StorageQueue =
  & Pick<WriteQueue, "submit" | "wait" | "cancel">
  & Disposable;

/** What writes; tests replace it. */
export interface WriteCalls {
  readonly pwriteSome: typeof pwriteSome;
  /** Default: no write is in flight when a call returns. */
  readonly openWriteQueue?: (fd: number, capacity: number) => StorageQueue | null;
}

/** A direct write in flight. */
interface Write {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where in the target they go. */
  readonly offset: number;
}

/**
 * The most bytes in flight: two chunks. A worker has no more to write, but for zeros, and should
 * not wait long when it stops.
 */
const MAX_IN_FLIGHT_BYTES = 8_388_608;

/** While it waits for the storage, a writer checks this often whether it should stop. */
const STOP_POLL_MS = 200;

/** The most writes in flight: two chunks, every second granule of which is zeros. */
const MAX_IN_FLIGHT = 64;

/**
 * Errors by which a direct write is refused: the file system or device wants larger blocks
 * (EINVAL), or knows no direct writes in spite of O_DIRECT (SMB). Whether it may be written at all,
 * the page cache finds out.
 */
const REFUSED: ReadonlySet<number> = new Set([
  Errno.EINVAL,
  Errno.EOPNOTSUPP,
  Errno.ENOSYS,
  Errno.EACCES,
  Errno.EPERM,
]);

/** Errors of storage that is full, which come at once: it may have room for a part. */
const NO_ROOM: ReadonlySet<number> = new Set([Errno.ENOSPC, Errno.EDQUOT, Errno.EFBIG]);

/** Errors of a write in flight that may succeed when it is made again. */
const TRANSIENT: ReadonlySet<number> = new Set([Errno.EAGAIN, Errno.EINTR, Errno.ECANCELED]);

/**
 * Writes to a target; each worker has its own.
 *
 * Once it should stop, it begins no more writes: a worker that waited for its storage too long is
 * no longer waited for, and by the time it goes on, the numbers of its descriptors may be those of
 * other files.
 */
export class StorageWriter implements Disposable {
  readonly #target: WritableTarget;
  readonly #calls: WriteCalls;
  readonly #shouldStop: () => boolean;
  /** Becomes `null` where a direct write is refused. */
  #direct: DirectWrites | null;
  /** `null` where the system has none; opened when it is first needed. */
  #queue: StorageQueue | null | undefined;
  /** By their tags. */
  readonly #inFlight = new Map<number, Write>();
  #inFlightBytes = 0;
  #nextTag = 0;

  /** @param options.shouldStop Asked before each write; default: never true. */
  constructor(
    target: WritableTarget,
    calls: WriteCalls,
    options: { readonly shouldStop?: () => boolean } = {},
  ) {
    this.#target = target;
    this.#calls = calls;
    this.#shouldStop = options.shouldStop ?? (() => false);
    this.#direct = target.direct;
  }

  /**
   * Writes bytes, or begins to.
   *
   * @param bytes Unchanged until {@linkcode drain}. Written directly if they lie in memory as in
   *   the target: at the same offset within a block. The memory itself should begin at a page, as
   *   WebAssembly's does.
   * @param offset Where in the target they go.
   * @throws {TargetError} If this or an earlier write fails, with the place as in `BlockIo`.
   */
  write(bytes: Uint8Array<ArrayBuffer>, offset: number): void {
    const direct = this.#direct;
    if (direct === null) return this.#writeCached(bytes, offset, 0);
    const { blockBytes, memoryBytes } = direct;
    const end = bytes.length;
    const start = Math.min(Math.ceil(offset / blockBytes) * blockBytes - offset, end);
    const directEnd = Math.floor((offset + end) / blockBytes) * blockBytes - offset;
    if ((bytes.byteOffset + start) % memoryBytes !== 0 || directEnd <= start) {
      return this.#writeCached(bytes, offset, 0);
    }
    this.#writeCached(bytes.subarray(0, start), offset, 0);
    this.#begin({ bytes: bytes.subarray(start, directEnd), offset: offset + start });
    this.#writeCached(bytes, offset, directEnd);
  }

  /**
   * Waits for writes in flight.
   *
   * @param buffer Only for those from these bytes; default: for all.
   * @throws {TargetError} If one failed.
   */
  drain(buffer?: Uint8Array<ArrayBuffer>): void {
    while (this.#isInFlight(buffer)) this.#finishSome();
  }

  /** Waits for writes in flight, and ignores their errors. */
  [Symbol.dispose](): void {
    this.#queue?.[Symbol.dispose]();
    this.#queue = null;
    this.#inFlight.clear();
  }

  #isInFlight(buffer: Uint8Array<ArrayBuffer> | undefined): boolean {
    if (buffer === undefined) return this.#inFlight.size > 0;
    return this.#inFlight.values().some(({ bytes }) => overlap(bytes, buffer));
  }

  /** Begins a direct write; makes it at once if the system does not take it. */
  #begin(write: Write): void {
    const { bytes, offset } = write;
    while (
      this.#inFlight.size >= MAX_IN_FLIGHT ||
      (this.#inFlight.size > 0 && this.#inFlightBytes + bytes.length > MAX_IN_FLIGHT_BYTES)
    ) {
      this.#finishSome();
    }
    if (this.#direct === null) return this.#writeCached(bytes, offset, 0);
    if (this.#shouldStop()) return;
    if (this.#queue === undefined) {
      this.#queue = this.#calls.openWriteQueue?.(this.#direct.fd, MAX_IN_FLIGHT) ?? null;
    }
    const tag = this.#nextTag++;
    if (!this.#queue?.submit(bytes, { offset, tag })) {
      return this.#writeDirect(bytes, offset);
    }
    this.#inFlight.set(tag, write);
    this.#inFlightBytes += bytes.length;
  }

  /** Waits until at least one write in flight has ended. */
  #finishSome(): void {
    const ended = this.#waitForSome().map(({ tag, result }) => {
      const write = this.#inFlight.get(tag)!;
      this.#inFlight.delete(tag);
      this.#inFlightBytes -= write.bytes.length;
      return { ...write, result };
    });
    for (const { bytes, offset, result } of ended) {
      const done = Math.max(0, result), errno = -result;
      if (done === bytes.length) continue;
      const isRepeated = result >= 0 || REFUSED.has(errno) || NO_ROOM.has(errno) ||
        TRANSIENT.has(errno);
      if (!isRepeated) {
        const { path } = this.#target;
        throw writeFailure(this.#target, offset, osError(errno, { syscall: "write", path }));
      }
      // Finds out what the matter is with the rest.
      if (done % this.#target.direct!.blockBytes === 0) {
        this.#writeDirect(bytes.subarray(done), offset + done);
      } else this.#writeCached(bytes, offset, done);
    }
  }

  /** Waits, and takes back writes that were not begun once it should stop. */
  #waitForSome(): EndedWrite[] {
    const queue = this.#queue!;
    for (;;) {
      const isStopping = this.#shouldStop();
      if (isStopping) queue.cancel();
      // Then it waits in one call: a thread that is ended meanwhile keeps its memory until that
      // returns, and what is being written lies there.
      const ended = queue.wait(isStopping ? undefined : STOP_POLL_MS);
      if (ended.length > 0) return ended;
    }
  }

  /** Writes whole blocks, and returns when they are written. */
  #writeDirect(bytes: Uint8Array<ArrayBuffer>, offset: number): void {
    const { path } = this.#target;
    let done = 0, most = bytes.length;
    while (done < bytes.length && this.#direct !== null && !this.#shouldStop()) {
      const { fd, blockBytes } = this.#direct;
      const piece = bytes.subarray(done, done + most);
      try {
        done += this.#calls.pwriteSome(fd, piece, offset + done, path);
      } catch (error) {
        if (!(error instanceof OsError)) throw error;
        if (REFUSED.has(error.errno)) {
          this.#direct = null;
        } else if (NO_ROOM.has(error.errno) && piece.length > blockBytes) {
          most = Math.ceil(piece.length / blockBytes / 2) * blockBytes;
        } else {
          throw writeFailure(this.#target, offset + done, error);
        }
      }
      // The rest of a block that was written in part.
      if (done % blockBytes !== 0) break;
    }
    this.#writeCached(bytes, offset, done);
  }

  /** Writes `bytes` from index `start` on. */
  #writeCached(bytes: Uint8Array<ArrayBuffer>, offset: number, start: number): void {
    const { fd, path } = this.#target;
    for (let done = start; done < bytes.length && !this.#shouldStop();) {
      try {
        const rest = done === 0 ? bytes : bytes.subarray(done);
        done += this.#calls.pwriteSome(fd, rest, offset + done, path);
      } catch (error) {
        throw writeFailure(this.#target, offset + done, error);
      }
    }
  }
}
