/**
 * Every error a caller may want to tell apart, and the form in which an error crosses from a
 * worker.
 *
 * Messages state the action first, quote identifiers, put the state after a colon and carry no
 * final period, so that `backy-extract: ${message}` is a whole line for a user.
 *
 * @module
 */

import { CodedError as BackyError, OsError } from "./linux/os_error.ts";

/** Which of a chunk's properties was found wrong. */
export type ChunkFault = "header" | "encoding" | "size" | "hash";

/** Base of all errors that this project raises on purpose; anything else that surfaces is a bug. */
export { BackyError, OsError };

/** The command line asks for something that does not exist or contradicts itself. */
export class UsageError extends BackyError {
  /** Names the class where an error is data: in JSON output and between threads. */
  override readonly code = "usage";
}

/** The purge lock could not be taken. */
export class LockError extends BackyError {
  /** Names the class where an error is data: in JSON output and between threads. */
  override readonly code = "lock";
}

/** A directory is not a backup directory, or one in a format that is not understood. */
export class StoreFormatError extends BackyError {
  /** Names the class where an error is data: in JSON output and between threads. */
  override readonly code = "store-format";
  /** The directory, or the file in it that tells the format. */
  readonly path: string;

  /** Takes a message for users, and what the message is about. */
  constructor(message: string, fields: { path: string }, options?: ErrorOptions) {
    super(message, options);
    this.path = fields.path;
  }
}

/**
 * A revision that a user may have meant. Texts are as in the store: quote them before they are
 * shown.
 */
export interface RevisionCandidate {
  /** Its uuid. */
  readonly name: string;
  /** The backup's start in ISO 8601, in UTC; `null` if it is unknown. */
  readonly time: string | null;
  /** Its tags, as in the metadata. */
  readonly tags: readonly string[];
}

/**
 * A revision does not exist or is not the only one meant, or its map or metadata cannot be
 * understood.
 */
export class RevisionError extends BackyError {
  /** Names the class where an error is data: in JSON output and between threads. */
  override readonly code = "revision";
  /** The revision as it was asked for, its map or its metadata file. */
  readonly path: string;
  /** Candidates if the spec was ambiguous, else empty. */
  readonly candidates: readonly RevisionCandidate[];

  /** Takes a message for users, and what the message is about. */
  constructor(
    message: string,
    fields: { path: string; candidates?: readonly RevisionCandidate[] },
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.path = fields.path;
    this.candidates = fields.candidates ?? [];
  }
}

/** A chunk file that a revision needs is absent or cannot be read. */
export class ChunkMissingError extends BackyError {
  /** Names the class where an error is data: in JSON output and between threads. */
  override readonly code = "chunk-missing";
  /** 32 lower-case hex digits. */
  readonly chunkId: string;
  /**
   * Numbers of the chunk's first places in the image, ascending; empty where the caller does not
   * know them.
   */
  readonly seqs: readonly number[];
  /** Number of all its places; there may be millions. */
  readonly seqCount: number;
  /** The file of the chunk. */
  readonly path: string;

  /** Takes a message for users, and what the message is about. */
  constructor(
    message: string,
    fields: { chunkId: string; seqs: readonly number[]; seqCount?: number; path: string },
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.chunkId = fields.chunkId;
    this.seqs = fields.seqs;
    this.seqCount = fields.seqCount ?? fields.seqs.length;
    this.path = fields.path;
  }
}

/** A chunk file was read and is not what its name says. */
export class ChunkCorruptError extends BackyError {
  /** Names the class where an error is data: in JSON output and between threads. */
  override readonly code = "chunk-corrupt";
  /** 32 lower-case hex digits. */
  readonly chunkId: string;
  /**
   * Numbers of the chunk's first places in the image, ascending; empty where the caller does not
   * know them.
   */
  readonly seqs: readonly number[];
  /** Number of all its places; there may be millions. */
  readonly seqCount: number;
  /** The file of the chunk. */
  readonly path: string;
  /** What is wrong with it. */
  readonly reason: ChunkFault;

  /** Takes a message for users, and what the message is about. */
  constructor(
    message: string,
    fields: {
      chunkId: string;
      seqs: readonly number[];
      seqCount?: number;
      path: string;
      reason: ChunkFault;
    },
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.chunkId = fields.chunkId;
    this.seqs = fields.seqs;
    this.seqCount = fields.seqCount ?? fields.seqs.length;
    this.path = fields.path;
    this.reason = fields.reason;
  }
}

/** Whether an error says that a chunk is missing or damaged, not that something else went wrong. */
export function isChunkFault(error: unknown): error is ChunkMissingError | ChunkCorruptError {
  return error instanceof ChunkMissingError || error instanceof ChunkCorruptError;
}

