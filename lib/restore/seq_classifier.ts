/**
 * Tells from the ids of a revision map, and of the map of what the target holds, what is to be done
 * at each seq. Pure.
 *
 * @module
 */

import { hasSameId, wordsOf, ZeroTest } from "../store/chunk_ids.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import type { RevisionMap } from "../store/revision_map.ts";

/** Tells which seqs the target holds already, by the map of the revision that it holds. */
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

  /** Whether the base holds the same at a seq, as far as the image reaches. */
  isSame(seq: number): boolean {
    // What lies behind the base's end is not known, not even where the image has zeros.
    const end = Math.min((seq + 1) * CHUNK_BYTES, this.#imageBytes);
    if (end > this.#baseBytes) return false;
    if (this.#zeroTest.isZero(seq)) return this.#baseZeroTest.isZero(seq);
    return hasSameId(this.#words, seq * 4, this.#baseWords, seq * 4);
  }
}

/** What is to be done at each seq. */
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
