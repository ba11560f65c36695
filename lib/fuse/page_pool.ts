/**
 * The memory of a mount: pages of one chunk's size, in shared memory, that are used again and again.
 *
 * A page belongs to all who hold it. When the last lets go, its memory is given to the next who asks, so that a page is never
 * overwritten under a reader. Cached chunks (`page_cache.ts`) and changed ones (`overlay.ts`) live in pages
 * of the same pool.
 *
 * @module
 */

import { CHUNK_BYTES } from "../store/layout.ts";

/** One chunk's worth of memory, as long as somebody holds it. */
export class Page {
  /** All of the memory: CHUNK_BYTES. Only the first {@linkcode length} bytes mean something. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /** Number of bytes that hold content; whoever fills the page sets it. */
  length = 0;
  readonly #giveBack: (bytes: Uint8Array<SharedArrayBuffer>) => void;
  #holders = 1;

  constructor(
    bytes: Uint8Array<SharedArrayBuffer>,
    giveBack: (bytes: Uint8Array<SharedArrayBuffer>) => void,
  ) {
    this.bytes = bytes;
    this.#giveBack = giveBack;
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
    if (--this.#holders === 0) this.#giveBack(this.bytes);
  }
}

/** Makes pages and keeps their memory. */
export class PagePool {
  readonly #keptPages: number;
  readonly #free: Uint8Array<SharedArrayBuffer>[] = [];
  #allocated = 0;

  /** @param keptBytes Memory that is kept for later when it is not in use; what exceeds it is left to the garbage collector. */
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
   * @throws {RangeError} If there is no memory.
   */
  take(): Page {
    const bytes = this.#free.pop() ?? this.#allocate();
    return new Page(bytes, (bytes) => this.#takeBack(bytes));
  }

  #allocate(): Uint8Array<SharedArrayBuffer> {
    const bytes = new Uint8Array(new SharedArrayBuffer(CHUNK_BYTES));
    this.#allocated++;
    return bytes;
  }

  #takeBack(bytes: Uint8Array<SharedArrayBuffer>): void {
    if (this.#allocated <= this.#keptPages) this.#free.push(bytes);
    else this.#allocated--;
  }
}
