/**
 * Finds a chunk's page, or has the chunk decoded into one.
 *
 * One cache serves all images, which share most of their chunks. It is bounded in bytes and evicts
 * roughly the least recently used page, preferring one in the requesting worker's memory; before
 * it grows, it evicts what large sequential reads have left behind (`passed_pages.ts`). A chunk
 * that several readers ask for at once is decoded once. A failure is reported to those who wait for
 * it and is not remembered: the next reader tries again. Pure: `chunk_loader.ts` does the decoding.
 *
 * @module
 */

import { chunkPath, corruptChunk } from "../chunk/chunk_file.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import type { PageMemory } from "./page_memory.ts";
import type { Page, PagePool } from "./page_pool.ts";
import { PassedPages } from "./passed_pages.ts";

/**
 * How many of the least recently used pages are searched for one in the wanted memory. In a small
 * cache it is an eighth of the pages, so that recently used ones stay.
 */
const MAX_EVICTION_CHOICES = 16;

/** Where a chunk's file is. */
export interface ChunkLocation {
  /** Directory with `chunks` below it. */
  readonly dir: string;
  /** 32 lower-case hex digits. */
  readonly id: string;
}

/** A chunk that is being loaded into a page. */
export interface Loading {
  /** Resolves to the number of bytes in the page. */
  readonly done: Promise<number>;
  /** Moves it before the chunks that are loaded ahead, because somebody waits for it now. */
  promote(): void;
}

/** Decodes chunks. */
export interface PageLoader {
  /**
   * Decodes a chunk into a page.
   *
   * @param options.isAhead Whether nobody waits for it yet.
   * @param options.takePage Returns the page. Called once, when the work begins, with the worker's
   *   memory: a page there needs no copy.
   * @returns `null` if it is to be loaded ahead and too much is waiting already.
   */
  load(
    chunk: ChunkLocation,
    options: { isAhead: boolean; takePage: (memory: PageMemory | null) => Page },
  ): Loading | null;
}

/** How often a cache was asked, in chunks. */
export interface CacheCounts {
  readonly hits: number;
  readonly misses: number;
  /** Loaded before anybody asked for them. */
  readonly ahead: number;
}

/** A chunk that is being loaded, and who waits for it. */
interface PendingLoad {
  readonly loading: Loading;
  readonly waiters: PromiseWithResolvers<Page>[];
}

/** Decoded chunks. */
export class PageCache {
  readonly #pool: PagePool;
  readonly #loader: PageLoader;
  readonly #capacity: number;
  /** In order of use, the least recently used first. The cache is one holder of each page. */
  readonly #pages = new Map<string, Page>();
  readonly #pending = new Map<string, PendingLoad>();
  readonly #passed: PassedPages;
  /** Pages that are being filled. */
  #filling = 0;
  #hits = 0;
  #misses = 0;
  #ahead = 0;

  /**
   * @param options.capacityBytes Bound of the pages' memory, at least one page. Only pages that
   *   readers hold may exceed it: two a request at most.
   */
  constructor(options: { pool: PagePool; loader: PageLoader; capacityBytes: number }) {
    this.#pool = options.pool;
    this.#loader = options.loader;
    this.#capacity = Math.max(1, Math.floor(options.capacityBytes / CHUNK_BYTES));
    this.#passed = new PassedPages(this.#capacity);
  }

  /** Bound of the pages' memory. */
  get capacityBytes(): number {
    return this.#capacity * CHUNK_BYTES;
  }

  get counts(): CacheCounts {
    return { hits: this.#hits, misses: this.#misses, ahead: this.#ahead };
  }

  /**
   * Returns a chunk's page, held for the caller; `null` if it must be loaded.
   *
   * @param needed Bytes that the chunk must have, 1 to CHUNK_BYTES.
   * @param options.isRun Whether the reader goes through an image in sequence; default false.
   * @throws {ChunkCorruptError} If it has fewer.
   */
  get(chunk: ChunkLocation, needed: number, { isRun = false } = {}): Page | null {
    const page = this.#use(keyOf(chunk), isRun);
    if (page === null) return null;
    this.#hits++;
    return requireLength(page, chunk, needed).retain();
  }

  /**
   * Loads a chunk that is not in the cache, and returns its page, held for the caller.
   *
   * @param needed Bytes that the chunk must have, 1 to CHUNK_BYTES.
   * @param options.isRun As for {@linkcode get}.
   * @throws {ChunkCorruptError} If it has fewer.
   * @throws Whatever the loader fails with.
   */
  async load(chunk: ChunkLocation, needed: number, options?: { isRun?: boolean }): Promise<Page> {
    const page = this.get(chunk, needed, options) ??
      await this.#join(chunk, options?.isRun ?? false);
    try {
      return requireLength(page, chunk, needed);
    } catch (error) {
      page.release();
      throw error;
    }
  }

  /** Waits for a chunk, which begins to be loaded unless it is already. */
  #join(chunk: ChunkLocation, isRun: boolean): Promise<Page> {
    this.#misses++;
    let pending = this.#pending.get(keyOf(chunk));
    if (pending) pending.loading.promote();
    else pending = this.#begin(chunk, { isAhead: false, isRun })!;
    const waiter = Promise.withResolvers<Page>();
    pending.waiters.push(waiter);
    return waiter.promise;
  }