/** The target was refused, failed while it was written, or is no longer under its name. */
export class TargetError extends BackyError {
  /** Names the class where an error is data: in JSON output and between threads. */
  override readonly code = "target";
  /** The target as it was named. */
  readonly path: string;
  /** Byte of the image at which writing failed; `null` where no byte is concerned. */
  readonly offset: number | null;
  /** Whether `path` leads to something else, or to nothing, since the target was opened. */
  readonly isDisplaced: boolean;

  /** Takes a message for users, and what the message is about. */
  constructor(
    message: string,
    fields: { path: string; offset: number | null; isDisplaced?: boolean },
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.path = fields.path;
    this.offset = fields.offset;
    this.isDisplaced = fields.isDisplaced ?? false;
  }
}

/** The image could not be mounted. */
export class MountError extends BackyError {
  /** Names the class where an error is data: in JSON output and between threads. */
  override readonly code = "mount";
}

/**
 * The signals by which a person, a service manager or the end of a terminal asks a program to end.
 */
export const END_SIGNALS = ["SIGHUP", "SIGINT", "SIGTERM"] as const;

/** One of {@linkcode END_SIGNALS}. */
export type EndSignal = typeof END_SIGNALS[number];

/** A signal asked the program to end. */
export class InterruptedError extends BackyError {
  /** Names the class where an error is data: in JSON output and between threads. */
  override readonly code = "interrupted";
  /** The signal that came. */
  readonly signal: EndSignal;

  /** Takes a message for users, and what the message is about. */
  constructor(message: string, fields: { signal: EndSignal }, options?: ErrorOptions) {
    super(message, options);
    this.signal = fields.signal;
  }
}

/** The system gives less than the least that a run needs: descriptors, threads, memory. */
export class ResourceError extends BackyError {
  /** Names the class where an error is data: in JSON output and between threads. */
  override readonly code = "resources";
}

/** A worker ended or misbehaved; always a bug or a lack of memory, never the data's fault. */
export class WorkerError extends BackyError {
  /** Names the class where an error is data: in JSON output and between threads. */
  override readonly code = "worker";
}

/**
 * An error as plain data. An Error subclass that is posted from a worker arrives as a plain `Error`
 * (structured clone knows the built-in classes only), so its class and fields travel like this.
 */
export interface WireError {
  /** As in the class; "" for an error that is not one of these classes. */
  readonly code: string;
  /** As in `Error`. */
  readonly message: string;
  /** As in `Error`: where it was thrown. */
  readonly stack: string | undefined;
  /** The properties of its class. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** As in `Error`. */
  readonly cause: WireError | undefined;
}

// deno-lint-ignore no-explicit-any
type ErrorClass = new (message: string, fields: any, options?: ErrorOptions) => BackyError;

const withFields: Readonly<Record<string, ErrorClass>> = {
  "store-format": StoreFormatError,
  "revision": RevisionError,
  "chunk-missing": ChunkMissingError,
  "chunk-corrupt": ChunkCorruptError,
  "target": TargetError,
  "interrupted": InterruptedError,
  "os": OsError,
};

const withoutFields: Readonly<
  Record<string, new (message: string, options?: ErrorOptions) => BackyError>
> = {
  "usage": UsageError,
  "lock": LockError,
  "mount": MountError,
  "resources": ResourceError,
  "worker": WorkerError,
};

/**
 * Turns any thrown value into plain data that survives `postMessage`.
 *
 * @param error What was caught; a foreign error keeps its message and stack under code "foreign".
 */
export function toWireError(error: unknown): WireError {
  if (!(error instanceof Error)) {
    return {
      code: "foreign",
      message: String(error),
      stack: undefined,
      fields: {},
      cause: undefined,
    };
  }
  const cause = error.cause === undefined ? undefined : toWireError(error.cause);
  if (!(error instanceof BackyError)) {
    const message = `${error.name}: ${error.message}`;
    return { code: "foreign", message, stack: error.stack, fields: {}, cause };
  }
  const { name: _name, cause: _cause, code, ...fields } = { ...error };
  return { code, message: error.message, stack: error.stack, fields, cause };
}

/**
 * Rebuilds what {@linkcode toWireError} took apart.
 *
 * @returns An error of the class that was thrown; a {@linkcode WorkerError} for a foreign one.
 */
export function fromWireError(wire: WireError): BackyError {
  const options = wire.cause === undefined ? undefined : { cause: fromWireError(wire.cause) };
  const Fields = withFields[wire.code];
  const Plain = withoutFields[wire.code] ?? WorkerError;
  const error = Fields
    ? new Fields(wire.message, wire.fields, options)
    : new Plain(wire.message, options);
  if (wire.stack !== undefined) error.stack = wire.stack;
  return error;
}
