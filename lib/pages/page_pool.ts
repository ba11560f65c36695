/**
 * Pages: pieces of shared memory of one chunk's size, which are reused.
 *
 * A page belongs to all who hold it, so it is never overwritten under a reader: its memory is
 * reused when the last holder releases it. Cached chunks (`page_cache.ts`) and changed ones
 * (`lib/image_access/overlay.ts`) are in pages of the same pool. A page is in the memory of the
 * worker that decodes into it (`page_memory.ts`) or, where that is not possible, in memory of its
 * own, to which workers copy.
 *
 * @module
 */

import { CHUNK_BYTES } from "../store/layout.ts";
import type { PageBlock, PageMemory } from "./page_memory.ts";

/** Memory for one chunk, as long as somebody holds it. */
export class Page {
  /** Number of bytes that are content; set by whoever fills the page. */
  length = 0;
  readonly #block: PageBlock;
  readonly #giveBack: (block: PageBlock) => void;
  #holders = 1;

  constructor(block: PageBlock, giveBack: (block: PageBlock) => void) {
    this.#block = block;
    this.#giveBack = giveBack;
  }

  /** All of the memory: CHUNK_BYTES, of which the first {@linkcode length} are content. */
  get bytes(): Uint8Array<SharedArrayBuffer> {
    return this.#block.bytes;
  }

  /** Returns the number of the page's output buffer in a worker's memory; `null` if elsewhere. */
  outputIn(memory: PageMemory): number | null {
    const { home } = this.#block;
    return home?.memory === memory ? home.output : null;
  }

  /** Whether there is one holder only. */
  get isHeldOnce(): boolean {
    return this.#holders === 1;
  }

  /** Adds a holder, who must call {@linkcode release} once. */
  retain(): this {
    if (this.#holders === 0) throw new TypeError("Cannot retain a page that was given back");
    this.#holders++;
    return this;
  }

  /** Ends one holder's hold. */
  release(): void {
    if (this.#holders === 0) throw new TypeError("Cannot release a page that was given back");
    if (--this.#holders === 0) this.#giveBack(this.#block);
  }
}

/** Makes pages and keeps their memory. */
export class PagePool {
  readonly #keptPages: number;
  readonly #free: PageBlock[] = [];
  #allocated = 0;

  /**
   * @param keptBytes Memory that is kept for reuse; the garbage collector gets what exceeds it.
   */
  constructor(keptBytes: number) {
    this.#keptPages = Math.floor(keptBytes / CHUNK_BYTES);
  }

  /** Bytes that pages take up, in use or not. */
  get allocatedBytes(): number {
    return this.#allocated * CHUNK_BYTES;
  }

  /**
   * Returns a page, held for the caller. Its bytes are whatever the memory held before.
   *
   * @param memory Where the page should be. It is elsewhere if that memory would have to grow
   *   although there are free pages.
   * @throws {RangeError} If there is no memory.
   */
  take(memory: PageMemory | null = null): Page {
    const wanted = this.#free.findLastIndex(({ home }) => (home?.memory ?? null) === memory);
    const [block] = this.#free.splice(wanted, 1);
    return new Page(block ?? this.#allocate(memory), (block) => this.#takeBack(block));
  }

  #allocate(memory: PageMemory | null): PageBlock {
    // A worker's memory never shrinks, so it must not grow to more than is kept.
    const block = this.#allocated < this.#keptPages ? memory?.takeBlock() : null;
    this.#allocated++;
    return block ?? { bytes: new Uint8Array(new SharedArrayBuffer(CHUNK_BYTES)), home: null };
  }

  #takeBack(block: PageBlock): void {
    if (this.#allocated <= this.#keptPages || block.home) this.#free.push(block);
    else this.#allocated--;
  }
}
