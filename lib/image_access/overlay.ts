/**
 * What was written to one image, over its revision, which never changes: a copy of each chunk that
 * was changed.
 *
 * The copies are in memory or stored (`dirty_chunks.ts`). A write either takes place as a whole or
 * fails and changes nothing. Writes to one image take place one after another, in the order in
 * which they came. Pure: storing and loading are handed in.
 *
 * @module
 */

import { copyBytes } from "../linux/copy_bytes.ts";
import type { Page } from "../pages/page_pool.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import type { DirtyChunk, DirtyChunks } from "./dirty_chunks.ts";

/** An image as it was backed up. */
export interface BaseImage {
  /** Bytes of the image in a seq's chunk: CHUNK_BYTES but for the last. */
  bytesOf(seq: number): number;
  /** Returns the page of a seq's chunk, held for the caller; `null` if it is all zeros. */
  loadBase(seq: number): Page | null | Promise<Page | null>;
  /** Hears of each chunk that is written to, before the write is done; maybe more than once. */
  noteChange(seq: number): void;
}

/** A changed chunk that was stored. */
interface SpilledChunk {
  readonly spilledId: string;
}

/** Where a changed chunk is: in memory, or under an id in the spill store. */
export type ChangedChunk = { readonly page: Page } | SpilledChunk;

/** The changes of one image. */
export class Overlay {
  readonly #dirty: DirtyChunks;
  readonly #base: BaseImage;
  readonly #chunks = new Map<number, DirtyChunk | SpilledChunk>();
  #slowWrites = 0;

  constructor(dirty: DirtyChunks, base: BaseImage) {
    this.#dirty = dirty;
    this.#base = base;
  }

  /** Returns where a changed chunk is, its page held for the caller; `null` if unchanged. */
  find(seq: number): ChangedChunk | null {
    const chunk = this.#chunks.get(seq);
    if (chunk === undefined) return null;
    if ("spilledId" in chunk) return chunk;
    this.#dirty.touch(chunk);
    return { page: chunk.page.retain() };
  }

  /** Whether a chunk was changed. */
  has(seq: number): boolean {
    return this.#chunks.has(seq);
  }

  /** Whether anything was written. */
  get hasChanges(): boolean {
    return this.#chunks.size > 0;
  }

  /** The chunks that were changed, in no order. */
  get seqs(): Iterable<number> {
    return this.#chunks.keys();
  }

  /** Forgets what was written. Nothing may be written meanwhile or later. */
  discard(): void {
    for (const chunk of this.#chunks.values()) {
      if ("page" in chunk) this.#dirty.discard(chunk);
    }
    this.#chunks.clear();
  }

  /**
   * Changes bytes of the image.
   *
   * @param data Inside the image; must stay as it is until the write is done.
   * @returns `undefined` if the write is done already.
   * @throws Whatever loading or storing a chunk fails with. Nothing was changed then; of data
   *   longer than CHUNK_BYTES a first part may have been.
   */
  write(offset: number, data: Uint8Array): void | Promise<void> {
    if (data.length === 0) return;
    if (this.#slowWrites === 0) {
      const chunks = this.#dirtyChunks(offset, data.length);
      if (chunks !== null) return this.#copyInto(chunks, offset, data);
    }
    this.#slowWrites++;
    return this.#dirty.inTurn(() => this.#writeInSteps(offset, data))
      .finally(() => this.#slowWrites--);
  }

  /** Returns the changed chunks of a range; `null` unless all are in memory. */
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
      await this.#dirty.makeRoom(missing.length, kept as ReadonlySet<DirtyChunk>);
      for (const seq of missing) {
        fresh.push(await this.#prepare(seq, bytesWithin(seq, offset, data.length)));
      }
    } catch (error) {
      for (const { page } of fresh) page.release();
      throw error;
    }
    // From here on nothing can fail and nothing else runs.
    for (const chunk of fresh) {
      this.#chunks.set(chunk.seq, chunk);
      this.#base.noteChange(chunk.seq);
    }
    this.#copyInto(this.#dirtyChunks(offset, data.length)!, offset, data);
  }

  /**
   * Copies a chunk into a page of its own.
   *
   * @param written How many of its bytes are about to be written.
   */
  async #prepare(seq: number, written: number): Promise<DirtyChunk> {
    const bytes = this.#base.bytesOf(seq);
    // A chunk that is overwritten as a whole need not be loaded.
    const content = written === bytes ? undefined : await this.#load(seq);
    const page = this.#dirty.pool.take();
    if (content === null) page.bytes.fill(0, 0, bytes);
    if (content) {
      copyBytes(page.bytes, content.bytes.subarray(0, bytes));
      content.release();
    }
    page.length = bytes;
    const onSpilled = (spilledId: string) => void this.#chunks.set(seq, { spilledId });
    return { seq, page, bytes, onSpilled, version: 0, blockedVersion: -1 };
  }

  #load(seq: number): Page | null | Promise<Page | null> {
    const chunk = this.#chunks.get(seq);
    if (chunk === undefined) return this.#base.loadBase(seq);
    if ("page" in chunk) throw new TypeError("Cannot load a chunk that is in memory");
    return this.#dirty.spill.load(chunk.spilledId, this.#base.bytesOf(seq));
  }

  #copyInto(chunks: readonly DirtyChunk[], offset: number, data: Uint8Array): void {
    let done = 0;
    for (const chunk of chunks) {
      const start = offset + done - chunk.seq * CHUNK_BYTES;
      const part = data.subarray(done, done + Math.min(data.length - done, CHUNK_BYTES - start));
      copyBytes(chunk.page.bytes.subarray(start), part);
      chunk.version++;
      this.#dirty.touch(chunk);
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
