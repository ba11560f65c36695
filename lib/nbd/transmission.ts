/**
 * The second half of a connection: the client reads and writes an export.
 *
 * Requests are served side by side, and their replies are sent in the order in which they are
 * ready, from the pages in which chunks were decoded. Requests wait while too much is under way
 * (`budget.ts`), so that a client that does not read its replies costs little memory.
 *
 * @module
 */

import { BackyError } from "../errors.ts";
import { errnoFor } from "../image_access/errno.ts";
import { joined } from "../image_access/read_bytes.ts";
import { type Budget, PIECE_BYTES } from "./budget.ts";
import { ClientError, type Connection } from "./connection.ts";
import { ALLOCATION_ID, REQUEST_MAX_BYTES, type Session } from "./handshake.ts";
import {
  blockStatusChunk,
  Command,
  CommandFlag,
  dataChunkHead,
  doneChunk,
  errorChunk,
  type Extent,
  holeChunk,
  type Message,
  NbdError,
  parseRequest,
  type Request,
  REQUEST_BYTES,
  simpleReply,
} from "./protocol.ts";

/**
 * While so many bytes are under way, new requests are read when others are done, many at once: to
 * be told of each that has come takes this thread longer than to answer it. A client that takes no
 * replies may still send requests.
 */
const BUSY_BYTES = 8 * 1024 * 1024, BUSY_PAUSE_MS = 10;

/** Most extents of one reply, 8 bytes each; the client asks for the rest. */
const EXTENTS_MAX = 4096;

/** From so many bytes on, a reply is sent from its pages; of less, a copy costs no more. */
const KEEP_MIN_BYTES = 32_768;

/** A request cannot be served; the client hears why. */
class RequestError extends Error {
  readonly error: number;

  constructor(error: number, message: string) {
    super(message);
    this.error = error;
  }
}

/** What a client's requests are served with. */
interface Service {
  readonly connection: Connection;
  readonly session: Session;
  readonly budget: Budget;
}

/**
 * Serves a client until it goes.
 *
 * @param session.export Stays open.
 * @throws {ClientError} If it does not speak the protocol.
 * @throws {ClosedError} If it has gone without a word.
 */
export async function transmit(
  connection: Connection,
  session: Session,
  budget: Budget,
): Promise<void> {
  const service = { connection, session, budget };
  const share = budget.share();
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
  await share.empty();
  if (failure !== null) throw (failure as { error: unknown }).error;

  /** Reads requests until the client says goodbye, and has them answered. */
  async function receive(): Promise<void> {
    for (;;) {
      if (share.used >= BUSY_BYTES && !connection.hasReceived) await share.pause(BUSY_PAUSE_MS);
      const request = parseRequest(await connection.readBriefly(REQUEST_BYTES));
      if (request === null) throw new ClientError("what it sent is no request");
      if (request.type === Command.DISCONNECT) return;
      const cost = await share.enter(request.length);
      try {
        const isWrite = request.type === Command.WRITE;
        const act = isWrite ? await receiveWrite(service, request) : () => serve(service, request);
        void answer(service, request, act).catch(fail).finally(() => share.leave(cost));
      } catch (error) {
        share.leave(cost);
        throw error;
      }
    }
  }
}

/**
 * Receives the bytes of a write, and writes all pieces but the last. After a failure the others are
 * skipped.
 *
 * @returns What completes the write, while other requests are received.
 * @throws {ClosedError} If the client has gone.
 */
async function receiveWrite(
  { connection, session }: Service,
  request: Request,
): Promise<() => Promise<void>> {
  const { offset, length } = request;
  let act = async () => {
    requireAllowed(session, request);
    if (length > REQUEST_MAX_BYTES) throw tooLong();
    await Promise.resolve();
  };
  for (let left = length; left > 0;) {
    try {
      await act();
    } catch (error) {
      await connection.skip(left);
      return () => Promise.reject(error);
    }
    const data = await connection.read(Math.min(PIECE_BYTES, left));
    const at = offset + length - left;
    act = async () => await session.export.write(at, data);
    left -= data.length;
  }
  return async () => {
    await act();
    await sendDone({ connection, session }, request);
  };
}

