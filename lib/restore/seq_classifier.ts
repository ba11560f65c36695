/**
 * Tells what to do at each seq, from the revision's map and the map of what the target holds. Pure.
 *
 * @module
 */

import { hasSameId, wordsOf, ZeroTest } from "../store/chunk_ids.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import type { RevisionMap } from "../store/revision_map.ts";

/** Tells which seqs the target already holds, by the map of the base. */
class BaseTest {
  readonly #words: Uint32Array;
  readonly #baseWords: Uint32Array;
  readonly #zeroTest: ZeroTest;
  readonly #baseZeroTest: ZeroTest;
  readonly #imageBytes: number;
  readonly #baseBytes: number;

  constructor(map: RevisionMap, base: RevisionMap) {
    this.#words = wordsOf(map.ids);
    this.#baseWords = wordsOf(base.ids);
    this.#zeroTest = new ZeroTest(map.ids);
    this.#baseZeroTest = new ZeroTest(base.ids);
    this.#imageBytes = map.imageBytes;
    this.#baseBytes = base.imageBytes;
  }

  /** Whether the base has the same content at a seq, as far as the image reaches. */
  isSame(seq: number): boolean {
    // What the target holds after the base's end is unknown, so zeros there are written too.
    const end = Math.min((seq + 1) * CHUNK_BYTES, this.#imageBytes);
    if (end > this.#baseBytes) return false;
    if (this.#zeroTest.isZero(seq)) return this.#baseZeroTest.isZero(seq);
    return hasSameId(this.#words, seq * 4, this.#baseWords, seq * 4);
  }
}

/** Tells what to do at each seq: write data, write zeros, or keep what the target has. */
export class SeqClassifier {
  readonly #zeroTest: ZeroTest;
  readonly #baseTest: BaseTest | null;

  constructor(map: RevisionMap, base: RevisionMap | undefined) {
    this.#zeroTest = new ZeroTest(map.ids);
    this.#baseTest = base ? new BaseTest(map, base) : null;
  }

  isKept(seq: number): boolean {
    return this.#baseTest !== null && this.#baseTest.isSame(seq);
  }

  isData(seq: number): boolean {
    return !this.#zeroTest.isZero(seq) && !this.isKept(seq);
  }

  isZero(seq: number): boolean {
    return this.#zeroTest.isZero(seq) && !this.isKept(seq);
  }
}
