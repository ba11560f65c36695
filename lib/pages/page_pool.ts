/**
 * The memory of a mount: pages of one chunk's size, in shared memory, that are used again and
 * again.
 *
 * A page belongs to all who hold it. When the last lets go, its memory is given to the next who
 * asks, so that a page is never overwritten under a reader. Cached chunks (`page_cache.ts`) and
 * changed ones (`overlay.ts`) live in pages of the same pool. A page lies in the memory of the
 * worker that decodes into it (`page_memory.ts`), or, where that is not to be had, in memory of its
 * own, into which workers copy.
 *
 * @module
 */

import { CHUNK_BYTES } from "../store/layout.ts";
import type { PageBlock, PageMemory } from "./page_memory.ts";

/** One chunk's worth of memory, as long as somebody holds it. */
export class Page {
  /** Number of bytes that hold content; whoever fills the page sets it. */
  length = 0;
  readonly #block: PageBlock;
  readonly #giveBack: (block: PageBlock) => void;
  #holders = 1;

  constructor(block: PageBlock, giveBack: (block: PageBlock) => void) {
    this.#block = block;
    this.#giveBack = giveBack;
  }

  /** All of the memory: CHUNK_BYTES. Only the first {@linkcode length} bytes mean something. */
  get bytes(): Uint8Array<SharedArrayBuffer> {
    return this.#block.bytes;
  }

  /** Returns which output buffer in a worker's memory the page is; `null` if it lies elsewhere. */
  outputIn(memory: PageMemory): number | null {
    const { home } = this.#block;
    return home?.memory === memory ? home.output : null;
  }

  /** Whether nobody but one holder would miss it. */
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
   * @param keptBytes Memory that is kept for later when it is not in use; what exceeds it is left
   *   to the garbage collector.
   */
  constructor(keptBytes: number) {
    this.#keptPages = Math.floor(keptBytes / CHUNK_BYTES);
  }

  /** Bytes that pages take up, in use or not. */
  get allocatedBytes(): number {
    return this.#allocated * CHUNK_BYTES;
  }

  /**
   * Returns a page, held by the caller. Its memory holds something, possibly of another image.
   *
   * @param memory Where the page should lie; it lies elsewhere rather than that memory grows beyond
   *   need.
   * @throws {RangeError} If there is no memory.
   */
  take(memory: PageMemory | null = null): Page {
    const wanted = this.#free.findLastIndex(({ home }) => (home?.memory ?? null) === memory);
    const [block] = this.#free.splice(wanted, 1);
    return new Page(block ?? this.#allocate(memory), (block) => this.#takeBack(block));
  }

  #allocate(memory: PageMemory | null): PageBlock {
    // What a worker's memory has grown by is never given back, so it must not be more than is kept.
    const block = this.#allocated < this.#keptPages ? memory?.takeBlock() : null;
    this.#allocated++;
    return block ?? { bytes: new Uint8Array(new SharedArrayBuffer(CHUNK_BYTES)), home: null };
  }

  #takeBack(block: PageBlock): void {
    if (this.#allocated <= this.#keptPages || block.home) this.#free.push(block);
    else this.#allocated--;
  }
}
