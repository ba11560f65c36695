/**
 * Where chunks are read from: the revision's own backup directory first, then others that may hold
 * a good copy.
 *
 * A chunk is named after its content, so a file from anywhere will do if it has the right content.
 * Runs in a worker.
 *
 * @module
 */

import { fromFirstGood } from "./chunk_file.ts";
import { ChunkDecoder, type DecodedChunk, type PageCachePolicy } from "./decoder.ts";
import type { ChunkRef } from "./chunk_ref.ts";

/** A decoded chunk and where it came from. */
export interface FoundChunk extends DecodedChunk {
  /** Index of the backup directory. */
  readonly source: number;
}

/** Reads and decodes the chunks of a revision from one or several backup directories. */
export class ChunkSources {
  readonly #decoders: readonly ChunkDecoder[];

  /**
   * @param dirs Backup directories, the revision's own first.
   * @param options.verify Whether the content of the first one's chunks is compared with their ids;
   *   that of others always is.
   */
  constructor(dirs: readonly string[], options: { verify: boolean; pageCache: PageCachePolicy }) {
    const { verify, pageCache } = options;
    this.#decoders = dirs.map((dir, index) =>
      new ChunkDecoder(dir, { verify: verify || index > 0, pageCache })
    );
  }

  /** Asks the kernel to begin reading a chunk's file in the first directory. */
  prefetch(id: string): void {
    this.#decoders[0]!.prefetch(id);
  }

  /**
   * Decodes a chunk from the first directory that has a good copy.
   *
   * @param output Index of the output buffer, as for {@linkcode ChunkDecoder.decode}.
   * @throws {ChunkMissingError | ChunkCorruptError} What is wrong in the first directory, if no
   *   other one has a good copy.
   * @throws {OsError} If one cannot be read for what says nothing of the chunk, and no other one
   *   has a good copy.
   */
  decode(chunk: ChunkRef, output: number, needed: number): FoundChunk {
    return fromFirstGood(this.#decoders, (decoder, source) => ({
      ...decoder.decode(chunk, output, needed),
      source,
    }));
  }
}
