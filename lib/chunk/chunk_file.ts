/**
 * Opens chunk files, carefully: a name in an untrusted store may be anything.
 *
 * @module
 */

import { ChunkCorruptError, ChunkMissingError, OsError } from "../errors.ts";
import { openFd, OpenFlag } from "../ffi/libc.ts";
import { chunkRelativePath } from "../store/layout.ts";
import { quote } from "../wording.ts";
import { type ChunkRef, describeChunk } from "./places.ts";

// Should a regular file be replaced in the moment before it is opened: opening must not hang on a FIFO or take over a terminal.
const CHUNK_OPEN_FLAGS = OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK | OpenFlag.O_NOCTTY;

/** Errors of the process rather than of the file: reporting the chunk as missing would be wrong. */
const PROCESS_ERRORS: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOMEM"]);

/** Returns the path of a chunk's file. @throws {RangeError} If `id` is no chunk id. */
export function chunkPath(basedir: string, id: string): string {
  return `${basedir}/${chunkRelativePath(id)}`;
}

/**
 * Opens a chunk's file for reading.
 *
 * @returns A descriptor, owned by the caller.
 * @throws {ChunkMissingError} If there is none, or it cannot be opened or is no regular file.
 * @throws {ChunkCorruptError} If it is empty.
 * @throws {OsError} If the process lacks descriptors or memory.
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
 * Throws if a path leads to something that is no chunk file at first sight, before it is opened: opening some devices has effects (a
 * watchdog starts to count, a tape is wound back), and so has reading some files of /proc, which have no length.
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
  const fields = { chunkId: chunk.id, seqs: chunk.seqs(), path };
  if (!info.isFile) {
    throw new ChunkMissingError(
      `Cannot read chunk ${describeChunk(chunk)}: ${quote(path)} is no regular file`,
      fields,
    );
  }
  throw new ChunkCorruptError(
    `Cannot use chunk ${describeChunk(chunk)}: its file holds 0 bytes only`,
    { ...fields, reason: "header" },
  );
}

/** Makes a failure to open or read a chunk's file the chunk's; other errors are returned as they are. */
export function unreadable(path: string, chunk: ChunkRef, error: unknown): unknown {
  if (!(error instanceof OsError) || PROCESS_ERRORS.has(error.errnoName)) return error;
  const why = error.errnoName === "ENOENT" ? `there is no file ${quote(path)}` : error.message;
  return new ChunkMissingError(
    `Cannot read chunk ${describeChunk(chunk)}: ${why}`,
    { chunkId: chunk.id, seqs: chunk.seqs(), path },
    { cause: error },
  );
}
