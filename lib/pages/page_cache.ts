/**
 * Step 5 of a FUSE read: finds a chunk's page, or has the chunk decoded into one.
 *
 * One cache serves all revisions, which share most of their chunks. It is bounded in bytes; what
 * was used least recently goes first, or nearly so: what goes should lie in the memory of the
 * worker that needs the place. A chunk that several readers ask for at once is decoded once. A
 * failure is told to those who wait for it and is not remembered: the next reader has it tried
 * again. Pure: `chunk_loader.ts` (step 6) does the decoding.
 *
 * @module
 */

import { chunkPath, inFile } from "../chunk/chunk_file.ts";
import { ChunkCorruptError } from "../errors.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import type { PageMemory } from "./page_memory.ts";
import type { Page, PagePool } from "./page_pool.ts";

/**
 * So many of the least recently used pages are looked over for one in the memory that is wanted; of
 * a small cache an eighth, for what was used last will be used again.
 */
const MAX_EVICTION_CHOICES = 16;

/** Which chunk, and in which directory's `chunks` it lies. */
export interface ChunkLocation {
  readonly dir: string;
  /** 32 lower-case hex digits. */
  readonly id: string;
}

/** A chunk on its way into a page. */
export interface Loading {
  /** Resolves to the number of bytes in the page. */
  readonly done: Promise<number>;
  /** Somebody waits for it now: it is to be no longer behind others that are loaded ahead. */
  promote(): void;
}

/** Decodes chunks. */
export interface PageLoader {
  /**
   * Decodes a chunk into the page that `takePage` returns, which is called when the work begins,
   * with the memory in which the page would best lie.
   *
   * @param options.isAhead Whether nobody waits for it yet.
   * @returns `null` if it is loaded ahead and there is too much to do already.
   */
  load(
    chunk: ChunkLocation,
    options: { isAhead: boolean; takePage: (memory: PageMemory | null) => Page },
  ): Loading | null;
}

/** How a cache has served, in number of chunks. */
export interface CacheCounts {
  readonly hits: number;
  readonly misses: number;
  /** Loaded ahead of any reader. */
  readonly ahead: number;
}

interface Flight {
  readonly loading: Loading;
  readonly waiters: PromiseWithResolvers<Page>[];
}

/** Decoded chunks. */
export class PageCache {
  readonly #pool: PagePool;
  readonly #loader: PageLoader;
  readonly #capacity: number;
  /** In order of use, the least recently used first. The cache holds each page once. */
  readonly #pages = new Map<string, Page>();
  readonly #flights = new Map<string, Flight>();
  /** Pages that are being filled. */
  #filling = 0;
  #hits = 0;
  #misses = 0;
  #ahead = 0;

  /**
   * @param options.capacityBytes Bound of the pages' memory, at least one page. Only pages that
   *   readers hold may exceed it, two a request at most.
   */
  constructor(options: { pool: PagePool; loader: PageLoader; capacityBytes: number }) {
    this.#pool = options.pool;
    this.#loader = options.loader;
    this.#capacity = Math.max(1, Math.floor(options.capacityBytes / CHUNK_BYTES));
  }

  get counts(): CacheCounts {
    return { hits: this.#hits, misses: this.#misses, ahead: this.#ahead };
  }

  /** Number of pages that the bound leaves room for. */
  get capacityPages(): number {
    return this.#capacity;
  }

  /**
   * Returns a chunk's page, held for the caller, at once; `null` if it must be loaded.
   *
   * @param needed Bytes that the chunk must have, 1 to CHUNK_BYTES.
   * @throws {ChunkCorruptError} If it has fewer.
   */
  get(chunk: ChunkLocation, needed: number): Page | null {
    const page = this.#touch(keyOf(chunk));
    if (page === null) return null;
    this.#hits++;
    return requireLength(page, chunk, needed).retain();
  }

  /**
   * Loads a chunk that is not there, and returns its page, held for the caller.
   *
   * @param needed Bytes that the chunk must have, 1 to CHUNK_BYTES.
   * @throws {ChunkCorruptError} If it has fewer; and whatever made the loading fail.
   */
  async load(chunk: ChunkLocation, needed: number): Promise<Page> {
    const page = this.get(chunk, needed) ?? await this.#board(chunk);
    try {
      return requireLength(page, chunk, needed);
    } catch (error) {
      page.release();
      throw error;
    }
  }

  /** Waits for a chunk's flight, which is begun if there is none. */
  #board(chunk: ChunkLocation): Promise<Page> {
    this.#misses++;
    const key = keyOf(chunk);
    let flight = this.#flights.get(key);
    if (flight) flight.loading.promote();
    else flight = this.#launch(chunk, false)!;
    const waiter = Promise.withResolvers<Page>();
    flight.waiters.push(waiter);
    return waiter.promise;
  }