/** @throws Whatever is not to be told to the client: that it has gone, or a bug. */
async function answer(
  { connection, session: { isStructured } }: Service,
  request: Request,
  act: () => Promise<void>,
): Promise<void> {
  const { cookie } = request;
  try {
    await act();
  } catch (error) {
    const { code, text } = describeFailure(error, request);
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

/** Serves any request but a write. */
async function serve(service: Service, request: Request): Promise<void> {
  const { connection, session } = service;
  const { type, flags, cookie, length } = request;
  requireAllowed(session, request);
  switch (type) {
    case Command.READ:
      if (length > REQUEST_MAX_BYTES) throw tooLong();
      return await read(service, request);
    case Command.WRITE_ZEROES:
      await writeZeros(service, request);
      return await sendDone(service, request);
    case Command.TRIM:
    case Command.FLUSH:
      // Changes are kept in memory for as long as the server runs; there is nothing to flush.
      return await sendDone(service, request);
    case Command.BLOCK_STATUS: {
      if (!session.hasAllocation) {
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

function sendDone(
  { connection, session }: Pick<Service, "connection" | "session">,
  { cookie }: Request,
): Promise<void> {
  return connection.send(session.isStructured ? doneChunk(cookie) : simpleReply(cookie, 0));
}

/** @throws {RequestError} If the export does not allow what is asked for. */
function requireAllowed({ export: target }: Session, request: Request): void {
  const { type, flags, offset, length } = request;
  const isWrite = type === Command.WRITE || type === Command.WRITE_ZEROES || type === Command.TRIM;
  requireFlags(type, flags);
  if (isWrite && !target.isWritable) {
    throw new RequestError(NbdError.EPERM, "the export is read-only");
  }
  if (type !== Command.FLUSH && offset + length > target.size) {
    const error = isWrite ? NbdError.ENOSPC : NbdError.EINVAL;
    throw new RequestError(error, `it reaches beyond the export's ${target.size} bytes`);
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
async function read(service: Service, request: Request): Promise<void> {
  const { connection, session: { export: source, isStructured } } = service;
  const { cookie, offset, length, flags } = request;
  const end = offset + length;
  if (!isStructured) return await sendWhole(service, request, simpleReply(cookie, 0));
  if (length === 0) return await connection.send(doneChunk(cookie));
  if (flags & CommandFlag.DF) {
    const head = dataChunkHead(cookie, { offset, isLast: true }, length);
    return await sendWhole(service, request, head);
  }
  for (let at = offset; at < end;) {
    const data = Math.min(end, source.seek(at, "data"));
    const isHole = data > at;
    const runEnd = isHole ? data : Math.min(end, source.seek(at, "hole"), at + PIECE_BYTES);
    const place = { offset: at, isLast: runEnd === end };
    const length = runEnd - at;
    if (isHole) await connection.send(holeChunk(cookie, place, length));
    else {
      const head = dataChunkHead(cookie, place, length);
      await sendBytes(service, { offset: at, length }, (bytes) => connection.send(head, ...bytes));
    }
    at = runEnd;
  }
}

/** Bytes of an export. */
interface Range {
  readonly offset: number;
  readonly length: number;
}

/** Sends a head and the bytes that belong behind it, however many. */
async function sendWhole(service: Service, range: Range, head: Message): Promise<void> {
  const { connection, session: { export: source } } = service;
  if (range.length <= PIECE_BYTES) {
    return await sendBytes(service, range, (bytes) => connection.send(head, ...bytes));
  }
  // Once the head is sent, nothing can be refused any more.
  for (const { offset, length } of piecesOf(range)) {
    connection.requireOpen();
    (await source.read(offset, length)).release();
  }
  await connection.sendInPieces(async (send) => {
    await send([head]);
    try {
      for (const piece of piecesOf(range)) await sendBytes(service, piece, send);
    } catch (error) {
      if (!(error instanceof BackyError)) throw error;
      const text = `the rest of a reply could not be sent to it: ${error.message}`;
      throw new ClientError(text, { cause: error });
    }
  });
}

function* piecesOf({ offset, length }: Range): Generator<Range> {
  for (let done = 0; done < length; done += PIECE_BYTES) {
    yield { offset: offset + done, length: Math.min(PIECE_BYTES, length - done) };
  }
}

/** Reads bytes and sends them, if possible from where they lie. */
async function sendBytes(
  { session, budget }: Service,
  { offset, length }: Range,
  send: (bytes: readonly Uint8Array[]) => Promise<void>,
): Promise<void> {
  const bytes = await session.export.read(offset, length);
  const { views, pages, release } = bytes;
  const found = views.reduce((sum, view) => sum + view.length, 0);
  // Bytes that are not of this read must not be sent to anybody.
  if (found !== length) {
    release();
    throw new TypeError(`Cannot send ${length} bytes: ${found} were read`);
  }
  if (length < KEEP_MIN_BYTES || !budget.mayKeep(pages)) return await send([joined(bytes)]);
  try {
    await send(views);
  } finally {
    budget.endKeeping(pages);
    release();
  }
}

/** Overwrites with zeros what is not zeros already. */
async function writeZeros(
  { connection, session: { export: target } }: Service,
  request: Request,
): Promise<void> {
  const end = request.offset + request.length;
  for (let at = request.offset; at < end;) {
    connection.requireOpen();
    const data = target.seek(at, "data");
    if (data >= end) return;
    if (data > at) {
      at = data;
      continue;
    }
    // A chunk that is overwritten as a whole need not be loaded.
    const runEnd = Math.min(end, target.seek(at, "hole"), target.chunkEnd(at));
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
