/**
 * What was written to mounted images: a copy of each chunk that was changed, over the revisions,
 * which never change.
 *
 * Changed chunks lie in pages, bounded in bytes. When the bound is reached, the least recently used
 * are stored as chunks (`--spill`); such a chunk is read like any other, through the page cache,
 * and is copied once more when it is written to again. Nothing of this outlives the mount.
 *
 * A write either takes place as a whole or fails and changes nothing. Writes to one image take
 * place one after another, in the order in which they came. Pure: storing and loading are handed
 * in.
 *
 * @module
 */

import { ChunkCorruptError } from "../errors.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import type { Page, PagePool } from "../pages/page_pool.ts";

/** Where changed chunks go that there is no room for. */
export interface SpillPlace {
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

/** An image as it was backed up. */
export interface BaseImage {
  /** Bytes of the image that a seq stands for. */
  bytesOf(seq: number): number;
  /** Returns a seq's content, held for the caller; `null` if it is all zeros. */
  loadBase(seq: number): Page | null | Promise<Page | null>;
}

/** A changed chunk in memory. */
interface DirtyChunk {
  readonly page: Page;
  readonly bytes: number;
  readonly image: ImageOverlay;
  readonly seq: number;
  /** Counts the writes. */
  version: number;
  /** Version that cannot be stored, because a damaged chunk of that content is in the way. */
  blockedVersion: number;
}

/** A changed chunk that was stored. */
interface SpilledChunk {
  readonly spilledId: string;
}

/** Where a changed chunk is: in memory, or under an id in the spill place. */
export type Changed = { readonly page: Page } | SpilledChunk;

/** Chunks that one step of a write changes: it may cross one border. */
const SEQS_PER_STEP = 2;

/** The changed chunks of all images together. */
export class Overlay {
  readonly pool: PagePool;
  readonly spill: SpillPlace;
  readonly #capacity: number;
  /** In order of use, the least recently used first. */
  readonly #dirty = new Set<DirtyChunk>();
  #lastSlowWrite: Promise<unknown> = Promise.resolve();

