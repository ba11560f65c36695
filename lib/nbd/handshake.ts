/**
 * The first half of a connection: the client asks what there is, and chooses an export.
 *
 * @module
 */

import { BackyError } from "../errors.ts";
import { ClientError, type Connection } from "./connection.ts";
import { type Export, type Exports, LIST_MAX } from "./exports.ts";
import {
  blockSizeInfo,
  contextData,
  ExportFlag,
  exportInfo,
  exportNameReply,
  FieldReader,
  Hello,
  hello,
  Info,
  Option,
  OPTION_HEAD_BYTES,
  optionError,
  OptionReply,
  optionReply,
  serverData,
  textInfo,
} from "./protocol.ts";

/** What the client has chosen. */
export interface Session {
  /** Opened; to be closed by whoever gets it. */
  readonly export: Export;
  /** Whether replies are structured. */
  readonly isStructured: boolean;
  /** Whether the client may ask for block status. */
  readonly hasAllocation: boolean;
}

/** The one context that is known: what is data and what are holes. */
const ALLOCATION = "base:allocation";

/** Its number in replies. */
export const ALLOCATION_ID = 1;

/** Most bytes of a read or write: what clients assume if nobody tells them. */
export const REQUEST_MAX_BYTES = 32 * 1024 * 1024;

/** The length of request that suits best: what the kernel and qemu use as their largest. */
const PREFERRED_BYTES = 1_048_576;

/** The longest option: a name and some hundred queries. */
const OPTION_MAX_BYTES = 65_536;

/** More options than any client sends: to list exports takes some two for each. */
const OPTIONS_MAX = 4 * LIST_MAX;

/**
 * Negotiates with a client.
 *
 * @returns What it has chosen; `null` if it has said goodbye.
 * @throws {ClientError} If it does not speak the protocol.
 * @throws {ClosedError} If it has gone.
 */
export async function negotiate(connection: Connection, exports: Exports): Promise<Session | null> {
  await connection.send(hello());
  const flags = new FieldReader(await connection.read(4)).u32();
  const known = Hello.FIXED_NEWSTYLE | Hello.NO_ZEROES;
  if ((flags & ~known) !== 0 || (flags & Hello.FIXED_NEWSTYLE) === 0) {
    throw new ClientError(`its flags 0x${(flags >>> 0).toString(16)} are not those of NBD clients`);
  }
  const state: NegotiationState = {
    connection,
    exports,
    hasZeroes: (flags & Hello.NO_ZEROES) === 0,
    isStructured: false,
    contextOf: null,
  };
  for (let count = 0; count < OPTIONS_MAX; count++) {
    const head = new FieldReader(await connection.read(OPTION_HEAD_BYTES));
    if (head.u64() !== Hello.OPTION_MAGIC) throw new ClientError("what it sent is no option");
    const option = head.u32(), length = head.u32();
    if (length > OPTION_MAX_BYTES) {
      throw new ClientError(`option ${option} has ${length} bytes`);
    }
    const answer = await answerOption(state, option, await connection.read(length));
    if (answer !== "next") return answer;
  }
  throw new ClientError(`it sent ${OPTIONS_MAX} options`);
}

interface NegotiationState {
  readonly connection: Connection;
  readonly exports: Exports;
  readonly hasZeroes: boolean;
  isStructured: boolean;
  /** The export for which "base:allocation" was chosen. */
  contextOf: string | null;
}

type Answer = Session | null | "next";

async function answerOption(
  state: NegotiationState,
  option: number,
  data: Uint8Array<ArrayBuffer>,
): Promise<Answer> {
  const { connection } = state;
  const reply = async (type: number, bytes?: Uint8Array): Promise<"next"> => {
    await connection.send(optionReply(option, type, bytes));
    return "next";
  };
  const refuse = async (type: number, text: string): Promise<"next"> => {
    await connection.send(optionError(option, type, text));
    return "next";
  };
  try {
    switch (option) {
      case Option.EXPORT_NAME:
        return await chooseByName(state, new TextDecoder().decode(data));
      case Option.ABORT:
        await reply(OptionReply.ACK);
        return null;
      case Option.LIST: {
        if (data.length > 0) return await refuse(OptionReply.ERR_INVALID, "LIST has no data");
        for (const name of await state.exports.list()) {
          await reply(OptionReply.SERVER, serverData(name));
        }
        return await reply(OptionReply.ACK);
      }
      case Option.STRUCTURED_REPLY:
        if (data.length > 0) return await refuse(OptionReply.ERR_INVALID, "it has no data");
        state.isStructured = true;
        return await reply(OptionReply.ACK);
      case Option.INFO:
      case Option.GO:
        return await describe(state, option, data);
      case Option.LIST_META_CONTEXT:
      case Option.SET_META_CONTEXT:
        return await chooseContexts(state, option, data);
      case Option.STARTTLS:
        return await refuse(OptionReply.ERR_POLICY, "this server has no TLS");
      default:
        return await refuse(OptionReply.ERR_UNSUP, "unknown option");
    }
  } catch (error) {
    if (error instanceof RangeError) {
      return await refuse(OptionReply.ERR_INVALID, "the option's lengths do not fit together");
    }
    if (error instanceof BackyError) return await refuse(OptionReply.ERR_UNKNOWN, error.message);
    throw error;
  }
}

