/**
 * Revisions as a list shows them: what their metadata say, and the numbers of their maps. No plan
 * is made and no map is kept, so memory use depends on the largest map, not on the number of maps.
 *
 * @module
 */

import { RevisionError } from "../errors.ts";
import type { Steps } from "../slices.ts";
import { type CatalogEntry, isNotThere, whyUnusable } from "./catalog.ts";
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

/**
 * Whether an image can be read, by metadata and map: "usable"; "remote": it is on another server;
 * "other-format"; "no-map"; "gone": the map was removed while the list was made; "bad-map": it
 * is not valid.
 */
export type RevisionState = "usable" | "remote" | "other-format" | "no-map" | "gone" | "bad-map";

/** A revision with what was read from its map. */
export interface ListedRevision {
  readonly entry: CatalogEntry;
  readonly state: RevisionState;
  /** Why it is not "usable", in one line; `null` if it is. */
  readonly reason: string | null;
  /** `null` unless the state is "usable". */
  readonly facts: MapFacts | null;
}

/** Reads the map of a revision, if it has one here. A large one takes a tenth of a second. */
export function* listRevision(entry: CatalogEntry, reader: MapFactsReader): Steps<ListedRevision> {
  const reason = whyUnusable(entry);
  if (reason !== null) {
    const state = !entry.isLocal ? "remote" : !entry.isChunked ? "other-format" : "no-map";
    return { entry, state, reason, facts: null };
  }
  try {
    const facts = yield* reader.read(entry.mapPath);
    return { entry, state: "usable", reason: null, facts };
  } catch (error) {
    if (!(error instanceof RevisionError)) throw error;
    const state = isNotThere(error) ? "gone" : "bad-map";
    return { entry, state, reason: error.message, facts: null };
  }
}
