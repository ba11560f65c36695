/**
 * The distinct chunks of several revisions, as a plan for workers. Of each map only new ids are kept, so that the memory does not
 * grow with the number of revisions that share their chunks.
 *
 * @module
 */

import { NO_SEQ, type RestorePlan } from "../restore/plan.ts";
import { ZeroTest } from "../restore/seq_kinds.ts";
import { ChunkIdSet } from "../store/chunk_id_set.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import { readRevisionMap } from "../store/revision_map.ts";

/** Collects chunk ids. */
export class ChunkUnion {
  readonly #ids = new ChunkIdSet();

  /** Number of distinct chunks so far, without that of zeros. */
  get size(): number {
    return this.#ids.size;
  }

  /**
   * Adds the chunks of a revision.
   *
   * @returns Size of its image in bytes.
   * @throws {RevisionError} As `readRevisionMap` does.
   */
  addMap(mapPath: string, onProgress: () => void): number {
    const { ids, seqCount, size } = readRevisionMap(mapPath, { onProgress });
    const zeroTest = new ZeroTest(ids);
    const words = new Uint32Array(ids.buffer, ids.byteOffset, ids.byteLength / 4);
    for (let seq = 0; seq < seqCount; seq++) {
      if (!zeroTest.isZero(seq)) this.#ids.add(words, 4 * seq);
    }
    return size;
  }

  /**
   * Makes a plan in which each chunk stands once, as if the chunks were an image.
   *
   * @param share Share of the chunks that become jobs, more than 0 and at most 1; they are chosen at random, at least one.
   */
  plan(share: number): RestorePlan {
    const ids = this.#ids.toSharedIds();
    const seqCount = this.size;
    const jobs = share >= 1 ? allOf(seqCount) : sampleOf(seqCount, Math.ceil(seqCount * share));
    const firstSeqs = new Uint32Array(new SharedArrayBuffer(jobs.length * 4));
    firstSeqs.set(jobs);
    const imageBytes = seqCount * CHUNK_BYTES;
    const distinctBytes = jobs.length * CHUNK_BYTES;
    return {
      ...{ imageBytes, extent: { start: 0, end: imageBytes, targetStart: 0 }, seqCount },
      ...{ dataSeqs: jobs.length, dataBytes: distinctBytes, zeroSeqs: 0, zeroBytes: 0 },
      ...{ keptSeqs: 0, keptBytes: 0, distinctChunks: jobs.length, distinctBytes },
      ...{ ids, firstSeqs, streamItems: null },
      nextSeqs: new Uint32Array(new SharedArrayBuffer(seqCount * 4)).fill(NO_SEQ),
      zeroRanges: new Float64Array(new SharedArrayBuffer(0)),
    };
  }
}

function allOf(count: number): Uint32Array {
  return new Uint32Array(count).map((_, index) => index);
}

/** Chooses some of the numbers below `count`, each as likely as any other; ascending. */
function sampleOf(count: number, size: number): Uint32Array {
  const numbers = allOf(count);
  for (let index = 0; index < size; index++) {
    const other = index + Math.floor(Math.random() * (count - index));
    const swapped = numbers[other]!;
    numbers[other] = numbers[index]!;
    numbers[index] = swapped;
  }
  return numbers.subarray(0, size).sort();
}
