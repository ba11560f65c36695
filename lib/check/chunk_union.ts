/**
 * The distinct chunks of several revisions, as a plan for workers. Of each map only new ids are
 * kept, so that the memory does not grow with the number of revisions that share their chunks.
 *
 * @module
 */

import { NO_SEQ, type RestorePlan } from "../work/plan.ts";
import type { Steps } from "../slices.ts";
import { ChunkIdSet } from "../store/chunk_id_set.ts";
import { ZeroTest } from "../store/chunk_ids.ts";
import { CHUNK_BYTES, CHUNK_ID_BYTES } from "../store/layout.ts";
import { type ReadMapOptions, scanRevisionMap } from "../store/revision_map.ts";

/** Chunks that are chosen between two pauses. */
const CHUNKS_PER_STEP = 0x1_0000;

/** Words of a chunk id. */
const CHUNK_ID_WORDS = CHUNK_ID_BYTES / 4;

/** Collects chunk ids. */
export class ChunkUnion {
  readonly #ids = new ChunkIdSet();

  /** Number of distinct chunks so far, without that of zeros. */
  get size(): number {
    return this.#ids.size;
  }

  /**
   * Adds the chunks of a revision, all or none of them. Steps that are not driven to their end
   * leave some: a check that is interrupted needs them no more, and must not wait until millions
   * are removed.
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
   * Makes a plan in which each chunk stands once, as if the chunks were an image.
   *
   * @param share Share of the chunks that become jobs, more than 0 and at most 1; they are chosen
   *   at random, at least one.
   */
  *plan(share: number): Steps<RestorePlan> {
    const ids = this.#ids.toSharedIds();
    const seqCount = this.size;
    const jobCount = share >= 1 ? seqCount : Math.ceil(seqCount * share);
    const firstSeqs = new Uint32Array(new SharedArrayBuffer(jobCount * 4));
    yield* chooseSome(firstSeqs, seqCount);
    const imageBytes = seqCount * CHUNK_BYTES;
    const distinctBytes = jobCount * CHUNK_BYTES;
    return {
      imageBytes,
      extent: { start: 0, end: imageBytes, targetStart: 0 },
      seqCount,
      dataSeqs: jobCount,
      dataBytes: distinctBytes,
      zeroSeqs: 0,
      zeroBytes: 0,
      keptSeqs: 0,
      keptBytes: 0,
      distinctChunks: jobCount,
      distinctBytes,
      ids,
      firstSeqs,
      streamItems: null,
      nextSeqs: new Uint32Array(new SharedArrayBuffer(seqCount * 4)).fill(NO_SEQ),
      zeroRanges: new Float64Array(new SharedArrayBuffer(0)),
    };
  }
}

/** Fills `chosen` with numbers below `count`, each as likely as any other; ascending. */
function* chooseSome(chosen: Uint32Array, count: number): Steps<void> {
  let found = 0;
  for (let number = 0; number < count && found < chosen.length; number++) {
    if (number % CHUNKS_PER_STEP === 0) yield;
    // As likely as places are still to be filled, among the numbers that are left (Knuth, selection
    // sampling).
    if ((count - number) * Math.random() < chosen.length - found) chosen[found++] = number;
  }
}
