/**
 * The distinct chunks of several revisions. Only new ids are kept of each map, so that memory does
 * not grow with the number of revisions that share their chunks.
 *
 * @module
 */

import type { Steps } from "../slices.ts";
import { ChunkIdSet } from "../store/chunk_id_set.ts";
import { ZeroTest } from "../store/chunk_ids.ts";
import { CHUNK_ID_BYTES, CHUNK_ID_WORDS } from "../store/layout.ts";
import { type ReadMapOptions, scanRevisionMap } from "../store/revision_map.ts";

/** Chunks between two pauses. */
const CHUNKS_PER_STEP = 0x1_0000;

/** Collects chunk ids. */
export class ChunkUnion {
  readonly #ids = new ChunkIdSet();

  /** Number of distinct chunks so far, without the all-zero one. */
  get size(): number {
    return this.#ids.size;
  }

  /**
   * Adds the chunks of a revision: all of them, or none if the map is not valid. Steps that are
   * abandoned leave some behind: an interrupted check must not wait until millions are removed.
   *
   * @returns Size of its image in bytes.
   * @throws {RevisionError} As `readRevisionMap` does.
   */
  *addMap(mapPath: string, options: ReadMapOptions = {}): Steps<number> {
    const ids = this.#ids;
    const sizeBefore = ids.size;
    try {
      const { imageBytes } = yield* scanRevisionMap(mapPath, {
        begin: () => {},
        take({ ids: bytes, words, count }) {
          const zeroTest = new ZeroTest(bytes);
          return ids.addAll(words, count, (index) => !zeroTest.isZero(index));
        },
      }, options);
      return imageBytes;
    } catch (error) {
      yield* ids.truncate(sizeBefore);
      throw error;
    }
  }

  /**
   * Tells whether all chunks of a revision are among those that were added.
   *
   * @throws {RevisionError} As `readRevisionMap` does.
   */
  *covers(mapPath: string): Steps<boolean> {
    const ids = this.#ids;
    let isCovered = true;
    yield* scanRevisionMap(mapPath, {
      begin: () => {},
      take({ ids: bytes, words, count }) {
        const zeroTest = new ZeroTest(bytes);
        for (let index = 0; index < count && isCovered; index++) {
          isCovered = zeroTest.isZero(index) || ids.has(words, index * CHUNK_ID_WORDS);
        }
      },
    });
    return isCovered;
  }

  /**
   * Returns the ids of the chunks, or of some of them, in shared memory: 16 bytes each, in the
   * order in which they were added.
   *
   * @param share Share of the chunks, more than 0 and at most 1; they are chosen at random, at
   *   least one.
   */
  *sharedIds(share: number): Steps<Uint8Array<SharedArrayBuffer>> {
    if (share >= 1) return this.#ids.toSharedIds();
    const count = Math.ceil(this.size * share);
    const ids = new Uint32Array(new SharedArrayBuffer(count * CHUNK_ID_BYTES));
    yield* chooseSome(count, this.size, (number, index) => {
      this.#ids.copyId(number, ids, index * CHUNK_ID_WORDS);
    });
    return new Uint8Array(ids.buffer);
  }
}

/** Chooses numbers below `below`, each as likely as any other; ascending. */
function* chooseSome(
  count: number,
  below: number,
  onChosen: (number: number, index: number) => void,
): Steps<void> {
  let found = 0;
  for (let number = 0; number < below && found < count; number++) {
    if (number % CHUNKS_PER_STEP === 0) yield;
    // Selection sampling (Knuth): the chance is what is still wanted over what is left.
    if ((below - number) * Math.random() < count - found) onChosen(number, found++);
  }
}
