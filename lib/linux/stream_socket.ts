/**
 * A connected socket: receives into a buffer, and sends several pieces of memory in one call, from
 * where they lie. Neither blocks the calling thread.
 *
 * @module
 */

import { Errno, osError } from "./errno.ts";
import { releaseFd } from "./files.ts";
import { lastErrno, libc } from "./libc.ts";
import type { Readiness, WatchedFd } from "./readiness.ts";

/** Source: sys/uio.h. */
export const IOVEC = { iov_base: 0, iov_len: 8, bytes: 16 } as const;

/** Source: bits/socket.h. */
export const MSGHDR = { msg_iov: 16, msg_iovlen: 24, bytes: 56 } as const;

/** Source: bits/types/struct_timeval.h. */
export const TIMEVAL = { tv_sec: 0, tv_usec: 8, bytes: 16 } as const;

/** Source: asm-generic/socket.h, bits/socket.h. */
const SOL_SOCKET = 1, SO_SNDBUF = 7, SO_SNDTIMEO = 21, SHUT_RDWR = 2;
const MSG_DONTWAIT = 0x40, MSG_NOSIGNAL = 0x4000;

/** Most pieces of one call: UIO_MAXIOV, linux/uio.h. */
export const SEND_PIECES_MAX = 1024;

/**
 * From so many bytes on a thread of the runtime's pool sends, and waits there while the socket is
 * full: to be told of each time that there is room takes this thread as long as to copy what fits.
 */
const LONG_SEND_BYTES = 131_072;

/** Threads that may send at once; the pool has 32. Other sends take turns on this thread. */
const SENDERS_MAX = 4;

/** So long a thread may wait for a client that takes nothing. */
const SENDER_PATIENCE_MS = 100;

/** Reads without a wait before it is the turn of others. */
const READS_IN_A_ROW = 16;

/** What threads send at present: a nonblocking call does not keep its memory from collection. */
const beingSent = new Set<SendMessage>();

/** A connected socket. */
export class StreamSocket {
  readonly #fd: number;
  readonly #watch: WatchedFd;
  readonly #message = new SendMessage();
  #readsInARow = 0;
  #isClosed = false;
  /** Whether a thread sends: the descriptor must stay open for it. */
  #isSending = false;
  readonly #released = Promise.withResolvers<void>();

