/**
 * Turns one chunk file into verified bytes: file -> wasm memory -> decoded -> hash compared with
 * the chunk's id.
 *
 * Runs in a worker. Reads chunk files and touches nothing else; the decoded bytes lie in an output
 * buffer of `lzo-wasm`, from which targets are written without another copy.
 *
 * @module
 */

import { input, lastHash } from "../../wasm/mod.ts";
import { BackyError } from "../errors.ts";
import { adviseFd, FileAdvice, readFull, releaseFd } from "../linux/files.ts";
import { measureWait } from "../linux/storage_wait.ts";
import { CHUNK_BYTES, CHUNK_HEADER_BYTES, chunkIdToHex } from "../store/layout.ts";
import { type ChunkFile, corruptChunk, openChunkFile, unreadable } from "./chunk_file.ts";
import type { ChunkRef } from "./chunk_ref.ts";
import { CODECS } from "./codecs.ts";

/** Whether the pages of a chunk file stay in the page cache after it was read. */
export type PageCachePolicy = "drop" | "keep";

/** The sizes of a decoded chunk. */
export interface DecodedChunk {
  /** Bytes in the output buffer. */
  readonly bytes: number;
  /** Bytes of the chunk file. */
  readonly fileBytes: number;
  /** How long storage kept its reader waiting; 0 if it was in memory. */
  readonly waitMs: number;
}

/** A chunk file whose content is in the input buffer. */
interface LoadedFile extends ChunkFile {
  readonly fileBytes: number;
}

/** Reads and decodes the chunks of one backup directory. */
export class ChunkDecoder {
  readonly #basedir: string;
  readonly #verify: boolean;
  readonly #pageCache: PageCachePolicy;
  readonly #probe = new Uint8Array(1);

  /**
   * @param basedir The backup directory.
   * @param options.verify Whether content is compared with the chunk's id.
   */
  constructor(basedir: string, options: { verify: boolean; pageCache: PageCachePolicy }) {
    this.#basedir = basedir;
    this.#verify = options.verify;
    this.#pageCache = options.pageCache;
  }

  /**
   * Asks the kernel to start reading a chunk file. Failures to open it are left for `decode` to
   * report.
   *
   * @returns For how long that kept the caller waiting, in milliseconds; 0 if it was in memory.
   */
  prefetch(id: string): number {
    return measureWait(() => this.#prefetch(id)).waitMs;
  }

  #prefetch(id: string): void {
    let fd: number;
    try {
      fd = openChunkFile(this.#basedir, { id, seqs: () => [] }).fd;
    } catch (error) {
      if (error instanceof BackyError) return;
      throw error;
    }
    adviseFd(fd, FileAdvice.WILLNEED);
    releaseFd(fd);
  }

  /**
   * Decodes a chunk into an output buffer.
   *
   * @param output Index of the output buffer; the content is in its first `bytes` bytes.
   * @param needed Bytes that the image needs of the chunk, 1 to CHUNK_BYTES; it may hold more.
   * @throws {ChunkMissingError} If the file is absent or cannot be read.
   * @throws {ChunkCorruptError} If it is not what its name says.
   * @throws {OsError} If the error says nothing about the chunk, see {@linkcode openChunkFile}.
   */
  decode(chunk: ChunkRef, output: number, needed: number): DecodedChunk {
    const { result, waitMs } = measureWait(() => this.#load(chunk));
    const { path, encoding, fileBytes } = result;
    const bytes = parseHeader(chunk, { path, encoding, fileBytes });
    if (bytes < needed) {
      const detail = `it holds ${bytes} bytes, the image needs ${needed}`;
      throw corruptChunk(chunk, { path, reason: "size", detail });
    }
    const codec = CODECS[encoding.name];
    try {
      const payload = { start: CHUNK_HEADER_BYTES, end: fileBytes };
      codec.decode(payload, output, { outputBytes: bytes, hash: this.#verify });
    } catch (error) {
      if (!(error instanceof codec.DecodeError)) throw error;
      throw corruptChunk(chunk, { path, reason: "encoding", detail: error.message, cause: error });
    }
    if (this.#verify) {
      const hash = chunkIdToHex(lastHash());
      if (hash !== chunk.id) {
        throw corruptChunk(chunk, {
          path,
          reason: "hash",
          detail: `its content hashes to "${hash}"`,
        });
      }
    }
    return { bytes, fileBytes, waitMs };
  }

  /** Reads a chunk file into the input buffer. */
  #load(chunk: ChunkRef): LoadedFile {
    const { fd, path, encoding } = openChunkFile(this.#basedir, chunk);
    try {
      const room = input.subarray(0, encoding.maxFileBytes);
      const fileBytes = readFull(fd, room, path);
      if (fileBytes === room.length && readFull(fd, this.#probe, path) > 0) {
        const detail = `its file is longer than ${fileBytes} bytes; no valid chunk file is`;
        throw corruptChunk(chunk, { path, reason: "size", detail });
      }
      if (this.#pageCache === "drop") adviseFd(fd, FileAdvice.DONTNEED);
      return { path, encoding, fileBytes };
    } catch (error) {
      throw unreadable(path, chunk, error);
    } finally {
      releaseFd(fd);
    }
  }
}

/** Returns the number of decoded bytes that the header in the input buffer announces. */
function parseHeader(chunk: ChunkRef, { path, encoding, fileBytes }: LoadedFile): number {
  const refuse = (detail: string) => corruptChunk(chunk, { path, reason: "header", detail });
  if (fileBytes < CHUNK_HEADER_BYTES) throw refuse(`its file holds ${fileBytes} bytes only`);
  if (!encoding.markers.includes(input[0]!)) {
    const markers = encoding.markers.map((marker) => `0x${marker.toString(16)}`).join(" or ");
    throw refuse(`its file does not begin with ${markers}`);
  }
  const view = new DataView(input.buffer, input.byteOffset, CHUNK_HEADER_BYTES);
  const bytes = view.getUint32(1, false);
  if (bytes === 0 || bytes > CHUNK_BYTES) throw refuse(`its file announces ${bytes} bytes`);
  return bytes;
}
