/**
 * Opens chunk files, carefully: a name in an untrusted store may be anything.
 *
 * @module
 */

import { ChunkCorruptError, ChunkMissingError, isChunkFault, OsError } from "../errors.ts";
import { adviceForLack, Errno } from "../linux/errno.ts";
import { openFd, OpenFlag } from "../linux/libc.ts";
import { chunkRelativePath } from "../store/layout.ts";
import { quote } from "../wording.ts";
import { type ChunkRef, describeChunk, seqFields } from "./chunk_ref.ts";

// Should a regular file be replaced in the moment before it is opened: opening must not hang on a
// FIFO or take over a terminal.
const CHUNK_OPEN_FLAGS = OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK | OpenFlag.O_NOCTTY;

const ASK_FOR_PERMISSION = "run this as a user who may read it (see ls -l)";
const BRING_BACK = "bring the storage of the backup back";

/**
 * What says nothing of the chunk's content: to report damage, or to leave zeros in its place, would
 * be wrong. With what to do about it. Everything else is the chunk's: it is not there, or, as with
 * EIO, it cannot be read and will not be. Sources: open(2), read(2), nfs(5), fscrypt.rst; a file
 * system on a disk that fails says EIO, EUCLEAN or EBADMSG.
 */
const NOT_THE_CHUNKS: ReadonlyMap<number, string> = new Map([
  ...[Errno.EACCES, Errno.EPERM].map((errno) => [errno, ASK_FOR_PERMISSION] as const),
  ...[Errno.ENOKEY, Errno.EKEYEXPIRED, Errno.EKEYREVOKED, Errno.EKEYREJECTED].map((errno) =>
    [errno, "unlock its encrypted directory"] as const
  ),
  // A lease of the file's writer is in the way, or it is being swapped on.
  ...[Errno.EAGAIN, Errno.EBUSY].map((errno) => [errno, "try again"] as const),
  // The server or the device is gone, or FUSE's process has died.
  ...[
    ...[Errno.ENOTCONN, Errno.ECONNABORTED, Errno.ECONNREFUSED, Errno.ECONNRESET],
    ...[Errno.ENETDOWN, Errno.ENETUNREACH, Errno.ENETRESET, Errno.EHOSTDOWN, Errno.EHOSTUNREACH],
    ...[Errno.ETIMEDOUT, Errno.ESHUTDOWN, Errno.ESTALE, Errno.ENOLINK],
    ...[Errno.ENODEV, Errno.ENOMEDIUM],
  ].map((errno) => [errno, BRING_BACK] as const),
]);

/** Returns the path of a chunk's file. @throws {RangeError} If `id` is not a chunk id. */
export function chunkPath(basedir: string, id: string): string {
  return `${basedir}/${chunkRelativePath(id)}`;
}

/**
 * Opens a chunk's file for reading.
 *
 * @returns A descriptor, owned by the caller.
 * @throws {ChunkMissingError} If there is none, or it cannot be opened or is not a regular file.
 * @throws {ChunkCorruptError} If it is empty.
 * @throws {OsError} If that says nothing of the chunk: it may not be read, its storage is gone,
 *   descriptors are short.
 */
export function openChunkFile(basedir: string, chunk: ChunkRef): number {
  const path = chunkPath(basedir, chunk.id);
  requireRegular(path, chunk);
  try {
    return openFd(path, CHUNK_OPEN_FLAGS);
  } catch (error) {
    throw unreadable(path, chunk, error);
  }
}

/**
 * Throws if a path leads to something that is no chunk file at first sight, before it is opened:
 * opening some devices has effects (a watchdog starts to count, a tape is wound back), and so has
 * reading some files of /proc, which have no length.
 */
function requireRegular(path: string, chunk: ChunkRef): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(path);
  } catch {
    return; // opening it will say why
  }
  // Reading a directory says what it is.
  if (info.isDirectory || (info.isFile && info.size > 0)) return;
  const fields = { chunkId: chunk.id, ...seqFields(chunk), path };
  if (!info.isFile) {
    throw new ChunkMissingError(
      `Cannot read chunk ${describeChunk(chunk)}: ${quote(path)} is not a regular file`,
      fields,
    );
  }
  throw new ChunkCorruptError(
    `Cannot use chunk ${describeChunk(chunk)}: its file holds 0 bytes only${inFile(path)}`,
    { ...fields, reason: "header" },
  );
}

/**
 * Tries one directory after the other until one has a good copy of a chunk.
 *
 * @param attempt Reads the copy in one of them.
 * @throws {OsError} If none has, and one of them could not be read: what lies there may be good.
 * @throws {ChunkMissingError | ChunkCorruptError} What is wrong in the first directory otherwise.
 */
export function fromFirstGood<Dir, Copy>(
  dirs: readonly Dir[],
  attempt: (dir: Dir, index: number) => Copy,
): Copy {
  let firstFault: unknown, firstRefusal: unknown;
  for (const [index, dir] of dirs.entries()) {
    try {
      return attempt(dir, index);
    } catch (error) {
      if (error instanceof OsError) firstRefusal ??= error;
      else if (isChunkFault(error)) firstFault ??= error;
      else throw error;
    }
  }
  throw firstRefusal ?? firstFault ??
    new TypeError("Cannot decode a chunk: there are no backup directories");
}

/** Ends the message on a chunk with where it was read. */
export function inFile(path: string): string {
  return ` (file ${quote(path)})`;
}

/**
 * Makes a failure to open or read a chunk's file the chunk's, unless it says nothing of that.
 *
 * @returns {ChunkMissingError} or {OsError} for a failed system call; other errors as they are.
 */
export function unreadable(path: string, chunk: ChunkRef, error: unknown): unknown {
  if (!(error instanceof OsError)) return error;
  const { errno, errnoName, syscall } = error;
  const action = `Cannot read chunk ${describeChunk(chunk)}`;
  const advice = NOT_THE_CHUNKS.get(errno) ?? adviceForLack(errno);
  if (advice !== null) {
    const message = `${action}: ${error.message}; ${advice}`;
    return new OsError(message, { errno, errnoName, syscall, path }, { cause: error });
  }
  const why = errno === Errno.ENOENT ? `there is no file ${quote(path)}` : error.message;
  return new ChunkMissingError(
    `${action}: ${why}`,
    { chunkId: chunk.id, ...seqFields(chunk), path },
    { cause: error },
  );
}
