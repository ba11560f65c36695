/**
 * Turns bytes into a chunk file, as backy's own would be: header, LZO1X-1 stream, named by the
 * content's hash.
 *
 * Restores never write to a backup directory. This serves sample and test stores, and dirty chunks
 * that a mount spills.
 *
 * @module
 */

import * as codec from "lzo-wasm";
import { Errno, osError } from "../linux/errno.ts";
import { closeFd, fdatasyncFd, openFd, OpenFlag, releaseFd } from "../linux/libc.ts";
import { writeAll } from "../linux/small_files.ts";
import { CHUNK_HEADER_BYTES, CHUNK_MARKERS, chunkIdToHex } from "../store/layout.ts";
import { chunkPath } from "./chunk_file.ts";

/** Mode of chunk files: nobody writes to them again. */
const CHUNK_FILE_MODE = 0o440;

/** A chunk in the form in which it is stored. */
export interface EncodedChunk {
  /** 32 lower-case hex digits. */
  readonly id: string;
  /**
   * Header and stream; a view of the codec's input buffer, valid until the next call of the codec.
   */
  readonly file: Uint8Array<ArrayBuffer>;
}

/**
 * Encodes a chunk. Uses the codec's first output buffer and its input buffer.
 *
 * @param content 1 to CHUNK_BYTES bytes; copied.
 * @throws {RangeError} If it is empty or longer.
 */
export function encodeChunk(content: Uint8Array): EncodedChunk {
  if (content.length === 0 || content.length > codec.CHUNK_BYTES) {
    throw new RangeError(`Cannot encode a chunk of ${content.length} bytes`);
  }
  codec.outputs[0]!.set(content);
  const id = chunkIdToHex(codec.murmur3(0, content.length));
  const bytes = codec.encode(0, { bytes: content.length, start: CHUNK_HEADER_BYTES });
  const file = codec.input.subarray(0, CHUNK_HEADER_BYTES + bytes);
  file[0] = CHUNK_MARKERS[0]!;
  new DataView(file.buffer, file.byteOffset).setUint32(1, content.length, false);
  return { id, file };
}

/**
 * Stores a chunk under its name, unless a file of that name is there.
 *
 * A reader never sees half a chunk: a temporary file in the same folder is renamed when it is
 * complete and on disk. A backup that comes later takes a file of that name for the chunk, so it
 * must be whole after a power cut too.
 *
 * @param basedir The backup directory.
 * @throws {OsError} If it cannot be written; ELOOP if the chunk's folder is a symbolic link.
 * @throws {Deno.errors.NotFound} If the directory or its `chunks` does not exist, and others as
 *   Deno's file functions do.
 */
export function writeChunkFile(basedir: string, chunk: EncodedChunk): void {
  const path = chunkPath(basedir, chunk.id);
  const folder = path.slice(0, path.lastIndexOf("/"));
  if (exists(path)) return;
  makeChunkFolder(folder);
  requireNoLink(folder);
  const temporary = `${folder}/.tmp-${crypto.randomUUID()}`;
  const fd = openFd(temporary, OpenFlag.O_WRONLY | OpenFlag.O_CREAT | OpenFlag.O_EXCL, 0o600);
  try {
    writeAndClose(fd, chunk.file, temporary);
    Deno.chmodSync(temporary, CHUNK_FILE_MODE);
    Deno.renameSync(temporary, path);
  } catch (error) {
    Deno.removeSync(temporary);
    throw error;
  }
}

function writeAndClose(fd: number, bytes: Uint8Array<ArrayBuffer>, path: string): void {
  try {
    writeAll(fd, bytes, path);
    fdatasyncFd(fd, path);
  } catch (error) {
    releaseFd(fd);
    throw error;
  }
  closeFd(fd, path);
}

/**
 * Makes a folder of chunks, but not the one above it, whose absence is a mistake. One that is there
 * is left alone.
 */
export function makeChunkFolder(path: string): void {
  if (exists(path)) return;
  try {
    Deno.mkdirSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

/**
 * Throws if a folder is a link: whoever made the store must not decide where in the file system
 * something is written.
 */
function requireNoLink(folder: string): void {
  if (Deno.lstatSync(folder).isSymlink) {
    throw osError(Errno.ELOOP, { syscall: "write", path: folder });
  }
}

/** Whether there is something at a path. @throws What `Deno.statSync` throws beside NotFound. */
export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