  /**
   * @param fd Blocks; closed by {@linkcode close}.
   * @param sendBufferBytes How much the kernel keeps for the peer, as far as that is allowed;
   *   default: as it sees fit.
   * @throws {OsError} If there are no descriptors left. The descriptor is closed then.
   */
  constructor(fd: number, readiness: Readiness, sendBufferBytes?: number) {
    this.#fd = fd;
    try {
      this.#watch = readiness.add(fd);
    } catch (error) {
      releaseFd(fd);
      throw error;
    }
    if (sendBufferBytes !== undefined) {
      const bytes = new Uint8Array(new Int32Array([sendBufferBytes]).buffer);
      libc.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, bytes, bytes.length);
    }
    const timeout = new Uint8Array(TIMEVAL.bytes);
    const usec = BigInt(SENDER_PATIENCE_MS * 1000);
    new DataView(timeout.buffer).setBigInt64(TIMEVAL.tv_usec, usec, true);
    libc.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, timeout, timeout.length);
  }

  /** Settles when it is closed, and no thread uses its descriptor or what it sends any more. */
  get released(): Promise<void> {
    return this.#released.promise;
  }

  /**
   * Receives some bytes, at least one.
   *
   * @returns Their number; `null` at the end.
   * @throws {OsError} If the connection broke.
   * @throws {RemovedError} If it is closed meanwhile.
   */
  async read(buffer: Uint8Array<ArrayBuffer>): Promise<number | null> {
    if (++this.#readsInARow > READS_IN_A_ROW) await this.#untilReadable();
    for (;;) {
      this.#requireOpen();
      const size = BigInt(buffer.length);
      const count = Number(libc.recv(this.#fd, buffer, size, MSG_DONTWAIT));
      if (count > 0) return count;
      if (count === 0) return null;
      const errno = lastErrno();
      if (errno === Errno.EAGAIN) await this.#untilReadable();
      else if (errno !== Errno.EINTR) throw osError(errno, { syscall: "receive", path: "" });
    }
  }

  async #untilReadable(): Promise<void> {
    this.#requireOpen();
    this.#readsInARow = 0;
    await this.#watch.readable();
  }

  /**
   * Sends some bytes, at least one; one caller at a time.
   *
   * @param pieces Not empty, of at least one byte each, {@linkcode SEND_PIECES_MAX} at most. They
   *   may be views of shared memory, and must not change until the bytes are sent.
   * @returns How many bytes were sent.
   * @throws {OsError} If the connection broke.
   * @throws {RemovedError} If it is closed meanwhile.
   */
  async write(pieces: readonly Uint8Array[]): Promise<number> {
    const message = this.#message;
    message.set(pieces);
    if (message.length >= LONG_SEND_BYTES && beingSent.size < SENDERS_MAX) {
      this.#requireOpen();
      beingSent.add(message);
      this.#isSending = true;
      const count = Number(await libc.sendmsgAsync(this.#fd, message.header, MSG_NOSIGNAL));
      this.#isSending = false;
      beingSent.delete(message);
      if (this.#isClosed) this.#release();
      // Its errno is that of another thread; and a client that was given time is waited for below.
      if (count > 0) return message.sent(count);
    }
    for (;;) {
      this.#requireOpen();
      const flags = MSG_NOSIGNAL | MSG_DONTWAIT;
      const count = Number(libc.sendmsg(this.#fd, message.header, flags));
      const errno = lastErrno();
      if (count >= 0) return message.sent(count);
      if (errno === Errno.EAGAIN) await this.#watch.writable();
      else if (errno !== Errno.EINTR) throw osError(errno, { syscall: "send", path: "" });
    }
  }

  /**
   * Ends the connection; whoever reads or writes fails. What {@linkcode write} was given may change
   * from now on: after shutdown(2) the kernel sends nothing that a thread is still copying.
   */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#watch.remove();
    libc.shutdown(this.#fd, SHUT_RDWR);
    if (!this.#isSending) this.#release();
  }

  #release(): void {
    releaseFd(this.#fd);
    this.#released.resolve();
  }

  #requireOpen(): void {
    if (this.#isClosed) throw osError(Errno.ENOTCONN, { syscall: "use the connection", path: "" });
  }
}

/** A `struct msghdr` and what it leads to. It is used again: new memory would take its time. */
class SendMessage {
  readonly header = new Uint8Array(new ArrayBuffer(MSGHDR.bytes));
  readonly #fields = new DataView(this.header.buffer);
  #vectors = new BigUint64Array(0);
  /** Kept from collection. */
  #pieces: readonly Uint8Array[] = [];
  #length = 0;

  /** Number of bytes. */
  get length(): number {
    return this.#length;
  }

  /** Forgets the pieces, which may be large. @returns The number that it is given. */
  sent(count: number): number {
    this.#pieces = [];
    return count;
  }

  /** Makes it the message of these pieces. */
  set(pieces: readonly Uint8Array[]): void {
    if (this.#vectors.length < 2 * pieces.length) this.#grow(pieces.length);
    this.#length = 0;
    this.#pieces = pieces;
    for (let index = 0; index < this.#pieces.length; index++) {
      const piece = this.#pieces[index] as Uint8Array<ArrayBuffer>;
      this.#vectors[2 * index] = addressOf(piece);
      this.#vectors[2 * index + 1] = BigInt(piece.length);
      this.#length += piece.length;
    }
    this.#fields.setBigUint64(MSGHDR.msg_iovlen, BigInt(pieces.length), true);
  }

  #grow(pieces: number): void {
    this.#vectors = new BigUint64Array(new ArrayBuffer(2 * IOVEC.bytes * pieces));
    const address = addressOf(new Uint8Array(this.#vectors.buffer));
    this.#fields.setBigUint64(MSGHDR.msg_iov, address, true);
  }
}

function addressOf(memory: Uint8Array<ArrayBuffer>): bigint {
  // Small arrays have memory that moves until somebody asks for their buffer.
  void memory.buffer;
  return Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory));
}
