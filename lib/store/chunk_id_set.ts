/**
 * A set of chunk ids, of which there may be millions: open addressing over 16 bytes an id.
 *
 * Ids are hashes, but those of a hostile map could be made to collide: they are mixed with random
 * numbers, high bits into low ones after each word (a sum of products would keep what low bits
 * lack).
 *
 * @module
 */

import { runSteps, type Steps } from "../slices.ts";
import { CHUNK_ID_BYTES } from "./layout.ts";

/** Number of u32 words of an id. */
const ID_WORDS = CHUNK_ID_BYTES / 4;

const INITIAL_SLOTS = 1024;

/** The share of slots that are taken at most. */
const MAX_LOAD = 2 / 3;

/** Ids that are put into larger tables, or removed, between two pauses. */
const IDS_PER_STEP = 0x1_0000;

/** Numbers that mark slots end before this. */
const MAX_NUMBER = 0xffff_ffff;

/**
 * Distinct chunk ids, numbered from 0 in the order in which they were added. It can be emptied and
 * used again, which takes no time and no memory.
 */
export class ChunkIdSet {
  readonly #multipliers = crypto.getRandomValues(new Uint32Array(ID_WORDS)).map((m) => m | 1);
  #words = new Uint32Array(Math.ceil(INITIAL_SLOTS * MAX_LOAD) * ID_WORDS);
  /** `#base` + 1 + the number of the id in a slot; what is not above `#base` counts as empty. */
  #slots = new Uint32Array(INITIAL_SLOTS);
  #base = 0;
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
    if (this.#isFull) runSteps(this.#grow());
    this.#add(words, at);
  }

  /**
   * Adds some ids, in steps: a set of millions that grows takes a while.
   *
   * @param words Holds them, four words each.
   * @param count How many.
   * @param isWanted Told the position of each among them; others are left out.
   */
  *addAll(
    words: Uint32Array,
    count: number,
    isWanted: (index: number) => boolean,
  ): Steps<void> {
    for (let index = 0; index < count; index++) {
      if (!isWanted(index)) continue;
      if (this.#isFull) yield* this.#grow();
      this.#add(words, index * ID_WORDS);
    }
  }

  /** Tells whether an id is there; arguments as of {@linkcode add}. */
  has(words: Uint32Array, at: number): boolean {
    return this.numberOf(words, at) >= 0;
  }

  /** Returns the number of an id, -1 if it is not there; arguments as of {@linkcode add}. */
  numberOf(words: Uint32Array, at: number): number {
    const mark = this.#slots[this.#findSlot(words, at)]!;
    return mark > this.#base ? mark - this.#base - 1 : -1;
  }

  /** Removes all ids. */
  clear(): void {
    this.#base += this.#size;
    this.#size = 0;
  }

  /**
   * Removes the ids that were added last, until there are so many; in steps, like
   * {@linkcode addAll}.
   */
  *truncate(size: number): Steps<void> {
    // In the opposite order of their coming: none has its slot because a later one had another.
    while (this.#size > size) {
      if (this.#size % IDS_PER_STEP === 0) yield;
      const slot = this.#findSlot(this.#words, (this.#size - 1) * ID_WORDS);
      this.#slots[slot] = 0;
      this.#size--;
    }
  }

  /** Returns a copy of the ids, 16 bytes each, in shared memory. */
  toSharedIds(): Uint8Array<SharedArrayBuffer> {
    const ids = new Uint32Array(new SharedArrayBuffer(this.#size * CHUNK_ID_BYTES));
    ids.set(this.#words.subarray(0, ids.length));
    return new Uint8Array(ids.buffer);
  }

  /** Copies an id, by its number below {@linkcode size}, to four words that begin at `at`. */
  copyId(number: number, to: Uint32Array, at: number): void {
    const from = number * ID_WORDS;
    for (let word = 0; word < ID_WORDS; word++) to[at + word] = this.#words[from + word]!;
  }

  get #isFull(): boolean {
    return this.#size >= this.#slots.length * MAX_LOAD || this.#base + this.#size >= MAX_NUMBER;
  }

  #add(words: Uint32Array, at: number): void {
    const slot = this.#findSlot(words, at);
    if (this.#slots[slot]! > this.#base) return;
    const start = this.#size * ID_WORDS;
    for (let word = 0; word < ID_WORDS; word++) this.#words[start + word] = words[at + word]!;
    this.#slots[slot] = this.#base + ++this.#size;
  }

  /** Finds the slot of an id, or the empty one where it would go. */
  #findSlot(words: Uint32Array, at: number): number {
    const slots = this.#slots, known = this.#words, mask = slots.length - 1, base = this.#base;
    let slot = this.#hash(words, at) & mask;
    for (;;) {
      const number = slots[slot]!;
      if (number <= base) return slot;
      const other = (number - base - 1) * ID_WORDS;
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

  /** Makes room for more ids, and numbers the marks from 1 again. */
  *#grow(): Steps<void> {
    const slotCount = 2 * this.#slots.length;
    const words = new Uint32Array(Math.ceil(slotCount * MAX_LOAD) * ID_WORDS);
    words.set(this.#words.subarray(0, this.#size * ID_WORDS));
    this.#words = words;
    this.#slots = new Uint32Array(slotCount);
    this.#base = 0;
    for (let number = 1; number <= this.#size; number++) {
      if (number % IDS_PER_STEP === 0) yield;
      this.#slots[this.#findSlot(words, (number - 1) * ID_WORDS)] = number;
    }
  }
}
