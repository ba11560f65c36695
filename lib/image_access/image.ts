/**
 * One revision as bytes that can be read and overwritten at any offset. Says which chunks hold the
 * bytes asked for, and gets their pages.
 *
 * What was written is in the overlay, the rest in chunks, or nowhere: absent chunks are zeros. The
 * revision map is read when the image is opened; the size is found without it. An image stands for
 * one state of the map (`image_map.ts`). Before: whoever serves or reads images, such as
 * `lib/fuse/filesystem.ts`; next: `lib/pages/page_cache.ts`.
 *
 * @module
 */

import type { ChunkLocation, PageCache } from "../pages/page_cache.ts";
import type { Page } from "../pages/page_pool.ts";
import { chunkIdAt, ZeroTest } from "../store/chunk_ids.ts";
import { bytesOfSeq, CHUNK_BYTES, MAX_IMAGE_BYTES, ZERO_CHUNK_ID } from "../store/layout.ts";
import type { RevisionMap } from "../store/revision_map.ts";
import type { DirtyChunks } from "./dirty_chunks.ts";
import type { ImagePart } from "./failure_log.ts";
import { ImageMap, type MapServices, type MapUser } from "./image_map.ts";
import { type BaseImage, Overlay, seqsOf } from "./overlay.ts";
import { type Following, ReadAhead } from "./read_ahead.ts";
import { collect, cut, type ReadBytes } from "./read_bytes.ts";

/** How far to look for chunks to load ahead: seqs for each chunk, as zeros may lie between. */
const AHEAD_SEQS_PER_CHUNK = 8;

/** What the images of a backup directory share. */
export interface ImageServices extends MapServices {
  readonly basedir: string;
  /** Where changed chunks are stored: a directory with `chunks` below it. */
  readonly spillDir: string;
  readonly cache: PageCache;
  readonly dirty: DirtyChunks;
  /** Most chunks that are loaded ahead of a sequential reader. */
  readonly aheadChunks: number;
}

/** A revision, open or not. */
export class Image implements BaseImage, MapUser {
  readonly name: string;
  readonly map: ImageMap;
  readonly #services: ImageServices;
  readonly #overlay: Overlay;
  #openCount = 0;
  #writeCount = 0;
  #isRetired = false;
  #isLossReported = false;

  constructor(revision: { name: string; mapPath: string }, services: ImageServices) {
    this.name = revision.name;
    this.map = new ImageMap(revision.mapPath, this, services);
    this.#services = services;
    this.#overlay = new Overlay(services.dirty, this);
  }

  /** Whether somebody has it open. */
  get isOpen(): boolean {
    return this.#openCount > 0;
  }

  /** Whether it was written to. */
  get hasChanges(): boolean {
    return this.#overlay.hasChanges;
  }

  /**
   * Size in bytes.
   *
   * @throws {RevisionError} If the map cannot be read or has no size; the next call tries again.
   */
  get size(): number {
    return this.map.readImageBytes();
  }

  /** The chunks that were written to. */
  get changedSeqs(): Iterable<number> {
    return this.#overlay.seqs;
  }

  /**
   * How many bytes of the image are in chunks with data; `null` if that is not known, because
   * nobody has opened it yet.
   */
  get dataBytes(): number | null {
    return this.map.knownDataBytes;
  }

  /**
   * How many bytes of a range are in chunks with data; `null` if the map is not in memory.
   *
   * @param offset First byte; all of the range lies in the image.
   */
  dataBytesIn(offset: number, length: number): number | null {
    return this.map.data?.bytesIn(offset, offset + length) ?? null;
  }

  /** Changes with each write that has been done, for whoever keeps what they read. */
  get writeCount(): number {
    return this.#writeCount;
  }

