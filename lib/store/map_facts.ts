/**
 * What a revision map says of an image in numbers, for lists of revisions. No plan is made and no
 * id is kept, so that the memory depends on the largest map and not on how many there are.
 *
 * @module
 */

import type { Steps } from "../slices.ts";
import { ChunkIdSet } from "./chunk_id_set.ts";
import { ZeroTest } from "./chunk_ids.ts";
import { CHUNK_BYTES } from "./layout.ts";
import type { MapBatch, MappedImage, MapVisitor } from "./map_parser.ts";
import { type ReadMapOptions, scanRevisionMap } from "./revision_map.ts";

/** Numbers of an image: those that the plan of its restore has, too. */
export interface MapFacts {
  readonly sizeBytes: number;
  /** Chunks with other content than zeros, each counted once. */
  readonly distinctChunks: number;
  /** Decoded bytes of these, as far as the image needs them. */
  readonly distinctBytes: number;
}

/** Reads maps, one after the other. */
export class MapFactsReader implements MapVisitor {
  /** Used again for each map. */
  readonly #ids = new ChunkIdSet();
  #lastSeq = -1;
  #lastId: Uint32Array | null = null;

  /** Reads a map. @throws {RevisionError} As `readRevisionMap` does. */
  *read(mapPath: string, options: ReadMapOptions = {}): Steps<MapFacts> {
    const { imageBytes: sizeBytes, seqCount } = yield* scanRevisionMap(mapPath, this, options);
    const full = this.#ids.size;
    // Only the image's last seq may be short, and it matters only if its chunk stands nowhere else.
    if (this.#lastId) this.#ids.add(this.#lastId, 0);
    const missing = this.#ids.size > full ? seqCount * CHUNK_BYTES - sizeBytes : 0;
    const distinctChunks = this.#ids.size;
    return { sizeBytes, distinctChunks, distinctBytes: distinctChunks * CHUNK_BYTES - missing };
  }

  begin({ seqCount }: MappedImage): void {
    this.#ids.clear();
    this.#lastSeq = seqCount - 1;
    this.#lastId = null;
  }

  take({ ids, words, seqs, count }: MapBatch): Steps<void> {
    const zeroTest = new ZeroTest(ids);
    return this.#ids.addAll(words, count, (index) => {
      if (zeroTest.isZero(index)) return false;
      if (seqs[index] !== this.#lastSeq) return true;
      this.#lastId = words.slice(4 * index, 4 * index + 4);
      return false;
    });
  }
}
