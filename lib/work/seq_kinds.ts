/**
 * Part of step 2 of a restore: tells from the ids of a revision map, and of the map of what the
 * target holds, what is to be done at each seq. Pure.
 *
 * @module
 */

import { CHUNK_BYTES, chunkIdFromHex, ZERO_CHUNK_ID } from "../store/layout.ts";
import type { RevisionMap } from "../store/revision_map.ts";

/** Tells which seqs of a map hold zeros by their id. */
export class ZeroTest {
  readonly #words: Uint32Array;

  constructor(ids: Uint8Array) {
    this.#words = wordsOf(ids);
  }

  /** Whether a seq is absent from the mapping or names the all-zero chunk. */
  isZero(seq: number): boolean {
    const words = this.#words;
    const at = seq * 4;
    const first = words[at]!;
    if (first !== 0 && first !== ZERO_WORDS[0]) return false;
    return (first === 0 && words[at + 1] === 0 && words[at + 2] === 0 && words[at + 3] === 0) ||
      (first === ZERO_WORDS[0] && words[at + 1] === ZERO_WORDS[1] &&
        words[at + 2] === ZERO_WORDS[2] && words[at + 3] === ZERO_WORDS[3]);
  }
}

const ZERO_WORDS = new Uint32Array(chunkIdFromHex(ZERO_CHUNK_ID).buffer);

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
export class SeqTest {
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

/** Ids as words, four an id. */
export function wordsOf(ids: Uint8Array): Uint32Array {
  return new Uint32Array(ids.buffer, ids.byteOffset, ids.byteLength / 4);
}

/** Compares the ids that begin at two words. */
export function hasSameId(a: Uint32Array, atA: number, b: Uint32Array, atB: number): boolean {
  return a[atA] === b[atB] && a[atA + 1] === b[atB + 1] && a[atA + 2] === b[atB + 2] &&
    a[atA + 3] === b[atB + 3];
}
