/**
 * Writes a stream, in the workers: to a pipe, a character device or standard output. A format of
 * `stream_format.ts` says what a stream consists of. Writers of one stream take turns, which is up
 * to the caller (`lib/work/stream_work.ts`).
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { Errno, osError } from "../linux/errno.ts";
import { writeSome, zeroBytes } from "../linux/files.ts";
import { pollWritable } from "../linux/descriptors.ts";
import { trySpliceZeros } from "../linux/pipes.ts";
import type { StreamHandle } from "./target.ts";
import { writeFailure } from "./wording.ts";

/**
 * How a stream represents an image. Offsets and lengths are bytes of the image; pieces come in
 * ascending order.
 */
export interface StreamEncoding {
  /**
   * Whether the stream consists of records that name their offsets. Then zeros take next to no
   * room, ranges that the receiver already has are left out, and the stream is of no use as the
   * content of a file.
   */
  readonly hasRecords: boolean;
  /** Returns what comes before the data, at most PIPE_BUF (4096) bytes. */
  head(imageBytes: number): Uint8Array<ArrayBuffer>;
  /** What comes after the data, at most PIPE_BUF (4096) bytes. */
  readonly tail: Uint8Array<ArrayBuffer>;
  /** Writes a piece of the image, which has at least one byte. */
  writeData(writer: StreamWriter, bytes: Uint8Array<ArrayBuffer>, offset: number): void;
  /** Writes a range of zeros, which has at least one byte. */
  writeZeros(writer: StreamWriter, offset: number, length: number): void;
}

/** The system calls of a stream writer; tests replace them. */
export interface StreamCalls {
  readonly writeSome: typeof writeSome;
  readonly pollWritable: typeof pollWritable;
  readonly trySpliceZeros: typeof trySpliceZeros;
}

/** While it waits for the reader, a writer checks this often whether it should stop. */
const POLL_MS = 200;

/** The main thread looks this often whether a full pipe has room. */
const PART_POLL_MS = 20;

/** Writes an image in order, from the first byte to the last. */
export class StreamWriter {
  /** Byte of the image that is written next, for errors. Callers that take turns set it. */
  position = 0;

  readonly #handle: StreamHandle;
  readonly #shouldStop: () => boolean;
  readonly #calls: StreamCalls;
  /** Whether zeros can be passed by reference: `false` once the target proves not to be a pipe. */
  #canSplice = true;

  /**
   * @param options.shouldStop Asked before each system call that writes, and during waits. Once it
   *   returns true, the call in progress returns with work undone.
   */
  constructor(
    handle: StreamHandle,
    options: { shouldStop?: () => boolean; calls?: StreamCalls } = {},
  ) {
    this.#handle = handle;
    this.#shouldStop = options.shouldStop ?? (() => false);
    this.#calls = options.calls ?? { writeSome, pollWritable, trySpliceZeros };
  }

  /**
   * Writes the next bytes of the image, and waits while the reader is behind.
   *
   * @param bytes Owned by the caller, free again when this returns; may be a view of WebAssembly
   *   memory.
   * @throws {TargetError} On any failed write, with the byte of the image at which it failed.
   */
  write(bytes: Uint8Array<ArrayBuffer>): void {
    const { fd, path } = this.#handle;
    let done = 0;
    while (done < bytes.length && !this.#shouldStop()) {
      try {
        const rest = done === 0 ? bytes : bytes.subarray(done);
        const count = this.#calls.writeSome(fd, rest, path);
        done += count;
        this.position += count;
      } catch (error) {
        if (!isWouldBlock(error)) throw writeFailure(this.#handle, this.position, error);
        this.#waitWritable();
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
        this.write(zeroBytes(rest));
      }
    }
  }

  /**
   * Passes zeros to a pipe without copying them: copying is done under the pipe's lock, which
   * limits its speed.
   *
   * @returns `false` if the target never takes zeros this way.
   */
  #spliceZeros(length: number): boolean {
    const { fd, path } = this.#handle;
    const count = this.#calls.trySpliceZeros(fd, length);
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

  /** Waits for room in a pipe that is nonblocking, or until it should stop. */
  #waitWritable(): void {
    while (!this.#shouldStop()) {
      try {
        if (this.#calls.pollWritable(this.#handle.fd, POLL_MS, this.#handle.path)) return;
      } catch (error) {
        throw writeFailure(this.#handle, this.position, error);
      }
    }
  }
}

function isWouldBlock(error: unknown): boolean {
  return error instanceof OsError && error.errno === Errno.EAGAIN;
}

/**
 * Writes what comes before or after the data of a stream, on the main thread: so few bytes that a
 * pipe with any room takes them at once. Waits for room without blocking the thread.
 *
 * @param bytes At most PIPE_BUF (4096); if there are none, the target is not touched.
 * @param options.offset Byte of the image at which this stands, for errors.
 * @throws {TargetError} If they cannot be written.
 * @throws The signal's reason, if it ends the wait.
 */
export async function writeStreamPart(
  handle: StreamHandle,
  bytes: Uint8Array<ArrayBuffer>,
  options: { offset: number; signal: AbortSignal | undefined },
): Promise<void> {
  if (bytes.length === 0) return;
  const { offset, signal } = options;
  while (!pollWritable(handle.fd, 0, handle.path)) {
    signal?.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, PART_POLL_MS));
  }
  const writer = new StreamWriter(handle, { shouldStop: () => signal?.aborted ?? false });
  writer.position = offset;
  writer.write(bytes);
}