  /**
   * Loads a chunk that will probably be asked for soon.
   *
   * @returns `false` if too much is waiting already.
   */
  prefetch(chunk: ChunkLocation): boolean {
    const key = keyOf(chunk);
    if (this.#touch(key) !== null || this.#pending.has(key)) return true;
    // Other readers, who share an image out among them, have been there.
    if (this.#passed.isBehind(key)) return true;
    if (this.#begin(chunk, { isAhead: true, isRun: true }) === null) return false;
    this.#ahead++;
    return true;
  }

  /**
   * Takes note that a sequential reader has gone past a chunk: its page, if nobody else has asked
   * for it, is used again before the cache grows.
   */
  pass(chunk: ChunkLocation): void {
    this.#passed.pass(keyOf(chunk));
  }

  #use(key: string, isRun: boolean): Page | null {
    this.#passed.noteUse(key, { isRun });
    return this.#touch(key);
  }

  /** Makes a page the most recently used. */
  #touch(key: string): Page | null {
    const page = this.#pages.get(key);
    if (!page) return null;
    this.#pages.delete(key);
    this.#pages.set(key, page);
    return page;
  }

  /** @param options.isRun Whether a sequential reader wants it. */
  #begin(
    chunk: ChunkLocation,
    { isAhead, isRun }: { isAhead: boolean; isRun: boolean },
  ): PendingLoad | null {
    let page: Page | null = null;
    const takePage = (memory: PageMemory | null) => page = this.#takePage(memory);
    const loading = this.#loader.load(chunk, { isAhead, takePage });
    if (loading === null) return null;
    const key = keyOf(chunk);
    this.#passed.noteLoad(key, { isRun });
    const pending: PendingLoad = { loading, waiters: [] };
    this.#pending.set(key, pending);
    loading.done.then(
      (length) => this.#finish(key, pending, page, length),
      (error) => this.#fail(key, pending, page, error),
    );
    return pending;
  }

  #finish(key: string, pending: PendingLoad, page: Page | null, length: number): void {
    if (page === null) {
      return this.#fail(key, pending, page, new TypeError("Cannot cache a chunk without a page"));
    }
    page.length = length;
    this.#filling--;
    this.#pending.delete(key);
    this.#pages.set(key, page);
    // Held for all waiters before the first of them runs, which may cause the page's eviction.
    for (const waiter of pending.waiters) waiter.resolve(page.retain());
  }

  #fail(key: string, pending: PendingLoad, page: Page | null, error: unknown): void {
    if (page !== null) {
      this.#filling--;
      page.release();
    }
    this.#pending.delete(key);
    this.#passed.remove(key);
    for (const waiter of pending.waiters) waiter.reject(error);
  }

  #takePage(memory: PageMemory | null): Page {
    this.#evictPassed(memory);
    while (this.#pages.size + this.#filling >= this.#capacity) {
      const victim = this.#findVictim(memory);
      if (victim === null) break;
      this.#evict(...victim);
    }
    const page = this.#pool.take(memory);
    this.#filling++;
    return page;
  }

  #evict(key: string, page: Page): void {
    this.#pages.delete(key);
    this.#passed.remove(key);
    page.release();
  }

  /** Evicts a page in that memory that was passed, if there is one: the memory need not grow. */
  #evictPassed(memory: PageMemory | null): void {
    for (const key of this.#passed.reusable()) {
      const page = this.#pages.get(key);
      if (!page || !isFree(page, memory)) continue;
      this.#passed.noteReuse(key);
      return this.#evict(key, page);
    }
  }

  /**
   * Returns the page to evict, with its key: one in that memory among the least recently used, else
   * the least recently used of all. `null` if all are held.
   */
  #findVictim(memory: PageMemory | null): [string, Page] | null {
    let first: [string, Page] | null = null;
    let choices = Math.min(MAX_EVICTION_CHOICES, Math.ceil(this.#capacity / 8));
    for (const entry of this.#pages) {
      if (isFree(entry[1], memory)) return entry;
      if (!entry[1].isHeldOnce) continue;
      first ??= entry;
      if (--choices === 0) break;
    }
    return first;
  }
}

/**
 * Whether evicting a page frees memory, and where it is wanted: a page that a reader holds stays.
 *
 * @param memory The worker's memory; `null` if any will do.
 */
function isFree(page: Page, memory: PageMemory | null): boolean {
  return page.isHeldOnce && (memory === null || page.outputIn(memory) !== null);
}

/** Bytes behind a short chunk's end belong to another chunk that had the page before. */
function requireLength(page: Page, { dir, id }: ChunkLocation, needed: number): Page {
  if (page.length >= needed) return page;
  const detail = `it holds ${page.length} bytes, the image needs ${needed}`;
  throw corruptChunk({ id, seqs: () => [] }, { path: chunkPath(dir, id), reason: "size", detail });
}

function keyOf({ dir, id }: ChunkLocation): string {
  return id + dir;
}
