/**
 * Turns bytes into a chunk file as backy would write it: header and payload, named by the content's
 * hash.
 *
 * Restores never write to a backup directory. This is for test stores, and for modified chunks that
 * a mount spills.
 *
 * @module
 */

import { input, murmur3, outputs } from "../../wasm/mod.ts";
import { Errno, osError } from "../linux/errno.ts";
import { closeFd, fdatasyncFd, openFd, OpenFlag, releaseFd, writeAll } from "../linux/files.ts";
import { splitPath } from "../linux/paths.ts";
import { CHUNK_BYTES, CHUNK_ENCODINGS, CHUNK_HEADER_BYTES, chunkIdToHex } from "../store/layout.ts";
import { chunkPath } from "./chunk_file.ts";
import { CODECS } from "./codecs.ts";

/** Mode of chunk files, which are never changed. */
const CHUNK_FILE_MODE = 0o440;

/** A chunk as it is stored. */
export interface EncodedChunk {
  /** 32 lower-case hex digits. */
  readonly id: string;
  /** Header and payload: a view of the input buffer, valid until that is used again. */
  readonly file: Uint8Array<ArrayBuffer>;
}

/**
 * Encodes a chunk. Uses the first output buffer and the input buffer.
 *
 * @param content 1 to CHUNK_BYTES bytes; copied.
 * @throws {RangeError} If it is empty or longer.
 */
export function encodeChunk(content: Uint8Array): EncodedChunk {
  if (content.length === 0 || content.length > CHUNK_BYTES) {
    throw new RangeError(`Cannot encode a chunk of ${content.length} bytes`);
  }
  const [encoding] = CHUNK_ENCODINGS;
  outputs[0]!.set(content);
  const id = chunkIdToHex(murmur3(0, content.length));
  const bytes = CODECS[encoding.name].encode(0, {
    bytes: content.length,
    start: CHUNK_HEADER_BYTES,
  });
  const file = input.subarray(0, CHUNK_HEADER_BYTES + bytes);
  file[0] = encoding.markers[0]!;
  new DataView(file.buffer, file.byteOffset).setUint32(1, content.length, false);
  return { id, file };
}

/**
 * Stores a chunk under its name, unless there is a file of that name.
 *
 * Readers never see half a chunk: a temporary file in the same folder is renamed once it is
 * complete and on disk. A later backup takes any file of that name for the chunk, so it must be
 * whole even after a power cut.
 *
 * @param basedir The backup directory.
 * @throws {OsError} If it cannot be written; ELOOP if the chunk's folder is a symbolic link.
 * @throws {Deno.errors.NotFound} If the directory or its `chunks` does not exist, and others as
 *   Deno's file functions do.
 */
export function writeChunkFile(basedir: string, chunk: EncodedChunk): void {
  const path = chunkPath(basedir, chunk.id);
  const { dir: folder } = splitPath(path);
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
 * Makes a folder of chunks unless it exists, but not its parent: if that is absent, something is
 * wrong.
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
 * Throws if a folder is a symbolic link: the maker of the store must not decide where in the file
 * system something is written.
 */
function requireNoLink(folder: string): void {
  if (Deno.lstatSync(folder).isSymlink) {
    throw osError(Errno.ELOOP, { syscall: "write", path: folder });
  }
}

/** Whether a path exists. @throws What `Deno.statSync` throws, except for NotFound. */
export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
