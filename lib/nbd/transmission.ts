/**
 * The second half of a connection: the client reads and writes an export.
 *
 * Requests are served side by side, and their replies are sent in the order in which they are
 * ready. Requests wait while the bytes that are under way for the client reach a limit, so that one
 * that does not read its replies costs no memory.
 *
 * @module
 */

import { BackyError } from "../errors.ts";
import { errnoFor } from "../image_access/errno.ts";
import { copyBytes } from "../linux/copy_bytes.ts";
import { ClientError, type Connection } from "./connection.ts";
import { ALLOCATION_ID, REQUEST_MAX_BYTES, type Session } from "./handshake.ts";
import {
  blockStatusChunk,
  Command,
  CommandFlag,
  dataChunk,
  doneChunk,
  errorChunk,
  type Extent,
  holeChunk,
  type Message,
  NbdError,
  parseRequest,
  READ_HEAD_BYTES,
  type ReadReply,
  readReply,
  type Request,
  REQUEST_BYTES,
  simpleReply,
} from "./protocol.ts";

/** Bytes that may be under way for a client: two of the largest requests. */
const WINDOW_BYTES = 2 * REQUEST_MAX_BYTES;

/** What a request counts at least: so many small ones may be under way. */
const REQUEST_COST = 65_536;

/** Most extents of one reply, 8 bytes each; the client asks for the rest. */
const EXTENTS_MAX = 4096;

/** Zeros are written in pieces of this size, and read replies split at it. */
const PIECE_BYTES = 4 * 1024 * 1024;

/** A request cannot be served; the client hears why. */
class RequestError extends Error {
  readonly error: number;

  constructor(error: number, message: string) {
    super(message);
    this.error = error;
  }
}

/**
 * Serves a client until it goes.
 *
 * @param session.export Stays open.
 * @throws {ClientError} If it does not speak the protocol.
 * @throws {ClosedError} If it has gone without a word.
 */
export async function transmit(connection: Connection, session: Session): Promise<void> {
  const window = new Window(WINDOW_BYTES);
  let failure: { readonly error: unknown } | null = null;
  const fail = (error: unknown) => {
    failure ??= { error };
    // Ends the wait for the next request.
    connection.close();
  };
  try {
    await receive();
  } catch (error) {
    fail(error);
  }
  // What was asked before is answered, or has failed.
  await window.empty();
  if (failure !== null) throw (failure as { error: unknown }).error;

  /** Reads requests until the client says goodbye, and has them answered. */
  async function receive(): Promise<void> {
    for (;;) {
      const request = parseRequest(await connection.read(REQUEST_BYTES));
      if (request === null) throw new ClientError("what it sent is no request");
      if (request.type === Command.DISCONNECT) return;
      const data = request.type === Command.WRITE ? await readPayload(connection, request) : null;
      const cost = Math.max(REQUEST_COST, Math.min(request.length, REQUEST_MAX_BYTES));
      await window.enter(cost);
      void answer(connection, session, request, data)
        .catch(fail)
        .finally(() => window.leave(cost));
    }
  }
}

/** Reads the bytes of a write; `null` if they are too many. */
async function readPayload(
  connection: Connection,
  { length }: Request,
): Promise<Uint8Array<ArrayBuffer> | null> {
  if (length <= REQUEST_MAX_BYTES) return await connection.read(length);
  await connection.skip(length);
  return null;
}

/** @throws Whatever is not to be told to the client: that it has gone, or a bug. */
async function answer(
  connection: Connection,
  session: Session,
  request: Request,
  data: Uint8Array<ArrayBuffer> | null,
): Promise<void> {
  const { cookie } = request;
  try {
    await serve(connection, session, request, data);
  } catch (error) {
    const { code, text } = describeFailure(error, request);
    const { isStructured } = session;
    await connection.send(
      isStructured ? errorChunk(cookie, code, text) : simpleReply(cookie, code),
    );
  }
}

function describeFailure(error: unknown, { type }: Request): { code: number; text: string } {
  if (error instanceof RequestError) return { code: error.error, text: error.message };
  // Its text may name paths of this host, but the client reads the whole backup anyway.
  if (error instanceof BackyError) {
    const isWrite = type !== Command.READ;
    return { code: errorCode(errnoFor(error, { isWrite })), text: error.message };
  }
  throw error;
}

function errorCode(errno: number): number {
  return Object.values<number>(NbdError).includes(errno) ? errno : NbdError.EIO;
}

async function serve(
  connection: Connection,
  session: Session,
  request: Request,
  data: Uint8Array<ArrayBuffer> | null,
): Promise<void> {
  const { export: target, isStructured, hasAllocation } = session;
  const { type, flags, cookie, offset, length } = request;
  const isWrite = type === Command.WRITE || type === Command.WRITE_ZEROES || type === Command.TRIM;
  requireFlags(type, flags);
  if (isWrite && !target.isWritable) {
    throw new RequestError(NbdError.EPERM, "the export is read-only");
  }
  if (type !== Command.FLUSH && offset + length > target.size) {
    const error = isWrite ? NbdError.ENOSPC : NbdError.EINVAL;
    throw new RequestError(error, `it reaches beyond the export's ${target.size} bytes`);
  }
  const done = () => connection.send(isStructured ? doneChunk(cookie) : simpleReply(cookie, 0));
  switch (type) {
    case Command.READ:
      if (length > REQUEST_MAX_BYTES) throw tooLong();
      return await read(connection, session, request);
    case Command.WRITE:
      if (data === null) throw tooLong();
      await target.write(offset, data);
      return await done();
    case Command.WRITE_ZEROES:
      await writeZeros(session, request);
      return await done();
    case Command.TRIM:
    case Command.FLUSH:
      // Changes are kept in memory for as long as the server runs; there is nothing to flush.
      return await done();
    case Command.BLOCK_STATUS: {
      if (!hasAllocation) {
        throw new RequestError(NbdError.EINVAL, '"base:allocation" was not chosen');
      }
      if (length === 0) throw new RequestError(NbdError.EINVAL, "it is about no bytes");
      const most = flags & CommandFlag.REQ_ONE ? 1 : EXTENTS_MAX;
      const extents = extentsOf(session, request, most);
      return await connection.send(blockStatusChunk(cookie, ALLOCATION_ID, extents));
    }
    default:
      throw new RequestError(NbdError.EINVAL, `unknown command ${type}`);
  }
}

