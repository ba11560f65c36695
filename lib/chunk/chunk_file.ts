/**
 * Finds and opens chunk files, carefully: a name in an untrusted store may be anything.
 *
 * Without the codecs, which the main thread of a restore does not load.
 *
 * @module
 */

import {
  ChunkCorruptError,
  type ChunkFault,
  ChunkMissingError,
  isChunkFault,
  OsError,
} from "../errors.ts";
import { adviceForLack, Errno } from "../linux/errno.ts";
import { readFileAhead } from "../linux/file_read_ahead.ts";
import { statOrNull } from "../linux/file_status.ts";
import { openFd, OpenFlag } from "../linux/files.ts";
import { CHUNK_ENCODINGS, type ChunkEncoding, chunkRelativePath } from "../store/layout.ts";
import { quote } from "../wording.ts";
import { type ChunkRef, describeChunk, seqFields } from "./chunk_ref.ts";

// The file may be replaced just before it is opened: opening must not hang on a FIFO or take over a
// terminal.
const CHUNK_OPEN_FLAGS = OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK | OpenFlag.O_NOCTTY;

const ASK_FOR_PERMISSION = "run this as a user who may read it (see ls -l)";
const BRING_BACK = "bring the storage of the backup back";

/**
 * Errors that say nothing about the chunk, with what to do about them: to report damage or to leave
 * zeros would be wrong. All other errors mean that the chunk is missing: either there is no file,
 * or it cannot be read now or later (EIO). Sources: open(2), read(2), nfs(5), fscrypt.rst. File
 * systems on a failing disk return EIO, EUCLEAN or EBADMSG.
 */
const NOT_THE_CHUNKS: ReadonlyMap<number, string> = new Map([
  ...[Errno.EACCES, Errno.EPERM].map((errno) => [errno, ASK_FOR_PERMISSION] as const),
  ...[Errno.ENOKEY, Errno.EKEYEXPIRED, Errno.EKEYREVOKED, Errno.EKEYREJECTED].map((errno) =>
    [errno, "unlock its encrypted directory"] as const
  ),
  // A lease of the file's writer is in the way, or the file is swap space.
  ...[Errno.EAGAIN, Errno.EBUSY].map((errno) => [errno, "try again"] as const),
  // The server or the device is gone, or the process behind FUSE has died.
  ...[
    ...[Errno.ENOTCONN, Errno.ECONNABORTED, Errno.ECONNREFUSED, Errno.ECONNRESET],
    ...[Errno.ENETDOWN, Errno.ENETUNREACH, Errno.ENETRESET, Errno.EHOSTDOWN, Errno.EHOSTUNREACH],
    ...[Errno.ETIMEDOUT, Errno.ESHUTDOWN, Errno.ESTALE, Errno.ENOLINK],
    ...[Errno.ENODEV, Errno.ENOMEDIUM],
  ].map((errno) => [errno, BRING_BACK] as const),
]);

/** Where the file of a chunk is, and how its content is encoded. */
export interface ChunkFile {
  readonly path: string;
  readonly encoding: ChunkEncoding;
}

/** A chunk file that is open for reading. The caller owns the descriptor. */
export interface OpenChunkFile extends ChunkFile {
  readonly fd: number;
}

/**
 * Finds a chunk's file by its suffix: that of the first encoding, unless there is a file with the
 * suffix of another. While there is only one encoding, this does not look at the disk.
 *
 * @throws {RangeError} If `id` is not a chunk id.
 */
function findChunkFile(basedir: string, id: string): ChunkFile {
  const [usual, ...others] = CHUNK_ENCODINGS.map((encoding) => ({
    path: `${basedir}/${chunkRelativePath(id, encoding)}`,
    encoding,
  }));
  return others.find(({ path }) => statOrNull(path) !== null) ?? usual!;
}

/**
 * Returns the path of a chunk's file, or where it would be. @throws {RangeError} If `id` is not a
 * chunk id.
 */
export function chunkPath(basedir: string, id: string): string {
  return findChunkFile(basedir, id).path;
}

/**
 * Opens a chunk's file for reading.
 *
 * @throws {ChunkMissingError} If there is none, or it cannot be opened or is not a regular file.
 * @throws {ChunkCorruptError} If it is empty.
 * @throws {OsError} If the error says nothing about the chunk: the file may not be read, its
 *   storage is gone, or the process has run out of descriptors.
 */