  /**
   * Opens the image and reads its map unless it is in memory. Until it is closed, all reads go by
   * that map.
   *
   * @throws {RevisionError} If the map cannot be read, or is being written for too long to wait.
   * @throws {MapChangedError} If the file is no longer the one that the image stands for.
   */
  open(): OpenImage | Promise<OpenImage> {
    this.#openCount++;
    this.map.keep();
    const open = () => new OpenImage(this, new ReadAhead(this.#services.aheadChunks));
    if (this.map.current) return open();
    return this.map.read().then(open, (error) => {
      this.close();
      throw error;
    });
  }

  /** Takes back one {@linkcode open}; for {@linkcode OpenImage}. */
  close(): void {
    if (--this.#openCount > 0) return;
    if (this.#isRetired) this.#discard();
    else this.map.letGo();
  }

  /**
   * Drops the map and all changes as soon as nobody has the image open: another one stands for the
   * revision now.
   */
  retire(): void {
    this.#isRetired = true;
    if (!this.isOpen) this.#discard();
  }

  bytesOf(seq: number): number {
    return bytesOfSeq(this.size, seq);
  }

  async loadBase(seq: number): Promise<Page | null> {
    const map = this.map.current ?? await this.map.read();
    const id = idOf(map, seq);
    return id === null ? null : await this.#page({ dir: this.#services.basedir, id }, seq);
  }

  noteChange(seq: number): void {
    this.map.data?.add(seq);
  }

  /**
   * Finds the first offset, from `offset` on, at which there is data or a hole. A hole reads as
   * zeros, and so may data. There is a hole at the image's end. If the image is not open, all of it
   * may count as data.
   *
   * @returns `null` if `offset` is not inside the image, or if only holes follow it.
   * @throws {RevisionError} If the image's size cannot be read.
   */
  seek(offset: number, wanted: "data" | "hole"): number | null {
    const { size } = this;
    if (offset < 0 || offset >= size) return null;
    const isData = wanted === "data";
    const { data } = this.map;
    if (!data) return isData ? offset : size;
    const seq = data.find(Math.floor(offset / CHUNK_BYTES), isData ? "data" : "zeros");
    const start = Math.max(offset, seq * CHUNK_BYTES);
    if (start < size) return start;
    return isData ? null : size;
  }

  /**
   * Reads bytes of the image, fewer than asked for where it ends.
   *
   * @param ahead Follows the reading, to load chunks ahead.
   * @returns The bytes, at once if no chunk must be loaded.
   * @throws {RevisionError} If the map cannot be read.
   * @throws {BackyError} If a chunk cannot be read: missing, corrupt, a dead worker. The next read
   *   tries again.
   */
  read(offset: number, length: number, ahead?: ReadAhead): ReadBytes | Promise<ReadBytes> {
    const end = Math.min(offset + length, this.size);
    if (offset >= end) return { views: [], pages: [], release: () => {} };
    const map = this.map.current;
    if (map) return this.#readWith(map, { offset, end, ahead });
    return this.map.read().then((map) => this.#readWith(map, { offset, end, ahead }));
  }

  /**
   * Overwrites bytes of the image, in the overlay.
   *
   * @param data Inside the image; must not change until the write is done.
   * @returns `undefined` if the write is done already.
   * @throws As {@linkcode read} does, and what storing other changes fails with. Nothing was
   *   changed then.
   */
  write(offset: number, data: Uint8Array): void | Promise<void> {
    if (offset + data.length > this.size) {
      throw new RangeError(`Cannot write behind the end of ${this.size} bytes`);
    }
    this.#reportIfLost();
    const result = this.#overlay.write(offset, data);
    if (!result) {
      this.#writeCount++;
      return;
    }
    return result.then(() => void this.#writeCount++, (error) => {
      const part = this.#part(Math.floor(offset / CHUNK_BYTES));
      this.#services.failures.reportWrite(part, error);
      throw error;
    });
  }

  /**
   * Reports at the first write to a retired image that whoever opens the revision next will not see
   * what was written.
   */
  #reportIfLost(): void {
    if (!this.#isRetired || this.hasChanges || this.#isLossReported) return;
    this.#isLossReported = true;
    this.#services.failures.reportReplaced(this.name);
  }

  #readWith(
    map: RevisionMap,
    range: { offset: number; end: number; ahead: ReadAhead | undefined },
  ): ReadBytes | Promise<ReadBytes> {
    const { offset, end, ahead } = range;
    const seqs = [...seqsOf(offset, end - offset)];
    const dataFrom = (at: number) => this.seek(at, "data") ?? Infinity;
    const following = ahead?.follow(offset, end - offset, dataFrom);
    const pages = seqs.map((seq) => this.#find(map, seq, following?.isRun ?? false));
    if (following) {
      // The chunks that are needed now were requested before.
      this.#loadAhead(map, seqs.at(-1)! + 1, following.aheadChunks);
      this.#pass(map, following.passed);
    }
    if (pages.some((page) => page instanceof Promise)) {
      return collect(pages).then((pages) => cut(pages, seqs[0]!, range));
    }
    return cut(pages as (Page | null)[], seqs[0]!, range);
  }

  /** Returns a seq's page, held for the caller; `null` for zeros. */
  #find(map: RevisionMap, seq: number, isRun: boolean): Page | null | Promise<Page | null> {
    const changed = this.#overlay.find(seq);
    if (changed && "page" in changed) return changed.page;
    const chunk = this.#chunkOf(map, seq, changed?.spilledId);
    return chunk && this.#page(chunk, seq, isRun);
  }

  #chunkOf(map: RevisionMap, seq: number, spilledId: string | undefined): ChunkLocation | null {
    const { basedir, spillDir } = this.#services;
    if (spilledId !== undefined) {
      return spilledId === ZERO_CHUNK_ID ? null : { dir: spillDir, id: spilledId };
    }
    const id = idOf(map, seq);
    return id === null ? null : { dir: basedir, id };
  }

  /** Returns a chunk's page, held for the caller. It never throws: a failure rejects. */
  #page(chunk: ChunkLocation, seq: number, isRun = false): Page | Promise<Page> {
    const { cache } = this.#services;
    const needed = this.bytesOf(seq);
    try {
      const page = cache.get(chunk, needed, { isRun });
      if (page !== null) return page;
    } catch (error) {
      return this.#fail(seq, error);
    }
    return cache.load(chunk, needed, { isRun }).then((page) => {
      this.#services.failures.forget(this.#part(seq));
      return page;
    }, (error) => this.#fail(seq, error));
  }

  #fail(seq: number, error: unknown): Promise<never> {
    this.#services.failures.reportRead(this.#part(seq), error);
    return Promise.reject(error);
  }

  #part(seq: number): ImagePart {
    return { revision: this.name, seq, imageBytes: this.map.knownImageBytes ?? MAX_IMAGE_BYTES };
  }