  /**
   * Has a chunk loaded that will probably be asked for soon.
   *
   * @returns `false` if there is too much to do already.
   */
  prefetch(chunk: ChunkLocation): boolean {
    const key = keyOf(chunk);
    if (this.#flights.has(key) || this.#touch(key) !== null) return true;
    if (this.#launch(chunk, true) === null) return false;
    this.#ahead++;
    return true;
  }

  /** Makes a page the most recently used. */
  #touch(key: string): Page | null {
    const page = this.#pages.get(key);
    if (!page) return null;
    this.#pages.delete(key);
    this.#pages.set(key, page);
    return page;
  }

  #launch(chunk: ChunkLocation, isAhead: boolean): Flight | null {
    let page: Page | null = null;
    const takePage = (memory: PageMemory | null) => page = this.#takePage(memory);
    const loading = this.#loader.load(chunk, { isAhead, takePage });
    if (loading === null) return null;
    const key = keyOf(chunk);
    const flight: Flight = { loading, waiters: [] };
    this.#flights.set(key, flight);
    loading.done.then(
      (length) => this.#land(key, flight, page, length),
      (error) => this.#crash(key, flight, page, error),
    );
    return flight;
  }

  #land(key: string, flight: Flight, page: Page | null, length: number): void {
    if (page === null) {
      return this.#crash(key, flight, page, new TypeError("Cannot cache a chunk without a page"));
    }
    page.length = length;
    this.#filling--;
    this.#flights.delete(key);
    this.#pages.set(key, page);
    // Held for the waiters before any of them runs: the first may bring about that the page is
    // evicted.
    for (const waiter of flight.waiters) waiter.resolve(page.retain());
  }

  #crash(key: string, flight: Flight, page: Page | null, error: unknown): void {
    if (page !== null) {
      this.#filling--;
      page.release();
    }
    this.#flights.delete(key);
    for (const waiter of flight.waiters) waiter.reject(error);
  }

  #takePage(memory: PageMemory | null): Page {
    while (this.#pages.size + this.#filling >= this.#capacity) {
      const key = this.#findVictim(memory);
      if (key === null) break;
      const page = this.#pages.get(key)!;
      this.#pages.delete(key);
      page.release();
    }
    const page = this.#pool.take(memory);
    this.#filling++;
    return page;
  }

  /**
   * Returns the key of the page to evict: among the least recently used one in that memory, else
   * the very least.
   */
  #findVictim(memory: PageMemory | null): string | null {
    let first: string | null = null;
    let choices = Math.min(MAX_EVICTION_CHOICES, Math.ceil(this.#capacity / 8));
    for (const [key, page] of this.#pages) {
      // Somebody is reading it: to let go of it would free no memory.
      if (!page.isHeldOnce) continue;
      if (memory === null || page.outputIn(memory) !== null) return key;
      first ??= key;
      if (--choices === 0) break;
    }
    return first;
  }
}

/** What lies behind a short chunk's end in its page is some other chunk's. */
function requireLength(page: Page, { dir, id }: ChunkLocation, needed: number): Page {
  if (page.length >= needed) return page;
  const path = chunkPath(dir, id);
  throw new ChunkCorruptError(
    `Cannot use chunk "${id}": it holds ${page.length} bytes, the image needs ${needed}${
      inFile(path)
    }`,
    { chunkId: id, seqs: [], path, reason: "size" },
  );
}

function keyOf({ dir, id }: ChunkLocation): string {
  return id + dir;
}
