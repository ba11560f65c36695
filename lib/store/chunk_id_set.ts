/**
 * A set of chunk ids, of which there may be millions: open addressing over 16 bytes an id.
 *
 * Ids are hashes, but those of a hostile map could be made to collide: they are mixed with random numbers, high bits into low
 * ones after each word (a sum of products would keep what low bits lack).
 *
 * @module
 */

import { CHUNK_ID_BYTES } from "./layout.ts";

/** Number of u32 words of an id. */
const ID_WORDS = CHUNK_ID_BYTES / 4;

const INITIAL_SLOTS = 1024;

/** The share of slots that are taken at most. */
const MAX_LOAD = 2 / 3;

/** Distinct chunk ids, in the order in which they were added. */
export class ChunkIdSet {
  readonly #multipliers = crypto.getRandomValues(new Uint32Array(ID_WORDS)).map((m) => m | 1);
  #words = new Uint32Array(INITIAL_SLOTS * ID_WORDS);
  /** Number of the id in a slot, counted from 1; 0: empty. */
  #slots = new Uint32Array(INITIAL_SLOTS);
  #size = 0;

  /** Number of ids. */
  get size(): number {
    return this.#size;
  }

  /**
   * Adds an id, unless it is there.
   *
   * @param words Holds the id, four words that begin at `at`.
   */
  add(words: Uint32Array, at: number): void {
    if (this.#size >= this.#slots.length * MAX_LOAD) this.#grow();
    const slot = this.#findSlot(words, at);
    if (this.#slots[slot] !== 0) return;
    const start = this.#size * ID_WORDS;
    for (let word = 0; word < ID_WORDS; word++) this.#words[start + word] = words[at + word]!;
    this.#slots[slot] = ++this.#size;
  }

  /** Tells whether an id is there; arguments as of {@linkcode add}. */
  has(words: Uint32Array, at: number): boolean {
    return this.#slots[this.#findSlot(words, at)] !== 0;
  }

  /** Returns a copy of the ids, 16 bytes each, in shared memory. */
  toSharedIds(): Uint8Array<SharedArrayBuffer> {
    const ids = new Uint32Array(new SharedArrayBuffer(this.#size * CHUNK_ID_BYTES));
    ids.set(this.#words.subarray(0, ids.length));
    return new Uint8Array(ids.buffer);
  }

  /** Finds the slot of an id, or the empty one where it would go. */
  #findSlot(words: Uint32Array, at: number): number {
    const slots = this.#slots, known = this.#words, mask = slots.length - 1;
    let slot = this.#hash(words, at) & mask;
    for (;;) {
      const number = slots[slot]!;
      if (number === 0) return slot;
      const other = (number - 1) * ID_WORDS;
      if (
        words[at] === known[other] && words[at + 1] === known[other + 1] &&
        words[at + 2] === known[other + 2] && words[at + 3] === known[other + 3]
      ) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #hash(words: Uint32Array, at: number): number {
    let hash = 0;
    for (let word = 0; word < ID_WORDS; word++) {
      hash = Math.imul((hash ^ hash >>> 15) ^ words[at + word]!, this.#multipliers[word]!);
    }
    return (hash ^ hash >>> 15) >>> 0;
  }

  #grow(): void {
    const slotCount = 2 * this.#slots.length;
    const words = new Uint32Array(slotCount * ID_WORDS);
    words.set(this.#words);
    this.#words = words;
    this.#slots = new Uint32Array(slotCount);
    for (let number = 1; number <= this.#size; number++) {
      this.#slots[this.#findSlot(words, (number - 1) * ID_WORDS)] = number;
    }
  }
}
