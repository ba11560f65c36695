/**
 * Lists of chunk ids in memory, 16 bytes per seq, as a revision map has them: reads an id as text,
 * recognises zeros, compares and hashes ids.
 *
 * @module
 */

import {
  CHUNK_ID_BYTES,
  CHUNK_ID_WORDS,
  chunkIdFromHex,
  chunkIdToHex,
  ZERO_CHUNK_ID,
} from "./layout.ts";

/** Returns the id at a seq as text. @param ids 16 bytes per seq; the seq must have an id. */
export function chunkIdAt(ids: Uint8Array, seq: number): string {
  return chunkIdToHex(ids, seq * CHUNK_ID_BYTES);
}

/** Returns ids as words, four per id; a view of the same memory. */
export function wordsOf(ids: Uint8Array): Uint32Array {
  return new Uint32Array(ids.buffer, ids.byteOffset, ids.byteLength / 4);
}

/** Whether the id from word `atA` of `a` on equals the one from word `atB` of `b` on. */
export function hasSameId(a: Uint32Array, atA: number, b: Uint32Array, atB: number): boolean {
  return a[atA] === b[atB] && a[atA + 1] === b[atB + 1] && a[atA + 2] === b[atB + 2] &&
    a[atA + 3] === b[atB + 3];
}

/**
 * Hashes chunk ids for tables with open addressing.
 *
 * Ids are hashes, but a hostile map could have ids that collide. So each id is mixed with random
 * numbers, word by word, and high bits are folded into low ones after each word: a plain sum of
 * products would let ids collide that differ only in high bits. The end is that of MurmurHash3's
 * 32-bit form, in which each bit of the input changes each bit of the result with a chance of one
 * half: with a single fold there, ids that differ in one word only shared few slots.
 */
export class IdHasher {
  readonly #multipliers = crypto.getRandomValues(new Uint32Array(CHUNK_ID_WORDS)).map((m) => m | 1);

  /** Hashes the id from word `at` on, to 32 bits without sign. */
  hash(words: Uint32Array, at: number): number {
    let hash = 0;
    for (let word = 0; word < CHUNK_ID_WORDS; word++) {
      hash = Math.imul((hash ^ hash >>> 15) ^ words[at + word]!, this.#multipliers[word]!);
    }
    hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b);
    hash = Math.imul(hash ^ hash >>> 13, 0xc2b2ae35);
    return (hash ^ hash >>> 16) >>> 0;
  }
}

/** Tells from the ids of a map which seqs hold only zeros. */
export class ZeroTest {
  readonly #words: Uint32Array;

  constructor(ids: Uint8Array) {
    this.#words = wordsOf(ids);
  }

  /** Whether a seq is absent from the mapping or names the all-zero chunk. */
  isZero(seq: number): boolean {
    const words = this.#words;
    const at = seq * CHUNK_ID_WORDS;
    const first = words[at]!;
    if (first !== 0 && first !== ZERO_WORDS[0]) return false;
    return (first === 0 && words[at + 1] === 0 && words[at + 2] === 0 && words[at + 3] === 0) ||
      (first === ZERO_WORDS[0] && words[at + 1] === ZERO_WORDS[1] &&
        words[at + 2] === ZERO_WORDS[2] && words[at + 3] === ZERO_WORDS[3]);
  }
}

const ZERO_WORDS = wordsOf(chunkIdFromHex(ZERO_CHUNK_ID));