/** `EXPORT_NAME` cannot be refused but by ending the connection. */
async function chooseByName(state: NegotiationState, name: string): Promise<Session> {
  let chosen: Export;
  try {
    chosen = await state.exports.open(name);
  } catch (error) {
    if (error instanceof BackyError) throw new ClientError(error.message, { cause: error });
    throw error;
  }
  try {
    await state.connection.send(
      exportNameReply(chosen.size, flagsOf(chosen, state), state.hasZeroes),
    );
  } catch (error) {
    chosen.close();
    throw error;
  }
  return sessionOf(state, chosen, name);
}

/** `INFO` and `GO`: tells about an export; `GO` chooses it, too. */
async function describe(
  state: NegotiationState,
  option: number,
  data: Uint8Array,
): Promise<Answer> {
  const { connection, exports } = state;
  const fields = new FieldReader(data);
  const name = fields.string();
  const wanted = Array.from({ length: fields.u16() }, () => fields.u16());
  if (fields.left !== 0) throw new RangeError("Bytes are left");
  const found = await exports.open(name);
  const info = (data: Uint8Array) => connection.send(optionReply(option, OptionReply.INFO, data));
  try {
    if (wanted.includes(Info.NAME)) await info(textInfo(Info.NAME, found.name));
    if (wanted.includes(Info.DESCRIPTION)) {
      await info(textInfo(Info.DESCRIPTION, found.description));
    }
    await info(blockSizeInfo(1, PREFERRED_BYTES, REQUEST_MAX_BYTES));
    await info(exportInfo(found.size, flagsOf(found, state)));
    await connection.send(optionReply(option, OptionReply.ACK));
  } catch (error) {
    found.close();
    throw error;
  }
  if (option === Option.GO) return sessionOf(state, found, name);
  found.close();
  return "next";
}

/** `LIST_META_CONTEXT` and `SET_META_CONTEXT`. */
async function chooseContexts(
  state: NegotiationState,
  option: number,
  data: Uint8Array,
): Promise<"next"> {
  const { connection, exports } = state;
  const fields = new FieldReader(data);
  const name = fields.string();
  const count = fields.u32();
  // Memory for as many as it says is not made on its word: each has its length, at least.
  if (count > fields.left / 4) throw new RangeError("Bytes are missing");
  const queries = Array.from({ length: count }, () => fields.string());
  if (fields.left !== 0) throw new RangeError("Bytes are left");
  const isChoice = option === Option.SET_META_CONTEXT;
  if (isChoice) state.contextOf = null;
  if (isChoice && !state.isStructured) {
    await connection.send(
      optionError(option, OptionReply.ERR_INVALID, "STRUCTURED_REPLY must come before"),
    );
    return "next";
  }
  // Fails if there is no such export.
  (await exports.open(name)).close();
  const isMeant = isChoice
    ? queries.includes(ALLOCATION)
    : queries.length === 0 || queries.some((query) => query === "base:" || query === ALLOCATION);
  if (isMeant) {
    const id = isChoice ? ALLOCATION_ID : 0;
    const context = contextData(id, ALLOCATION);
    await connection.send(optionReply(option, OptionReply.META_CONTEXT, context));
    if (isChoice) state.contextOf = name;
  }
  await connection.send(optionReply(option, OptionReply.ACK));
  return "next";
}

function sessionOf(state: NegotiationState, chosen: Export, name: string): Session {
  const { isStructured, contextOf } = state;
  return { export: chosen, isStructured, hasAllocation: isStructured && contextOf === name };
}

function flagsOf({ isWritable }: Export, { isStructured }: NegotiationState): number {
  // Clients may use several connections: all see the same changes at once.
  let flags: number = ExportFlag.HAS_FLAGS | ExportFlag.CAN_MULTI_CONN;
  if (isStructured) flags |= ExportFlag.SEND_DF;
  if (!isWritable) return flags | ExportFlag.READ_ONLY;
  const { SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES } = ExportFlag;
  return flags | SEND_FLUSH | SEND_FUA | SEND_TRIM | SEND_WRITE_ZEROES;
}
