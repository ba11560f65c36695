/**
 * The messages of the NBD protocol: numbers, requests as they are read, replies as they are sent.
 * All integers are big-endian. Pure.
 *
 * Source: doc/proto.md of https://github.com/NetworkBlockDevice/nbd: "fixed newstyle" negotiation,
 * simple and structured replies, the "base:allocation" context.
 *
 * @module
 */

/** The first 18 bytes of a connection come from the server: two magic numbers and its flags. */
export const Hello = {
  /** "NBDMAGIC" */
  MAGIC: 0x4e42444d41474943n,
  /** "IHAVEOPT", also before each option. */
  OPTION_MAGIC: 0x49484156454f5054n,
  /** The server's flags, and the client's, which must be among them. */
  FIXED_NEWSTYLE: 1,
  NO_ZEROES: 2,
} as const;

/** What a client asks for before it uses an export. */
export const Option = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
} as const;

/** Types of replies to options; those above 2^31 are errors. */
export const OptionReply = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x8000_0001,
  ERR_POLICY: 0x8000_0002,
  ERR_INVALID: 0x8000_0003,
  ERR_UNKNOWN: 0x8000_0006,
  ERR_TOO_BIG: 0x8000_0009,
} as const;

/** Kinds of information about an export. */
export const Info = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

/** What can be done with an export. */
export const ExportFlag = {
  HAS_FLAGS: 1,
  READ_ONLY: 2,
  SEND_FLUSH: 4,
  SEND_FUA: 8,
  SEND_TRIM: 32,
  SEND_WRITE_ZEROES: 64,
  SEND_DF: 128,
  CAN_MULTI_CONN: 256,
} as const;

/** What a client does with an export. */
export const Command = {
  READ: 0,
  WRITE: 1,
  DISCONNECT: 2,
  FLUSH: 3,
  TRIM: 4,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const;

/** Flags of a request. */
export const CommandFlag = { FUA: 1, NO_HOLE: 2, DF: 4, REQ_ONE: 8, FAST_ZERO: 16 } as const;

/** Errors of replies. They have the values of Linux, on every system. */
export const NbdError = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
} as const;

/** Types of the chunks of a structured reply. */
const ChunkType = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  ERROR: 0x8001,
} as const;

/** Set in the last chunk of a reply. */
const CHUNK_DONE = 1;

/** States of "base:allocation". */
const HOLE_AND_ZERO = 3;

const REQUEST_MAGIC = 0x2560_9513;
const SIMPLE_REPLY_MAGIC = 0x6744_6698;
const STRUCTURED_REPLY_MAGIC = 0x668e_33ef;
const OPTION_REPLY_MAGIC = 0x0003_e889_0455_65a9n;

/** Length of a request without its payload. */
export const REQUEST_BYTES = 28;

/** Length of an option's head. */
export const OPTION_HEAD_BYTES = 16;

/** The longest string, a name for example. */
export const STRING_MAX_BYTES = 4096;

/** A request, without the bytes of a write. */
export interface Request {
  readonly flags: number;
  readonly type: number;
  /** Named in the reply. */
  readonly cookie: bigint;
  /** First byte; beyond 2^53 it is not exact. */
  readonly offset: number;
  /** Number of bytes, below 2^32. */
  readonly length: number;
}

/** A message as it is sent. */
export type Message = Uint8Array<ArrayBuffer>;

/** A run of bytes of an export. */
export interface Extent {
  readonly length: number;
  readonly isHole: boolean;
}

/** Writes big-endian fields one after the other. */
class Fields {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  #at = 0;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
    this.#view = new DataView(this.bytes.buffer);
  }

  u16(...values: number[]): this {
    for (const value of values) this.#view.setUint16(this.#move(2), value);
    return this;
  }

  u32(...values: number[]): this {
    for (const value of values) this.#view.setUint32(this.#move(4), value);
    return this;
  }

  u64(...values: (number | bigint)[]): this {
    for (const value of values) this.#view.setBigUint64(this.#move(8), BigInt(value));
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.#move(bytes.length));
    return this;
  }

  #move(length: number): number {
    this.#at += length;
    return this.#at - length;
  }
}

/** Reads big-endian fields one after the other. */
export class FieldReader {
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Number of bytes that were not read. */
  get left(): number {
    return this.#view.byteLength - this.#at;
  }

  /** @throws {RangeError} If the bytes end before; so do the others. */
  u16(): number {
    return this.#view.getUint16(this.#move(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#move(4));
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#move(8));
  }

  /** A string with its length before it. What is not UTF-8 becomes replacement characters. */
  string(): string {
    const length = this.u32();
    const at = this.#move(length);
    if (length > STRING_MAX_BYTES || this.left < 0) throw new RangeError("The string is too long");
    const { buffer, byteOffset } = this.#view;
    return new TextDecoder().decode(new Uint8Array(buffer, byteOffset + at, length));
  }

  #move(length: number): number {
    this.#at += length;
    return this.#at - length;
  }
}

/** What the server says first. */
export function hello(): Message {
  const flags = Hello.FIXED_NEWSTYLE | Hello.NO_ZEROES;
  return new Fields(18).u64(Hello.MAGIC, Hello.OPTION_MAGIC).u16(flags).bytes;
}