/** Flags that change what a command does must not be ignored. */
function requireFlags(type: number, flags: number): void {
  const { FUA, NO_HOLE, DF, REQ_ONE } = CommandFlag;
  const known: Readonly<Record<number, number>> = {
    [Command.READ]: DF,
    [Command.WRITE_ZEROES]: NO_HOLE,
    [Command.BLOCK_STATUS]: REQ_ONE,
  };
  // FUA is allowed everywhere, and means nothing where nothing is written.
  if ((flags & ~(FUA | (known[type] ?? 0))) === 0) return;
  throw new RequestError(NbdError.EINVAL, `unknown flags 0x${flags.toString(16)}`);
}

function tooLong(): RequestError {
  const text = `more than ${REQUEST_MAX_BYTES} bytes at once`;
  return new RequestError(NbdError.EOVERFLOW, text);
}

/** Sends bytes: with structured replies, holes as such and each piece as soon as it is here. */
async function read(connection: Connection, session: Session, request: Request): Promise<void> {
  const { export: source, isStructured } = session;
  const { cookie, offset, length, flags } = request;
  const end = offset + length;
  if (!isStructured) {
    return await sendBytes(connection, session, {
      offset,
      length,
      frame: (memory) => readReply(cookie, length, memory),
    });
  }
  if (length === 0) return await connection.send(doneChunk(cookie));
  const isWhole = (flags & CommandFlag.DF) !== 0;
  for (let at = offset; at < end;) {
    const data = isWhole ? at : Math.min(end, source.seek(at, "data"));
    const isHole = data > at;
    const runEnd = isWhole
      ? end
      : isHole
      ? data
      : Math.min(end, source.seek(at, "hole"), at + PIECE_BYTES);
    const place = { offset: at, isLast: runEnd === end };
    const length = runEnd - at;
    if (isHole) await connection.send(holeChunk(cookie, place, length));
    else {
      const frame = (memory: Message) => dataChunk(cookie, place, { length, memory });
      await sendBytes(connection, session, { offset: at, length, frame });
    }
    at = runEnd;
  }
}

/** Sends one message with bytes of the export. */
async function sendBytes(
  connection: Connection,
  { export: source }: Session,
  reply: { offset: number; length: number; frame: (memory: Message) => ReadReply },
): Promise<void> {
  const { offset, length, frame } = reply;
  const { views, release } = await source.read(offset, length);
  const memory = connection.memory.take(READ_HEAD_BYTES + length);
  const { message, data } = frame(memory);
  // Pages are shared memory, which the runtime does not send.
  let at = 0;
  for (const view of views) {
    copyBytes(data.subarray(at), view);
    at += view.length;
  }
  release();
  // Bytes that are not of this read must not be sent to anybody.
  if (at !== data.length) throw new TypeError(`Cannot send ${data.length} bytes: ${at} were read`);
  await connection.send(message);
  // After a failure the runtime may be sending it still.
  connection.memory.giveBack(memory);
}

/** Overwrites with zeros what is not zeros already. */
async function writeZeros({ export: target }: Session, request: Request): Promise<void> {
  const end = request.offset + request.length;
  for (let at = request.offset; at < end;) {
    const data = target.seek(at, "data");
    if (data >= end) return;
    if (data > at) {
      at = data;
      continue;
    }
    const runEnd = Math.min(end, target.seek(at, "hole"), at + PIECE_BYTES);
    await target.write(at, new Uint8Array(runEnd - at));
    at = runEnd;
  }
}

/** What is data and what a hole, from the start of the request on. */
function extentsOf({ export: source }: Session, request: Request, most: number): Extent[] {
  const end = request.offset + request.length;
  const extents: Extent[] = [];
  for (let at = request.offset; at < end && extents.length < most;) {
    const data = Math.min(end, source.seek(at, "data"));
    const isHole = data > at;
    const runEnd = isHole ? data : Math.min(end, source.seek(at, "hole"));
    extents.push({ length: runEnd - at, isHole });
    at = runEnd;
  }
  return extents;
}

/** Bounds what is under way at once. */
class Window {
  readonly #capacity: number;
  #used = 0;
  #waiting: (() => void) | null = null;
  #emptied: (() => void) | null = null;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Waits until there is room; one caller at a time. */
  async enter(cost: number): Promise<void> {
    while (this.#used > 0 && this.#used + cost > this.#capacity) {
      await new Promise<void>((resolve) => this.#waiting = resolve);
    }
    this.#used += cost;
  }

  leave(cost: number): void {
    this.#used -= cost;
    this.#waiting?.();
    this.#waiting = null;
    if (this.#used === 0) this.#emptied?.();
  }

  /** Waits until nothing is under way. */
  async empty(): Promise<void> {
    if (this.#used > 0) await new Promise<void>((resolve) => this.#emptied = resolve);
  }
}
