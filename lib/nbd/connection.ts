/**
 * A client's connection as messages: reads exactly as many bytes as wanted, and sends one message
 * after the other.
 *
 * @module
 */

import type { Message } from "./protocol.ts";
import { ReplyMemory } from "./reply_memory.ts";

/** What a connection is made of: the runtime's `Deno.Conn`, or a test's own. */
export interface ByteChannel {
  /** Reads some bytes into the buffer. @returns Their number; `null` at the end. */
  read(buffer: Uint8Array<ArrayBuffer>): Promise<number | null>;
  /** Writes some bytes, at least one. @returns Their number. */
  write(bytes: Uint8Array<ArrayBuffer>): Promise<number>;
  close(): void;
}

/** Why a client is dropped: it does not speak the protocol. The message is for the log. */
export class ClientError extends Error {}

/** The client has gone, in the middle of a message or between two. */
export class ClosedError extends Error {}

const BUFFER_BYTES = 65_536;

/** A client that does not go on within this time is given up. */
export interface Patience {
  /** For each time that the server waits until the client sends, or takes what it is sent. */
  readonly ms: number;
  /** Makes the error that the waiting call then fails with. */
  readonly error: () => Error;
}

/** A client's connection. */
export class Connection {
  readonly #channel: ByteChannel;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #start = 0;
  #end = 0;
  #sending: Promise<void> = Promise.resolve();
  #isClosed = false;
  /** Ends the wait for a write. */
  #abandonWrite: ((reason: ClosedError) => void) | null = null;

  /** For what is sent. */
  readonly memory = new ReplyMemory();

  /** How long to wait for the client each time; `null`: for ever. */
  patience: Patience | null = null;

  constructor(channel: ByteChannel) {
    this.#channel = channel;
  }

  /**
   * Reads exactly so many bytes.
   *
   * @returns Bytes of the caller's own.
   * @throws {ClosedError} If the connection ends before.
   */
  async read(length: number): Promise<Uint8Array<ArrayBuffer>> {
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

  /** Reads bytes that nobody wants. @throws {ClosedError} */
  async skip(length: number): Promise<void> {
    for (let left = length; left > 0; left -= BUFFER_BYTES) {
      await this.read(Math.min(left, BUFFER_BYTES));
    }
  }

  /**
   * Sends a message after those that were sent before. Messages never mix.
   *
   * @param message Must not change until it is sent.
   * @throws {ClosedError} If the client has gone.
   */
  send(message: Message): Promise<void> {
    const sent = this.#sending.then(() => this.#write(message));
    this.#sending = sent.catch(() => {});
    return sent;
  }

  /** Ends it; whoever reads or sends gets a {@linkcode ClosedError}. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // The runtime ends reads, but a write goes on until a client that does not read takes it.
    this.#abandonWrite?.(new ClosedError("The connection was closed"));
    try {
      this.#channel.close();
    } catch {
      // The client closed it first.
    }
  }

  async #receive(buffer: Uint8Array<ArrayBuffer>): Promise<number> {
    const count = await this.#waitFor(() => this.#channel.read(buffer));
    if (count === null) throw new ClosedError("The connection has ended");
    return count;
  }

  async #write(message: Message): Promise<void> {
    for (let done = 0; done < message.length;) {
      if (this.#isClosed) throw new ClosedError("The connection was closed");
      const rest = done === 0 ? message : message.subarray(done);
      done += await this.#waitFor(() => {
        const { promise, resolve, reject } = Promise.withResolvers<number>();
        this.#abandonWrite = reject;
        this.#channel.write(rest).then(resolve, reject);
        return promise;
      });
    }
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
