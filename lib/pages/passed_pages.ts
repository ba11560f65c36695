/**
 * Pages that sequential readers have left behind, to be used again first.
 *
 * While someone reads a large image from one end to the other, each page of new memory would have
 * to be cleared by the kernel, only to push out what others ask for again and again. So pages that
 * such a run has passed are used again before the cache grows. Those that anybody else asks for are
 * kept like any other, and if a page is asked for that is gone only because of this, it stops for a
 * while. Pure; used by `page_cache.ts`.
 *
 * @module
 */

/** Passed pages that stay, for readers that follow closely. */
const KEPT_PAGES = 2;

/**
 * Chunks for whose loading no page is used again after one was missed. A chunk that occurs twice in
 * an image changes little, a reader that follows another one much.
 */
const PAUSE_CHUNKS = 8;

/** Which pages of a cache were passed. */
export class PassedPages {
  readonly #capacity: number;
  /** Loaded for sequential readers, and asked for by nobody else. */
  readonly #forRuns = new Set<string>();
  /** Those that were passed, in order. */
  readonly #passed = new Set<string>();
  /** Chunks whose pages were used again, in order: without that they might still be there. */
  readonly #gone = new Set<string>();
  /** Chunks still to be loaded until pages are used again. */
  #pause = 0;

  /** @param capacity Most pages in the cache. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Takes note of a chunk that begins to be loaded, for a sequential reader or another. */
  noteLoad(key: string, { isRun }: { isRun: boolean }): void {
    if (this.#pause > 0) this.#pause--;
    if (this.#gone.delete(key)) this.#lengthenPause();
    if (isRun) this.#forRuns.add(key);
  }

  /** Takes note that a chunk is or will be asked for, by a sequential reader or another. */
  noteUse(key: string, { isRun }: { isRun: boolean }): void {
    // Had there been no pause, it might be gone.
    if (this.#passed.delete(key) && this.#pause > 0) this.#lengthenPause();
    if (!isRun) this.#forRuns.delete(key);
  }

  /** Takes note that a sequential reader has read a chunk and the next one. */
  pass(key: string): void {
    if (this.#forRuns.has(key)) this.#passed.add(key);
  }

  /** The pages that can be used again, the first to be used first. */
  *reusable(): Generator<string> {
    let count = this.#pause > 0 ? 0 : this.#passed.size - KEPT_PAGES;
    for (const key of this.#passed) {
      if (--count < 0) return;
      yield key;
    }
  }

  /** Whether a chunk was passed and is gone, and no reader follows who might miss it. */
  isBehind(key: string): boolean {
    return this.#pause === 0 && this.#gone.has(key);
  }

  /** Takes note that a page is about to be used again because it was passed. */
  noteReuse(key: string): void {
    this.#gone.add(key);
    if (this.#gone.size <= this.#capacity) return;
    const [oldest] = this.#gone;
    this.#gone.delete(oldest!);
  }

  /** Takes note that a chunk has left the cache, or has not come into it. */
  remove(key: string): void {
    this.#forRuns.delete(key);
    this.#passed.delete(key);
  }

  #lengthenPause(): void {
    this.#pause = Math.min(this.#capacity, this.#pause + PAUSE_CHUNKS);
  }
}