export function openChunkFile(basedir: string, chunk: ChunkRef): OpenChunkFile {
  const { path, encoding } = findChunkFile(basedir, chunk.id);
  requireRegular(path, chunk);
  try {
    return { fd: openFd(path, CHUNK_OPEN_FLAGS), path, encoding };
  } catch (error) {
    throw unreadable(path, chunk, error);
  }
}

/**
 * Asks the kernel to read a chunk's file, on other threads. Failures are left for whoever reads it
 * to report.
 *
 * @param isWanted Asked before each step; `false` ends it.
 * @returns When all of it was asked for.
 * @throws {RangeError} If `id` is not a chunk id.
 */
export async function readChunkFileAhead(
  { dir, id }: { dir: string; id: string },
  isWanted: () => boolean,
): Promise<void> {
  const { path } = findChunkFile(dir, id);
  const file = await Deno.stat(path).catch(() => null);
  if (!file?.isFile || !isWanted()) return; // see requireRegular()
  await readFileAhead(path, { flags: CHUNK_OPEN_FLAGS, file, isWanted });
}

/**
 * Refuses what is clearly not a chunk file before it is opened: opening some devices has effects (a
 * watchdog starts, a tape rewinds), and so has reading some files in /proc, whose size is 0.
 */
function requireRegular(path: string, chunk: ChunkRef): void {
  const info = statOrNull(path);
  // Opening it will say why there is nothing, and reading a directory that it is one.
  if (info === null || info.isDirectory || (info.isFile && info.size > 0)) return;
  if (info.isFile) {
    throw corruptChunk(chunk, { path, reason: "header", detail: "its file holds 0 bytes only" });
  }
  throw missingChunk(chunk, { path, why: `${quote(path)} is not a regular file` });
}

/**
 * Tries the backup directories in order until one has a good copy of a chunk.
 *
 * @param attempt Reads the copy in one of them.
 * @throws {OsError} If none has, and one of them could not be read: its copy may be good.
 * @throws {ChunkMissingError | ChunkCorruptError} Otherwise what is wrong in the first directory.
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

/** Ends a message about a chunk with the file that was read. */
export function inFile(path: string): string {
  return ` (file ${quote(path)})`;
}

/** Builds the error of a chunk that has no file, or one that cannot be read. */
export function missingChunk(
  chunk: ChunkRef,
  { path, why, cause }: { path: string; why: string; cause?: Error },
): ChunkMissingError {
  return new ChunkMissingError(
    `Cannot read chunk ${describeChunk(chunk)}: ${why}`,
    { chunkId: chunk.id, ...seqFields(chunk), path },
    { cause },
  );
}

/** Builds the error of a chunk file that is not what its name says; `detail` is for people. */
export function corruptChunk(
  chunk: ChunkRef,
  { path, reason, detail, cause }: {
    path: string;
    reason: ChunkFault;
    detail: string;
    cause?: Error;
  },
): ChunkCorruptError {
  return new ChunkCorruptError(
    `Cannot use chunk ${describeChunk(chunk)}: ${detail}${inFile(path)}`,
    { chunkId: chunk.id, ...seqFields(chunk), path, reason },
    { cause },
  );
}

/**
 * Turns a failure to open or read a chunk's file into the error of a missing chunk, unless it says
 * nothing about the chunk.
 *
 * @returns A {@linkcode ChunkMissingError} or {@linkcode OsError} for a failed system call; other
 *   errors unchanged.
 */
export function unreadable(path: string, chunk: ChunkRef, error: unknown): unknown {
  if (!(error instanceof OsError)) return error;
  const { errno, errnoName, syscall } = error;
  const advice = NOT_THE_CHUNKS.get(errno) ?? adviceForLack(errno);
  if (advice !== null) {
    const message = `Cannot read chunk ${describeChunk(chunk)}: ${error.message}; ${advice}`;
    return new OsError(message, { errno, errnoName, syscall, path }, { cause: error });
  }
  const why = errno === Errno.ENOENT ? `there is no file ${quote(path)}` : error.message;
  return missingChunk(chunk, { path, why, cause: error });
}
