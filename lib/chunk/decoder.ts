/**
 * Turns one chunk file into verified bytes: file -> wasm memory -> decoded -> hash compared with
 * the chunk's id.
 *
 * Runs in a worker. It reads chunk files and touches nothing else; what it returns lies in the
 * codec's output buffers, where targets are written from without another copy.
 *
 * @module
 */

import * as codec from "lzo-wasm";
import { BackyError, ChunkCorruptError, type ChunkFault } from "../errors.ts";
import { adviseFd, FileAdvice, readFull, releaseFd } from "../linux/libc.ts";
import { CHUNK_BYTES, CHUNK_HEADER_BYTES, CHUNK_MARKERS, chunkIdToHex } from "../store/layout.ts";
import { chunkPath, inFile, openChunkFile, unreadable } from "./chunk_file.ts";
import { type ChunkRef, describeChunk, seqFields } from "./chunk_ref.ts";

/** What is to become of a chunk file's pages in the page cache once it was read. */
export type PageCachePolicy = "drop" | "keep";

/** What a decoded chunk amounts to. */
export interface DecodedChunk {
  /** Bytes in the output buffer. */
  readonly bytes: number;
  /** Bytes of the chunk file. */
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
   * Asks the kernel to begin reading a chunk file. What cannot be opened is left for `decode` to
   * report.
   */
  prefetch(id: string): void {
    let fd: number;
    try {
      fd = openChunkFile(this.#basedir, { id, seqs: () => [] });
    } catch (error) {
      if (error instanceof BackyError) return;
      throw error;
    }
    adviseFd(fd, FileAdvice.WILLNEED);
    releaseFd(fd);
  }

  /**
   * Decodes a chunk into one of the codec's output buffers.
   *
   * @param output Index of the output buffer; its first `bytes` bytes hold the content afterwards.
   * @param needed Bytes that the image needs of the chunk, 1 to CHUNK_BYTES; it may hold more.
   * @throws {ChunkMissingError} If the file is absent or cannot be read.
   * @throws {ChunkCorruptError} If it is not what its name says.
   * @throws {OsError} If that says nothing of the chunk, as {@linkcode openChunkFile} has it.
   */
  decode(chunk: ChunkRef, output: number, needed: number): DecodedChunk {
    const fileBytes = this.#read(chunk);
    const bytes = this.#parseHeader(chunk, fileBytes);
    if (bytes < needed) {
      throw this.#corrupt(chunk, "size", `it holds ${bytes} bytes, the image needs ${needed}`);
    }
    try {
      const stream = { start: CHUNK_HEADER_BYTES, end: fileBytes };
      codec.decode(stream, output, { outputBytes: bytes, hash: this.#verify });
    } catch (error) {
      if (!(error instanceof codec.DecodeError)) throw error;
      throw this.#corrupt(chunk, "lzo", error.message, error);
    }
    if (this.#verify) {
      const hash = chunkIdToHex(codec.lastHash());
      if (hash !== chunk.id) throw this.#corrupt(chunk, "hash", `its content hashes to "${hash}"`);
    }
    return { bytes, fileBytes };
  }

  /** Reads a chunk file into the codec's input buffer and returns its size in bytes. */
  #read(chunk: ChunkRef): number {
    const path = chunkPath(this.#basedir, chunk.id);
    const fd = openChunkFile(this.#basedir, chunk);
    try {
      const bytes = readFull(fd, codec.input, path);
      if (bytes === codec.input.length && readFull(fd, this.#probe, path) > 0) {
        throw this.#corrupt(
          chunk,
          "size",
          `its file is longer than ${bytes} bytes, as none can be`,
        );
      }
      if (this.#pageCache === "drop") adviseFd(fd, FileAdvice.DONTNEED);
      return bytes;
    } catch (error) {
      throw unreadable(path, chunk, error);
    } finally {
      releaseFd(fd);
    }
  }

  /** Returns the announced number of decoded bytes. */
  #parseHeader(chunk: ChunkRef, fileBytes: number): number {
    const header = codec.input;
    if (fileBytes < CHUNK_HEADER_BYTES) {
      throw this.#corrupt(chunk, "header", `its file holds ${fileBytes} bytes only`);
    }
    if (!CHUNK_MARKERS.includes(header[0]!)) {
      throw this.#corrupt(chunk, "header", "its file does not begin with 0xf0 or 0xf1");
    }
    const view = new DataView(header.buffer, header.byteOffset, CHUNK_HEADER_BYTES);
    const bytes = view.getUint32(1, false);
    if (bytes === 0 || bytes > CHUNK_BYTES) {
      throw this.#corrupt(chunk, "header", `its file announces ${bytes} bytes`);
    }
    return bytes;
  }

  #corrupt(chunk: ChunkRef, reason: ChunkFault, detail: string, cause?: Error): ChunkCorruptError {
    const path = chunkPath(this.#basedir, chunk.id);
    return new ChunkCorruptError(
      `Cannot use chunk ${describeChunk(chunk)}: ${detail}${inFile(path)}`,
      { chunkId: chunk.id, ...seqFields(chunk), path, reason },
      cause ? { cause } : undefined,
    );
  }
}
