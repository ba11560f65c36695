/**
 * A client's connection as messages: reads exactly as many bytes as wanted, and sends one message
 * after the other, as many at once as are ready.
 *
 * @module
 */

import { SEND_PIECES_MAX } from "../linux/stream_socket.ts";

/** What a connection is made of: a socket (`lib/linux/stream_socket.ts`), or a test's own. */
export interface ByteChannel {
  /** Reads some bytes into the buffer. @returns Their number; `null` at the end. */
  read(buffer: Uint8Array<ArrayBuffer>): Promise<number | null>;
  /**
   * Writes some bytes, at least one.
   *
   * @param pieces Each of at least one byte; {@linkcode SEND_PIECES_MAX} at most.
   * @returns How many bytes were written.
   */
  write(pieces: readonly Uint8Array[]): Promise<number>;
  /** Ends it; whoever reads or writes fails, sooner or later. */
  close(): void;
}

/** Why a client is dropped: it does not speak the protocol. The message is for the log. */
export class ClientError extends Error {}

/** The client has gone, in the middle of a message or between two. */
export class ClosedError extends Error {}

const BUFFER_BYTES = 65_536;

/** Messages are sent together up to so many bytes, so that the first need not wait for the last. */
const BATCH_BYTES = 8 * 1024 * 1024;

/** A client that does not go on within this time is given up. */
export interface Patience {
  /** For each time that the server waits until the client sends, or takes what it is sent. */
  readonly ms: number;
  /** Makes the error that the waiting call then fails with. */
  readonly error: () => Error;
}

/** A message that waits to be sent, or a part of one. */
interface Outgoing {
  readonly pieces: readonly Uint8Array[];
  readonly length: number;
  readonly sent: PromiseWithResolvers<void>;
}

/** A client's connection. */
export class Connection {
  readonly #channel: ByteChannel;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #start = 0;
  #end = 0;
  #outgoing: Outgoing[] = [];
  #isSending = false;
  /** Settles when a message that is made piece by piece is complete: others wait. */
  #turn: Promise<void> | null = null;
  #isClosed = false;
  /** Ends the wait for a write. */
  #abandonWrite: ((reason: ClosedError) => void) | null = null;

  /** How long to wait for the client each time; `null`: for ever. */
  patience: Patience | null = null;

  constructor(channel: ByteChannel) {
    this.#channel = channel;
  }

  /** Whether bytes were received that nobody has read yet. */
  get hasReceived(): boolean {
    return this.#start < this.#end;
  }

