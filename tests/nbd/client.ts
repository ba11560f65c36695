/**
 * A client of the NBD server, for tests: sends any bytes, and takes replies apart.
 *
 * Written from the protocol's description and not from the server's own tables, so that both must
 * be right.
 *
 * @module
 */

import { assertEquals } from "../assert.ts";
import type { ByteChannel } from "../../lib/nbd/connection.ts";

const OPTION_MAGIC = 0x49484156454f5054n;
const OPTION_REPLY_MAGIC = 0x3e889045565a9n;

/** The client's end: a `Deno.Conn`, or one in memory. */
export interface ClientChannel extends Pick<ByteChannel, "read" | "close"> {
  write(bytes: Uint8Array<ArrayBuffer>): Promise<number>;
}

/** Two ends of a connection in memory: the client's, and the server's. */
export function channelPair(): [ClientChannel, ByteChannel] {
  const there = new Pipe(), back = new Pipe();
  const close = () => {
    there.close();
    back.close();
  };
  return [
    { read: (buffer) => there.read(buffer), write: (bytes) => back.write(bytes), close },
    {
      read: (buffer) => back.read(buffer),
      write: async (pieces) => {
        let count = 0;
        for (const piece of pieces) count += await there.write(new Uint8Array(piece));
        return count;
      },
      close,
    },
  ];
}

class Pipe {
  #parts: Uint8Array<ArrayBuffer>[] = [];
  #isClosed = false;
  #wake: (() => void) | null = null;

  async read(buffer: Uint8Array<ArrayBuffer>): Promise<number | null> {
    while (this.#parts.length === 0) {
      if (this.#isClosed) return null;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    const [first] = this.#parts;
    const count = Math.min(first!.length, buffer.length);
    buffer.set(first!.subarray(0, count));
    if (count === first!.length) this.#parts.shift();
    else this.#parts[0] = first!.subarray(count);
    return count;
  }

  write(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
    if (this.#isClosed) return Promise.reject(new Deno.errors.BrokenPipe("closed"));
    this.#parts.push(bytes.slice());
    this.#wake?.();
    return Promise.resolve(bytes.length);
  }

  close(): void {
    this.#isClosed = true;
    this.#wake?.();
  }
}

/** What a structured reply consists of. */
export interface ReplyChunk {
  readonly flags: number;
  readonly type: number;
  readonly cookie: bigint;
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** A reply to an option. */
export interface OptionAnswer {
  readonly option: number;
  readonly type: number;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** A client. */
export class NbdClient {
  readonly #channel: ClientChannel;

  constructor(channel: ClientChannel) {
    this.#channel = channel;
  }

  /** Sends fields: a number as 32 bits, `[value, bits]` as so many, bytes and texts as they are. */
  async send(
    ...fields: readonly (number | [number | bigint, number] | Uint8Array | string)[]
  ): Promise<void> {
    const parts = fields.map((field) => {
      if (typeof field === "string") return new TextEncoder().encode(field);
      if (field instanceof Uint8Array) return new Uint8Array(field);
      const [value, bits] = typeof field === "number" ? [field, 32] : field;
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
      return bytes.subarray(8 - bits / 8);
    });
    // In one write: of many small ones a socket holds few, and they fill it until they are read.
    const message = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      message.set(part, at);
      at += part.length;
    }
    for (let done = 0; done < message.length;) {
      done += await this.#channel.write(message.subarray(done));
    }
  }

  /** Reads so many bytes; fewer if the server ends the connection. */
  async read(length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const count = await this.#channel.read(bytes.subarray(done));
      if (count === null) return bytes.subarray(0, done);
      done += count;
    }
    return bytes;
  }

  async number(bits: 16 | 32 | 64): Promise<bigint> {
    const bytes = await this.read(bits / 8);
    if (bytes.length < bits / 8) throw new Error("The server ended the connection");
    const wide = new Uint8Array(8);
    wide.set(bytes, 8 - bytes.length);
    return new DataView(wide.buffer).getBigUint64(0);
  }

  /** Reads the server's hello and sends flags. */
  async greet(flags = 3): Promise<void> {
    assertEquals(new TextDecoder().decode(await this.read(16)), "NBDMAGICIHAVEOPT");
    assertEquals(await this.number(16), 3n);
    await this.send(flags);
  }

  async option(option: number, data: Uint8Array | string = ""): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    await this.send([OPTION_MAGIC, 64], option, bytes.length, bytes);
  }

  async optionAnswer(): Promise<OptionAnswer> {
    assertEquals(await this.number(64), OPTION_REPLY_MAGIC);
    const option = Number(await this.number(32)), type = Number(await this.number(32));
    return { option, type, data: await this.read(Number(await this.number(32))) };
  }

  /** All answers to an option, up to ACK or an error. */
  async answers(): Promise<OptionAnswer[]> {
    const answers: OptionAnswer[] = [];
    for (;;) {
      const answer = await this.optionAnswer();
      answers.push(answer);
      if (answer.type === 1 || answer.type >= 2 ** 31) return answers;
    }
  }

  async request(
    type: number,
    fields: { flags?: number; cookie?: number; offset?: number | bigint; length?: number },
    data: Uint8Array = new Uint8Array(0),
  ): Promise<void> {
    const { flags = 0, cookie = 7, offset = 0, length = data.length } = fields;
    await this.send(0x25609513, [flags, 16], [type, 16], [cookie, 64], [offset, 64], length, data);
  }

  async simpleReply(
    length: number,
  ): Promise<{ error: number; cookie: bigint; data: Uint8Array<ArrayBuffer> }> {
    assertEquals(await this.number(32), 0x67446698n);
    const error = Number(await this.number(32));
    const cookie = await this.number(64);
    return { error, cookie, data: await this.read(error === 0 ? length : 0) };
  }

  async chunk(): Promise<ReplyChunk> {
    assertEquals(await this.number(32), 0x668e33efn);
    const flags = Number(await this.number(16)), type = Number(await this.number(16));
    const cookie = await this.number(64);
    return { flags, type, cookie, payload: await this.read(Number(await this.number(32))) };
  }

  /** All chunks of the next structured reply. */
  async chunks(): Promise<ReplyChunk[]> {
    const chunks: ReplyChunk[] = [];
    do chunks.push(await this.chunk()); while ((chunks.at(-1)!.flags & 1) === 0);
    return chunks;
  }

  close(): void {
    this.#channel.close();
  }
}

/** Data of an option: a name with its length before it, and what follows. */
export function named(name: string, ...rest: readonly number[]): Uint8Array {
  const text = new TextEncoder().encode(name);
  const bytes = new Uint8Array(4 + text.length + 2 * rest.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, text.length);
  bytes.set(text, 4);
  rest.forEach((value, index) => view.setUint16(4 + text.length + 2 * index, value));
  return bytes;
}

/** Data of an option about contexts: export and queries. */
export function contextQuery(name: string, ...queries: readonly string[]): Uint8Array {
  const parts = [
    named(name),
    new Uint8Array([0, 0, 0, queries.length]),
    ...queries.map((q) => named(q)),
  ];
  return new Uint8Array(parts.flatMap((part) => [...part]));
}