/** A reply to an option. */
export function optionReply(
  option: number,
  type: number,
  data: Uint8Array = new Uint8Array(0),
): Message {
  const head = new Fields(20 + data.length).u64(OPTION_REPLY_MAGIC).u32(option, type, data.length);
  return head.raw(data).bytes;
}

/** An option's reply with a sentence for people. */
export function optionError(option: number, type: number, text: string): Message {
  return optionReply(option, type, new TextEncoder().encode(text));
}

/** The data of a `SERVER` reply. */
export function serverData(name: string): Uint8Array {
  const bytes = new TextEncoder().encode(name);
  return new Fields(4 + bytes.length).u32(bytes.length).raw(bytes).bytes;
}

/** The data of a `META_CONTEXT` reply. */
export function contextData(id: number, name: string): Uint8Array {
  const bytes = new TextEncoder().encode(name);
  return new Fields(4 + bytes.length).u32(id).raw(bytes).bytes;
}

/** The data of an `INFO` reply: size and flags of an export. */
export function exportInfo(size: number, flags: number): Uint8Array {
  return new Fields(12).u16(Info.EXPORT).u64(size).u16(flags).bytes;
}

/** The data of an `INFO` reply: a text. */
export function textInfo(kind: number, text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  return new Fields(2 + bytes.length).u16(kind).raw(bytes).bytes;
}

/** The data of an `INFO` reply: least, preferred and largest length of a request. */
export function blockSizeInfo(least: number, preferred: number, most: number): Uint8Array {
  return new Fields(14).u16(Info.BLOCK_SIZE).u32(least, preferred, most).bytes;
}

/** The reply to `EXPORT_NAME`, which has no head. */
export function exportNameReply(size: number, flags: number, hasZeroes: boolean): Message {
  return new Fields(hasZeroes ? 134 : 10).u64(size).u16(flags).bytes;
}

/** Reads a request's head. @returns `null` if it does not begin as one. */
export function parseRequest(bytes: Uint8Array): Request | null {
  const fields = new FieldReader(bytes);
  if (fields.u32() !== REQUEST_MAGIC) return null;
  const flags = fields.u16(), type = fields.u16(), cookie = fields.u64();
  return { flags, type, cookie, offset: Number(fields.u64()), length: fields.u32() };
}

/** A simple reply; of a read that succeeded, the bytes follow. @param error 0 for success. */
export function simpleReply(cookie: bigint, error: number): Message {
  return new Fields(16).u32(SIMPLE_REPLY_MAGIC, error).u64(cookie).bytes;
}

/** The end of a structured reply that has said everything. */
export function doneChunk(cookie: bigint): Message {
  return chunk(cookie, ChunkType.NONE, { isLast: true, length: 0 }).bytes;
}

/** Where a part of a structured reply belongs. */
export interface ChunkPlace {
  /** First byte in the export. */
  readonly offset: number;
  /** Whether it ends the reply. */
  readonly isLast: boolean;
}

/** The head of a part of a structured reply to a read; `length` bytes of the export follow. */
export function dataChunkHead(
  cookie: bigint,
  { offset, isLast }: ChunkPlace,
  length: number,
): Message {
  return chunk(cookie, ChunkType.OFFSET_DATA, { isLast, length: 8 + length, follows: length })
    .u64(offset)
    .bytes;
}

/** A part of a structured reply: zeros of the export. */
export function holeChunk(
  cookie: bigint,
  { offset, isLast }: ChunkPlace,
  length: number,
): Message {
  return chunk(cookie, ChunkType.OFFSET_HOLE, { isLast, length: 12 })
    .u64(offset)
    .u32(length)
    .bytes;
}

/** A structured reply: what is data and what a hole. */
export function blockStatusChunk(
  cookie: bigint,
  contextId: number,
  extents: readonly Extent[],
): Message {
  const length = 4 + 8 * extents.length;
  const status = chunk(cookie, ChunkType.BLOCK_STATUS, { isLast: true, length }).u32(contextId);
  for (const { length, isHole } of extents) status.u32(length, isHole ? HOLE_AND_ZERO : 0);
  return status.bytes;
}

/** The end of a structured reply: an error, with a sentence for people. */
export function errorChunk(cookie: bigint, error: number, text: string): Message {
  const message = new TextEncoder().encode(text).subarray(0, STRING_MAX_BYTES);
  return chunk(cookie, ChunkType.ERROR, { isLast: true, length: 6 + message.length })
    .u32(error)
    .u16(message.length)
    .raw(message)
    .bytes;
}

/** What a chunk consists of. */
interface ChunkForm {
  readonly isLast: boolean;
  /** Length of its payload, which is to be written behind its head. */
  readonly length: number;
  /** Bytes of the payload, at its end, that are no part of the message. */
  readonly follows?: number;
}

/** Begins a chunk. */
function chunk(
  cookie: bigint,
  type: number,
  { isLast, length, follows = 0 }: ChunkForm,
): Fields {
  return new Fields(20 + length - follows)
    .u32(STRUCTURED_REPLY_MAGIC)
    .u16(isLast ? CHUNK_DONE : 0, type)
    .u64(cookie)
    .u32(length);
}
