/**
 * The chunks of all images that were written to and not stored yet, in pages bounded in bytes.
 *
 * When the bound is reached, the least recently used are stored as chunks (`--spill`); a stored
 * chunk is read like any other, through the page cache, and is copied once more when it is written
 * to again. Nothing of this outlives the process. Pure: storing and loading are handed in. Used by
 * `overlay.ts`, which knows one image's changes.
 *
 * @module
 */

import { ChunkCorruptError } from "../errors.ts";
import type { Page, PagePool } from "../pages/page_pool.ts";
import { CHUNK_BYTES } from "../store/layout.ts";

/** Chunks that one step of a write changes: it may cross one border. */
const CHUNKS_PER_STEP = 2;

/** Stores changed chunks that there is no room for in memory. */
export interface SpillStore {
  /**
   * Stores the first `bytes` of a page, which may be written to meanwhile.
   *
   * @returns The stored chunk's id.
   */
  store(page: Page, bytes: number): Promise<string>;
  /**
   * Returns the page, held for the caller, of a chunk that was stored with so many bytes; `null` if
   * it is all zeros.
   */
  load(id: string, bytes: number): Page | null | Promise<Page | null>;
}

/** A changed chunk in memory. */
export interface DirtyChunk {
  /** Number of the chunk in its image. */
  readonly seq: number;
  readonly page: Page;
  /** Bytes of the image in the page. */
  readonly bytes: number;
  /** Called when the chunk has been stored: its page is given back then. */
  readonly onSpilled: (id: string) => void;
  /** Counts the writes. */
  version: number;
  /** The version that cannot be stored, because a damaged chunk file has its id; -1 if none. */
  blockedVersion: number;
}

/** The changed chunks of all images that are in memory. */
export class DirtyChunks {
  readonly pool: PagePool;
  readonly spill: SpillStore;
  readonly #capacity: number;
  /** In order of use, the least recently used first. */
  readonly #chunks = new Set<DirtyChunk>();
  #lastSlowWrite: Promise<unknown> = Promise.resolve();

  /**
   * @param options.capacityBytes Bound of the pages' memory.
   * @throws {RangeError} If that is less than two pages, which a write across a border needs.
   */
  constructor(options: { pool: PagePool; spill: SpillStore; capacityBytes: number }) {
    this.pool = options.pool;
    this.spill = options.spill;
    this.#capacity = Math.floor(options.capacityBytes / CHUNK_BYTES);
    if (!(this.#capacity >= CHUNKS_PER_STEP)) {
      throw new RangeError(`Cannot keep changes in ${options.capacityBytes} bytes`);
    }
  }

  /** Number of changed chunks in memory. */
  get count(): number {
    return this.#chunks.size;
  }

  /**
   * Runs writes that must wait for something one by one, so that none waits for another's pages.
   */
  inTurn<T>(write: () => Promise<T>): Promise<T> {
    const result = this.#lastSlowWrite.then(write);
    this.#lastSlowWrite = result.catch(() => {});
    return result;
  }

  /** Adds a chunk, or makes it the most recently used. */
  touch(chunk: DirtyChunk): void {
    this.#chunks.delete(chunk);
    this.#chunks.add(chunk);
  }

  /** Gives a chunk's page back; its content is lost. */
  discard(chunk: DirtyChunk): void {
    if (this.#chunks.delete(chunk)) chunk.page.release();
  }

  /**
   * Makes room for pages by storing others.
   *
   * @param pages How many are to be added.
   * @param kept Chunks that must stay in memory.
   * @throws Whatever `SpillStore.store` fails with. Nothing is lost then.
   */
  async makeRoom(pages: number, kept: ReadonlySet<DirtyChunk>): Promise<void> {
    while (this.#chunks.size + pages > this.#capacity) await this.#spillOne(kept);
  }

  async #spillOne(kept: ReadonlySet<DirtyChunk>): Promise<void> {
    const candidates = [...this.#chunks].filter((chunk) => !kept.has(chunk));
    const chunk = candidates.find(({ version, blockedVersion }) => version !== blockedVersion) ??
      // If all are blocked, storing the first fails with the reason.
      candidates[0]!;
    const { page, bytes, version } = chunk;
    page.retain();
    try {
      const id = await this.spill.store(page, bytes);
      // The stored chunk is of no use if the page was written to meanwhile or discarded.
      if (chunk.version !== version || !this.#chunks.has(chunk)) return;
      chunk.onSpilled(id);
      this.#chunks.delete(chunk);
      page.release();
    } catch (error) {
      const isNew = error instanceof ChunkCorruptError && chunk.blockedVersion !== version;
      if (!isNew) throw error;
      chunk.blockedVersion = version;
    } finally {
      page.release();
    }
  }
}