  #loadAhead(map: RevisionMap, firstSeq: number, chunks: number): void {
    let left = chunks;
    const end = Math.min(map.seqCount, firstSeq + AHEAD_SEQS_PER_CHUNK * chunks);
    for (let seq = firstSeq; seq < end && left > 0; seq++) {
      // The content before a change is not needed, and the change is in memory or stored.
      if (this.#overlay.has(seq)) continue;
      const id = idOf(map, seq);
      if (id === null) continue;
      if (!this.#services.cache.prefetch({ dir: this.#services.basedir, id })) return;
      left--;
    }
  }

  /**
   * Gives up the pages of chunks that a long sequential read has passed. If the cache can hold the
   * whole image, they are kept: whoever reads it again finds it there.
   */
  #pass(map: RevisionMap, { firstSeq, endSeq }: Following["passed"]): void {
    const { basedir, cache } = this.#services;
    if (firstSeq >= endSeq || (this.dataBytes ?? 0) <= cache.capacityBytes) return;
    // A reader may have left out a hole of many TiB.
    const next = (seq: number) => this.map.data?.find(seq, "data") ?? endSeq;
    for (let seq = next(firstSeq); seq < endSeq; seq = next(seq + 1)) {
      const id = idOf(map, seq);
      if (id !== null) cache.pass({ dir: basedir, id });
    }
  }

  #discard(): void {
    this.#overlay.discard();
    this.map.drop();
  }
}

/** An image as one reader has it open, whose sequential reading is followed. */
export class OpenImage {
  readonly image: Image;
  readonly #ahead: ReadAhead;

  constructor(image: Image, ahead: ReadAhead) {
    this.image = image;
    this.#ahead = ahead;
  }

  /** Reads as {@linkcode Image.read} does, and loads chunks ahead of a sequential reader. */
  read(offset: number, length: number): ReadBytes | Promise<ReadBytes> {
    return this.image.read(offset, length, this.#ahead);
  }

  /** To be called once. */
  close(): void {
    this.image.close();
  }
}

/** Returns the id of a seq's chunk; `null` if it is all zeros. */
function idOf(map: RevisionMap, seq: number): string | null {
  return new ZeroTest(map.ids).isZero(seq) ? null : chunkIdAt(map.ids, seq);
}
