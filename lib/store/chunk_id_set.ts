/**
 * A set of chunk ids, possibly millions: open addressing over 16 bytes per id.
 *
 * @module
 */

import { runSteps, type Steps } from "../slices.ts";
import { hasSameId, IdHasher } from "./chunk_ids.ts";
import { CHUNK_ID_BYTES, CHUNK_ID_WORDS } from "./layout.ts";

const INITIAL_SLOTS = 1024;

/** Share of the slots that may be taken. */
const MAX_LOAD = 2 / 3;

/** Ids in a block: 1 MiB. */
const BLOCK_ID_BITS = 16;
const BLOCK_IDS = 1 << BLOCK_ID_BITS;

/** Ids moved to a larger table, or removed, per step. */
const IDS_PER_STEP = 0x1_0000;

/** Marks of slots stay below this. */
const MAX_NUMBER = 0xffff_ffff;

/**
 * Distinct chunk ids, numbered from 0 in the order in which they were added. Clearing it takes no
 * time, and it can then be used again without allocating.
 */
export class ChunkIdSet {
  readonly #hasher = new IdHasher();
  /** The ids. One array that grows would need twice the memory, and more while it is copied. */
  readonly #blocks: Uint32Array[] = [];
  /** A slot holds `#base` + 1 + the number of its id; it is empty if it holds `#base` or less. */
  #slots = new Uint32Array(INITIAL_SLOTS);
  #base = 0;
  #size = 0;

  /** Number of ids. */
  get size(): number {
    return this.#size;
  }

  /**
   * Adds an id unless the set has it.
   *
   * @param words Holds the id: four words from `at` on.
   */
  add(words: Uint32Array, at: number): void {
    if (this.#isFull) runSteps(this.#grow());
    this.#add(words, at);
  }

  /**
   * Adds ids in steps, because growing a set of millions takes a while.
   *
   * @param words Holds the ids, four words each.
   * @param count Number of ids.
   * @param isWanted Says by an id's position among them whether to add it.
   */
  *addAll(
    words: Uint32Array,
    count: number,
    isWanted: (index: number) => boolean,
  ): Steps<void> {
    for (let index = 0; index < count; index++) {
      if (!isWanted(index)) continue;
      if (this.#isFull) yield* this.#grow();
      this.#add(words, index * CHUNK_ID_WORDS);
    }
  }

  /** Whether the set has an id; arguments as for {@linkcode add}. */
  has(words: Uint32Array, at: number): boolean {
    return this.numberOf(words, at) >= 0;
  }

  /** Returns the number of an id, -1 if the set lacks it; arguments as for {@linkcode add}. */
  numberOf(words: Uint32Array, at: number): number {
    const mark = this.#slots[this.#findSlot(words, at)]!;
    return mark > this.#base ? mark - this.#base - 1 : -1;
  }

  /** Removes all ids. */
  clear(): void {
    this.#base += this.#size;
    this.#size = 0;
  }

  /** Removes the ids that were added last until `size` are left; in steps. */
  *truncate(size: number): Steps<void> {
    // Newest first: no id that stays was displaced by one that goes.
    while (this.#size > size) {
      if (this.#size % IDS_PER_STEP === 0) yield;
      const last = this.#size - 1;
      const slot = this.#findSlot(this.#blockOf(last), wordOf(last));
      this.#slots[slot] = 0;
      this.#size--;
    }
  }

  /** Copies the ids, 16 bytes each, to shared memory. */
  toSharedIds(): Uint8Array<SharedArrayBuffer> {
    const ids = new Uint32Array(new SharedArrayBuffer(this.#size * CHUNK_ID_BYTES));
    for (let at = 0, left = ids.length; left > 0; at++, left -= BLOCK_IDS * CHUNK_ID_WORDS) {
      ids.set(this.#blocks[at]!.subarray(0, left), at * BLOCK_IDS * CHUNK_ID_WORDS);
    }
    return new Uint8Array(ids.buffer);
  }

  /** Copies an id, by its number below {@linkcode size}, to four words that begin at `at`. */
  copyId(number: number, to: Uint32Array, at: number): void {
    const block = this.#blockOf(number), from = wordOf(number);
    for (let word = 0; word < CHUNK_ID_WORDS; word++) to[at + word] = block[from + word]!;
  }

  #blockOf(number: number): Uint32Array {
    return this.#blocks[number >>> BLOCK_ID_BITS]!;
  }

  get #isFull(): boolean {
    return this.#size >= this.#slots.length * MAX_LOAD || this.#base + this.#size >= MAX_NUMBER;
  }

  #add(words: Uint32Array, at: number): void {
    const slot = this.#findSlot(words, at);
    if (this.#slots[slot]! > this.#base) return;
    if (this.#size === this.#blocks.length * BLOCK_IDS) {
      this.#blocks.push(new Uint32Array(BLOCK_IDS * CHUNK_ID_WORDS));
    }
    const block = this.#blockOf(this.#size), start = wordOf(this.#size);
    for (let word = 0; word < CHUNK_ID_WORDS; word++) block[start + word] = words[at + word]!;
    this.#slots[slot] = this.#base + ++this.#size;
  }

  /** Finds the slot of an id, or the empty slot where it belongs. */
  #findSlot(words: Uint32Array, at: number): number {
    const slots = this.#slots, mask = slots.length - 1, base = this.#base;
    let slot = this.#hasher.hash(words, at) & mask;
    for (;;) {
      const mark = slots[slot]!;
      if (mark <= base) return slot;
      const number = mark - base - 1;
      if (hasSameId(words, at, this.#blockOf(number), wordOf(number))) return slot;
      slot = (slot + 1) & mask;
    }
  }

  /** Doubles the table, and starts the marks at 1 again. */
  *#grow(): Steps<void> {
    this.#slots = new Uint32Array(2 * this.#slots.length);
    this.#base = 0;
    for (let number = 0; number < this.#size; number++) {
      if (number % IDS_PER_STEP === 0) yield;
      this.#slots[this.#findSlot(this.#blockOf(number), wordOf(number))] = number + 1;
    }
  }
}

/** Where an id begins in its block. */
function wordOf(number: number): number {
  return (number & BLOCK_IDS - 1) * CHUNK_ID_WORDS;
}
