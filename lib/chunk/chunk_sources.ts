/**
 * Reads chunks from the revision's own backup directory, or from others that may have a good copy.
 *
 * A chunk is named after its content, so a file from any directory will do if its content is right.
 * Runs in a worker.
 *
 * @module
 */

import { fromFirstGood } from "./chunk_file.ts";
import { ChunkDecoder, type DecodedChunk, type PageCachePolicy } from "./decoder.ts";
import type { ChunkRef } from "./chunk_ref.ts";

/** A decoded chunk and its source. */
export interface FoundChunk extends DecodedChunk {
  /** Index of the backup directory that had a good copy. */
  readonly source: number;
}

/** Reads and decodes the chunks of a revision from one or more backup directories. */
export class ChunkSources {
  readonly #decoders: readonly ChunkDecoder[];

  /**
   * @param dirs Backup directories, the revision's own first.
   * @param options.verify Whether chunks from the first directory are compared with their ids;
   *   chunks from the others always are.
   */
  constructor(dirs: readonly string[], options: { verify: boolean; pageCache: PageCachePolicy }) {
    const { verify, pageCache } = options;
    this.#decoders = dirs.map((dir, index) =>
      new ChunkDecoder(dir, { verify: verify || index > 0, pageCache })
    );
  }

  /**
   * Asks the kernel to start reading a chunk's file in the first directory.
   *
   * @returns For how long that kept the caller waiting, in milliseconds.
   */
  prefetch(id: string): number {
    return this.#decoders[0]!.prefetch(id);
  }

  /**
   * Decodes a chunk from the first directory that has a good copy.
   *
   * @param output Index of the output buffer, as for {@linkcode ChunkDecoder.decode}.
   * @throws {OsError} If none has, and one of them could not be read: its copy may be good.
   * @throws {ChunkMissingError | ChunkCorruptError} Otherwise what is wrong in the first directory.
   */
  decode(chunk: ChunkRef, output: number, needed: number): FoundChunk {
    return fromFirstGood(this.#decoders, (decoder, source) => ({
      ...decoder.decode(chunk, output, needed),
      source,
    }));
  }
}