  /**
   * @param options.capacityBytes Bound of the pages' memory.
   * @throws {RangeError} If that is less than two pages, which a write across a border needs.
   */
  constructor(options: { pool: PagePool; spill: SpillPlace; capacityBytes: number }) {
    this.pool = options.pool;
    this.spill = options.spill;
    this.#capacity = Math.floor(options.capacityBytes / CHUNK_BYTES);
    if (!(this.#capacity >= SEQS_PER_STEP)) {
      throw new RangeError(`Cannot keep changes in ${options.capacityBytes} bytes`);
    }
  }

  /** Number of changed chunks in memory. */
  get dirtyCount(): number {
    return this.#dirty.size;
  }

  /**
   * Runs writes that must wait for something one by one, so that they never wait for each other's
   * pages.
   */
  inTurn<T>(write: () => Promise<T>): Promise<T> {
    const result = this.#lastSlowWrite.then(write);
    this.#lastSlowWrite = result.catch(() => {});
    return result;
  }

  /** Makes a chunk the most recently used. */
  touch(chunk: DirtyChunk): void {
    this.#dirty.delete(chunk);
    this.#dirty.add(chunk);
  }

  /**
   * Makes room for pages by storing others.
   *
   * @param pages How many are to be added.
   * @param kept Chunks that are to stay in memory.
   * @throws Whatever made storing fail; what was changed before is still there.
   */
  async makeRoom(pages: number, kept: ReadonlySet<DirtyChunk>): Promise<void> {
    while (this.#dirty.size + pages > this.#capacity) await this.#spillOne(kept);
  }

  /** Lets go of a chunk that is in memory. For {@linkcode ImageOverlay}. */
  forget(chunk: DirtyChunk): void {
    if (this.#dirty.delete(chunk)) chunk.page.release();
  }

  async #spillOne(kept: ReadonlySet<DirtyChunk>): Promise<void> {
    const candidates = [...this.#dirty].filter((chunk) => !kept.has(chunk));
    const chunk = candidates.find(({ version, blockedVersion }) => version !== blockedVersion) ??
      // If all are blocked, the first says why.
      candidates[0]!;
    const { page, bytes, version } = chunk;
    page.retain();
    try {
      const spilledId = await this.spill.store(page, bytes);
      // What was written meanwhile is not in the stored chunk; what was discarded is not wanted any
      // more.
      if (chunk.version !== version || !this.#dirty.has(chunk)) return;
      chunk.image.replace(chunk.seq, { spilledId });
      this.#dirty.delete(chunk);
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

/** The changes of one image. */
export class ImageOverlay {
  readonly #overlay: Overlay;
  readonly #base: BaseImage;
  readonly #chunks = new Map<number, DirtyChunk | SpilledChunk>();
  #slowWrites = 0;

  constructor(overlay: Overlay, base: BaseImage) {
    this.#overlay = overlay;
    this.#base = base;
  }

  /**
   * Returns where a changed chunk is, its page held for the caller; `null` if it was not changed.
   */
  find(seq: number): Changed | null {
    const chunk = this.#chunks.get(seq);
    if (chunk === undefined) return null;
    if ("spilledId" in chunk) return chunk;
    this.#overlay.touch(chunk);
    return { page: chunk.page.retain() };
  }

  /** Tells whether a chunk was changed. */
  has(seq: number): boolean {
    return this.#chunks.has(seq);
  }

  /** Whether anything was written. */
  get hasChanges(): boolean {
    return this.#chunks.size > 0;
  }

  /** Forgets what was written. Nothing may be written meanwhile or later. */
  discard(): void {
    for (const chunk of this.#chunks.values()) {
      if ("page" in chunk) this.#overlay.forget(chunk);
    }
    this.#chunks.clear();
  }

  /** Puts a chunk in another's place. For {@linkcode Overlay}. */
  replace(seq: number, chunk: SpilledChunk): void {
    this.#chunks.set(seq, chunk);
  }

  /**
   * Changes bytes of the image.
   *
   * @param data Inside the image; must stay as it is until the write is done.
   * @returns Nothing if the write is done already.
   * @throws Whatever made loading or storing a chunk fail. Then nothing is changed; of more data
   *   than CHUNK_BYTES, the first part may be.
   */
  write(offset: number, data: Uint8Array): void | Promise<void> {
    if (data.length === 0) return;
    if (this.#slowWrites === 0) {
      const chunks = this.#dirtyChunks(offset, data.length);
      if (chunks !== null) return this.#copyInto(chunks, offset, data);
    }
    this.#slowWrites++;
    return this.#overlay.inTurn(() => this.#writeInSteps(offset, data))
      .finally(() => this.#slowWrites--);
  }

  /** Returns the chunks of a range if all are in memory and changed. */
  #dirtyChunks(offset: number, length: number): DirtyChunk[] | null {
    const chunks: DirtyChunk[] = [];
    for (const seq of seqsOf(offset, length)) {
      const chunk = this.#chunks.get(seq);
      if (chunk === undefined || "spilledId" in chunk) return null;
      chunks.push(chunk);
    }
    return chunks;
  }

  async #writeInSteps(offset: number, data: Uint8Array): Promise<void> {
    for (let done = 0; done < data.length; done += CHUNK_BYTES) {
      await this.#writeStep(offset + done, data.subarray(done, done + CHUNK_BYTES));
    }
  }

  async #writeStep(offset: number, data: Uint8Array): Promise<void> {
    const seqs = [...seqsOf(offset, data.length)];
    const fresh: DirtyChunk[] = [];
    try {
      const present = seqs.map((seq) => this.#chunks.get(seq));
      const kept = new Set(present.filter((chunk) => chunk !== undefined && "page" in chunk));
      const missing = seqs.filter((_, index) => !kept.has(present[index] as DirtyChunk));
      await this.#overlay.makeRoom(missing.length, kept as ReadonlySet<DirtyChunk>);
      for (const seq of missing) {
        fresh.push(await this.#prepare(seq, bytesWithin(seq, offset, data.length)));
      }
    } catch (error) {
      for (const { page } of fresh) page.release();
      throw error;
    }
    // From here on nothing can fail and nobody comes between.
    for (const chunk of fresh) this.#chunks.set(chunk.seq, chunk);
    this.#copyInto(this.#dirtyChunks(offset, data.length)!, offset, data);
  }

  /**
   * Copies a chunk into a page of its own. @param written How many of its bytes are about to be
   * written.
   */
  async #prepare(seq: number, written: number): Promise<DirtyChunk> {
    const bytes = this.#base.bytesOf(seq);
    // What is replaced as a whole need not be known.
    const content = written === bytes ? undefined : await this.#load(seq);
    const page = this.#overlay.pool.take();
    if (content === null) page.bytes.fill(0, 0, bytes);
    if (content) {
      page.bytes.set(content.bytes.subarray(0, bytes));
      content.release();
    }
    page.length = bytes;
    return { page, bytes, image: this, seq, version: 0, blockedVersion: -1 };
  }

  #load(seq: number): Page | null | Promise<Page | null> {
    const chunk = this.#chunks.get(seq);
    if (chunk === undefined) return this.#base.loadBase(seq);
    if ("page" in chunk) throw new TypeError("Cannot load a chunk that is in memory");
    return this.#overlay.spill.load(chunk.spilledId, this.#base.bytesOf(seq));
  }

  #copyInto(chunks: readonly DirtyChunk[], offset: number, data: Uint8Array): void {
    let done = 0;
    for (const chunk of chunks) {
      const start = offset + done - chunk.seq * CHUNK_BYTES;
      const part = data.subarray(done, done + Math.min(data.length - done, CHUNK_BYTES - start));
      chunk.page.bytes.set(part, start);
      chunk.version++;
      this.#overlay.touch(chunk);
      done += part.length;
    }
  }
}

/** Lists the seqs that a range of bytes touches. */
export function* seqsOf(offset: number, length: number): Generator<number> {
  const end = offset + length;
  for (let seq = Math.floor(offset / CHUNK_BYTES); seq * CHUNK_BYTES < end; seq++) yield seq;
}

/** Counts the bytes of a seq that a range covers. */
function bytesWithin(seq: number, offset: number, length: number): number {
  const start = seq * CHUNK_BYTES;
  return Math.min(start + CHUNK_BYTES, offset + length) - Math.max(start, offset);
}
