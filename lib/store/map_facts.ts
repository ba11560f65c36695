/**
 * An image in numbers, as its revision map has them, for lists of revisions. No plan is made and no
 * map is kept, so memory use depends on the largest map, not on the number of maps.
 *
 * @module
 */

import type { Steps } from "../slices.ts";
import { ChunkIdSet } from "./chunk_id_set.ts";
import { ZeroTest } from "./chunk_ids.ts";
import { CHUNK_BYTES, CHUNK_ID_WORDS } from "./layout.ts";
import type { MapBatch, MappedImage, MapVisitor } from "./map_parser.ts";
import { type ReadMapOptions, scanRevisionMap } from "./revision_map.ts";

/** Numbers of an image, the same as in the plan of its restore. */
export interface MapFacts {
  readonly sizeBytes: number;
  /** Chunks that do not hold only zeros, each counted once. */
  readonly distinctChunks: number;
  /** Bytes that the image needs of these, decoded. */
  readonly distinctBytes: number;
}

/** Reads one map after another. */
export class MapFactsReader implements MapVisitor {
  /** Reused for each map. */
  readonly #ids = new ChunkIdSet();
  #lastSeq = -1;
  #lastId: Uint32Array | null = null;

  /** Reads a map. @throws {RevisionError} As `readRevisionMap` does. */
  *read(mapPath: string, options: ReadMapOptions = {}): Steps<MapFacts> {
    const { imageBytes: sizeBytes, seqCount } = yield* scanRevisionMap(mapPath, this, options);
    const full = this.#ids.size;
    // Only the last seq may be short, which matters only if its chunk stands nowhere else.
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
      this.#lastId = words.slice(CHUNK_ID_WORDS * index, CHUNK_ID_WORDS * (index + 1));
      return false;
    });
  }
}
