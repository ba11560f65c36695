/**
 * Tells what to do at each seq, from the revision's map and the map of what the target holds. Pure.
 *
 * @module
 */

import { hasSameId, wordsOf, ZeroTest } from "../store/chunk_ids.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import type { RevisionMap } from "../store/revision_map.ts";

/** What is compared of a revision map. */
class Ids {
  readonly words: Uint32Array;
  readonly zeroTest: ZeroTest;
  readonly imageBytes: number;

  constructor({ ids, imageBytes }: RevisionMap) {
    this.words = wordsOf(ids);
    this.zeroTest = new ZeroTest(ids);
    this.imageBytes = imageBytes;
  }
}

/** Tells what to do at each seq: write data, write zeros, or keep what the target has. */
export class SeqClassifier {
  readonly #image: Ids;
  readonly #base: Ids | null;

  /** @param base What the target holds, if that is known. */
  constructor(map: RevisionMap, base: RevisionMap | undefined) {
    this.#image = new Ids(map);
    this.#base = base ? new Ids(base) : null;
  }

  isData(seq: number): boolean {
    return !this.#image.zeroTest.isZero(seq) && !this.#isKept(seq);
  }

  isZero(seq: number): boolean {
    return this.#image.zeroTest.isZero(seq) && !this.#isKept(seq);
  }

  /** Whether the base has the same content at a seq, as far as the image reaches. */
  #isKept(seq: number): boolean {
    const image = this.#image, base = this.#base;
    if (base === null) return false;
    // What the target holds after the base's end is unknown, so zeros there are written too.
    const end = Math.min((seq + 1) * CHUNK_BYTES, image.imageBytes);
    if (end > base.imageBytes) return false;
    if (image.zeroTest.isZero(seq)) return base.zeroTest.isZero(seq);
    return hasSameId(image.words, seq * 4, base.words, seq * 4);
  }
}