  /**
   * Reads exactly so many bytes.
   *
   * @returns Bytes of the caller's own.
   * @throws {ClosedError} If the connection ends before.
   */
  async read(length: number): Promise<Uint8Array<ArrayBuffer>> {
    this.requireOpen();
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      if (this.#start === this.#end) {
        const rest = length - done;
        // What is long goes where it belongs without a copy.
        if (rest >= BUFFER_BYTES) {
          done += await this.#receive(bytes.subarray(done));
          continue;
        }
        this.#start = 0;
        this.#end = 0;
        this.#end = await this.#receive(this.#buffer);
      }
      const part = this.#buffer.subarray(
        this.#start,
        Math.min(this.#end, this.#start + length - done),
      );
      bytes.set(part, done);
      done += part.length;
      this.#start += part.length;
    }
    return bytes;
  }

  /**
   * Reads exactly so many bytes, {@linkcode BUFFER_BYTES} at most, without a copy where possible.
   *
   * @returns Bytes that may be overwritten by the next read.
   * @throws {ClosedError} If the connection ends before.
   */
  async readBriefly(length: number): Promise<Uint8Array<ArrayBuffer>> {
    this.requireOpen();
    if (this.#start === this.#end) {
      this.#start = 0;
      this.#end = 0;
      this.#end = await this.#receive(this.#buffer);
    }
    if (this.#end - this.#start < length) return await this.read(length);
    this.#start += length;
    return this.#buffer.subarray(this.#start - length, this.#start);
  }

  /** Reads bytes that nobody wants. @throws {ClosedError} */
  async skip(length: number): Promise<void> {
    for (let left = length; left > 0; left -= BUFFER_BYTES) {
      await this.read(Math.min(left, BUFFER_BYTES));
    }
  }

  /**
   * Sends a message after those that were sent before. Messages never mix.
   *
   * @param pieces The message; they must not change until it is sent.
   * @throws {ClosedError} If the client has gone.
   */
  async send(...pieces: readonly Uint8Array[]): Promise<void> {
    while (this.#turn !== null) await this.#turn;
    await this.#push(pieces);
  }

  /**
   * Sends a message that is made while it is sent, so that not all of it is in memory at once.
   *
   * @param make Gets what sends its pieces, to be awaited each time.
   * @throws {ClosedError} If the client has gone.
   * @throws What `make` throws. If it had sent a part, the connection is of no use any more.
   */
  async sendInPieces(
    make: (send: (pieces: readonly Uint8Array[]) => Promise<void>) => Promise<void>,
  ): Promise<void> {
    while (this.#turn !== null) await this.#turn;
    const turn = Promise.withResolvers<void>();
    this.#turn = turn.promise;
    try {
      await make((pieces) => this.#push(pieces));
    } finally {
      this.#turn = null;
      turn.resolve();
    }
  }

  /**
   * To be asked before each step of what takes long: what was received before the end is not worth
   * an answer that cannot be sent.
   *
   * @throws {ClosedError} If it was closed on this side.
   */
  requireOpen(): void {
    if (this.#isClosed) throw new ClosedError("The connection was closed");
  }

  /** Ends it; whoever reads or sends gets a {@linkcode ClosedError}. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // A write may go on until a client that does not read takes it.
    this.#abandonWrite?.(new ClosedError("The connection was closed"));
    this.#channel.close();
  }

  async #receive(buffer: Uint8Array<ArrayBuffer>): Promise<number> {
    const count = await this.#waitFor(() => this.#channel.read(buffer));
    if (count === null) throw new ClosedError("The connection has ended");
    return count;
  }

  #push(pieces: readonly Uint8Array[]): Promise<void> {
    const parts = pieces.filter(({ length }) => length > 0);
    const length = parts.reduce((sum, { length }) => sum + length, 0);
    const sent = Promise.withResolvers<void>();
    this.#outgoing.push({ pieces: parts, length, sent });
    if (!this.#isSending) {
      this.#isSending = true;
      // Others may be ready in the same moment: requests for one chunk are answered together.
      queueMicrotask(() => this.#sendAll());
    }
    return sent.promise;
  }

  async #sendAll(): Promise<void> {
    try {
      while (this.#outgoing.length > 0) await this.#sendBatch();
    } catch (error) {
      for (const { sent } of this.#outgoing.splice(0)) sent.reject(error);
    }
    this.#isSending = false;
  }

  /** Sends the first messages, as many as may go together. */
  async #sendBatch(): Promise<void> {
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for (const message of this.#outgoing) {
      const isFull = bytes + message.length > BATCH_BYTES ||
        pieces.length + message.pieces.length > SEND_PIECES_MAX;
      if (isFull && pieces.length > 0) break;
      pieces.push(...message.pieces);
      bytes += message.length;
    }
    let sentBytes = 0;
    for (let rest = pieces; rest.length > 0;) {
      const count = await this.#write(rest.slice(0, SEND_PIECES_MAX));
      sentBytes += count;
      rest = without(rest, count);
      // Whoever waits for the first message need not wait for all.
      while (this.#outgoing.length > 0 && this.#outgoing[0]!.length <= sentBytes) {
        const message = this.#outgoing.shift()!;
        sentBytes -= message.length;
        message.sent.resolve();
      }
    }
  }

  #write(pieces: readonly Uint8Array[]): Promise<number> {
    this.requireOpen();
    return this.#waitFor(() => {
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      this.#abandonWrite = reject;
      this.#channel.write(pieces).then(resolve, reject);
      return promise;
    });
  }

  /** Waits for the client, no longer than patience allows. */
  async #waitFor<T>(act: () => Promise<T>): Promise<T> {
    const { patience } = this;
    let isLate = false;
    const timer = patience === null ? null : setTimeout(() => {
      isLate = true;
      this.close();
    }, patience.ms);
    try {
      const result = await act();
      if (!isLate) return result;
    } catch (error) {
      if (!isLate) {
        throw error instanceof ClosedError
          ? error
          : new ClosedError("The connection broke", { cause: error });
      }
    } finally {
      if (timer !== null) clearTimeout(timer);
    }
    throw patience!.error();
  }
}

/** Returns the pieces behind the first `count` bytes. */
function without(pieces: readonly Uint8Array[], count: number): Uint8Array[] {
  let index = 0;
  while (index < pieces.length && pieces[index]!.length <= count) count -= pieces[index++]!.length;
  const rest = pieces.slice(index);
  if (count > 0) rest[0] = rest[0]!.subarray(count);
  return rest;
}
