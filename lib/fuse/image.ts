/**
 * Step 4 of a FUSE read: one revision as a file. Says which chunks hold the bytes asked for, and gets their pages.
 *
 * What was written is in the overlay, the rest in chunks, or nowhere: absent chunks are zeros. The revision map is read when
 * it is first needed; the image's size is found without it. Before: `filesystem.ts`; next: `page_cache.ts`. Pure but for
 * the size's reading.
 *
 * @module
 */

import { RevisionError } from "../errors.ts";
import {
  CHUNK_BYTES,
  CHUNK_ID_BYTES,
  chunkIdToHex,
  MAX_IMAGE_BYTES,
  ZERO_CHUNK_ID,
} from "../store/layout.ts";
import { readRevisionSize, type RevisionMap } from "../store/revision_map.ts";
import { quote } from "../wording.ts";
import type { DamageLog, DamagePlace } from "./damage_log.ts";
import type { IdleMaps } from "./idle_maps.ts";
import { type BaseImage, ImageOverlay, type Overlay, seqsOf } from "./overlay.ts";
import type { ChunkPlace, PageCache } from "./page_cache.ts";
import type { Page } from "./page_pool.ts";
import { ReadAhead } from "./read_ahead.ts";

/**
 * Content of absent chunks, again and again: small enough for a CPU's cache. Filled, so that it has memory of its own: of the
 * page that the kernel shows where nothing was written, it can give away the bytes only by its slow path (0.5 µs for 4 KiB).
 */
const ZEROS = new Uint8Array(new SharedArrayBuffer(65_536)).fill(0);

/** Zeros are looked over for chunks to load ahead, so many at most for each of them. */
const AHEAD_SEQS_PER_CHUNK = 8;

const ZERO_ID = "0".repeat(2 * CHUNK_ID_BYTES);

/** What the images of a mount share. */
export interface ImageServices {
  readonly basedir: string;
  /** Where the overlay stores chunks: a directory with `chunks` below it. */
  readonly spillDir: string;
  readonly cache: PageCache;
  readonly overlay: Overlay;
  readonly idleMaps: IdleMaps;
  readonly damage: DamageLog;
  /** Reads a revision map, away from this thread. */
  readonly readMap: (path: string) => Promise<RevisionMap>;
  /** Default: {@linkcode readRevisionSize}. */
  readonly readSize?: (path: string) => number;
  /** Most chunks that are loaded ahead of a sequential reader. */
  readonly aheadChunks: number;
}

/** Bytes that were read. */
export interface ReadBytes {
  /** To be joined. They must not be changed. */
  readonly views: readonly Uint8Array[];
  /** To be called once, when the bytes have been used: they may be overwritten from then on. */
  release(): void;
}

/** A revision. */
export class Image implements BaseImage {
  readonly name: string;
  readonly #mapPath: string;
  readonly #services: ImageServices;
  readonly #overlay: ImageOverlay;
  #size: number | null = null;
  #map: RevisionMap | null = null;
  #mapReading: Promise<RevisionMap> | null = null;
  #openCount = 0;

  constructor(revision: { name: string; mapPath: string }, services: ImageServices) {
    this.name = revision.name;
    this.#mapPath = revision.mapPath;
    this.#services = services;
    this.#overlay = new ImageOverlay(services.overlay, this);
  }

  /** Size in bytes. @throws {RevisionError} If the map cannot be read or has none; it is tried again next time. */
  get size(): number {
    if (this.#size !== null) return this.#size;
    try {
      this.#size = (this.#services.readSize ?? readRevisionSize)(this.#mapPath);
      return this.#size;
    } catch (error) {
      this.#services.damage.reportRead(this.#place(null), error);
      throw error;
    }
  }

  /** Opens the image. @throws {RevisionError} As {@linkcode size} does. */
  open(): OpenImage {
    // To fail now rather than at the first read.
    void this.size;
    this.#openCount++;
    this.#services.idleMaps.remove(this);
    return new OpenImage(this, new ReadAhead(this.#services.aheadChunks));
  }

  /** Takes back one {@linkcode open}; for {@linkcode OpenImage}. */
  close(): void {
    if (--this.#openCount === 0 && this.#map) {
      this.#services.idleMaps.add(this, this.#map.ids.byteLength);
    }
  }

  /** Lets go of the map. */
  dropMap(): void {
    this.#map = null;
  }

  bytesOf(seq: number): number {
    return Math.min(CHUNK_BYTES, this.size - seq * CHUNK_BYTES);
  }

  async loadBase(seq: number): Promise<Page | null> {
    const map = this.#map ?? await this.#readMap();
    const id = idOf(map, seq);
    return id === null ? null : await this.#page({ dir: this.#services.basedir, id }, seq);
  }

  /**
   * Reads bytes of the image, fewer than asked for where it ends.
   *
   * @param ahead Follows the reading, to load chunks ahead.
   * @returns The bytes, at once if no chunk must be loaded.
   * @throws {RevisionError} If the map cannot be read.
   * @throws {BackyError} If a chunk cannot: missing, corrupt, a dead worker. Nothing of that is remembered.
   */
  read(offset: number, length: number, ahead?: ReadAhead): ReadBytes | Promise<ReadBytes> {
    const end = Math.min(offset + length, this.size);
    if (offset >= end) return { views: [], release: () => {} };
    if (this.#map) return this.#readWith(this.#map, { offset, end, ahead });
    return this.#readMap().then((map) => this.#readWith(map, { offset, end, ahead }));
  }

  /**
   * Changes bytes of the image, in the overlay.
   *
   * @param data Inside the image; must stay as it is until the write is done.
   * @returns Nothing if the write is done already.
   * @throws As {@linkcode read} does, and whatever made storing other changes fail. Then nothing was changed.
   */
  write(offset: number, data: Uint8Array): void | Promise<void> {
    if (offset + data.length > this.size) {
      throw new RangeError(`Cannot write behind the end of ${this.size} bytes`);
    }
    const result = this.#overlay.write(offset, data);
    return result?.catch((error) => {
      const place = this.#place(Math.floor(offset / CHUNK_BYTES));
      this.#services.damage.reportWrite(place, error);
      throw error;
    });
  }

  #readWith(
    map: RevisionMap,
    range: { offset: number; end: number; ahead: ReadAhead | undefined },
  ): ReadBytes | Promise<ReadBytes> {
    const { offset, end, ahead } = range;
    const seqs = [...seqsOf(offset, end - offset)];
    const pages = seqs.map((seq) => this.#find(map, seq));
    const aheadChunks = ahead?.follow(offset, end - offset) ?? 0;
    // After the chunks that are needed now were asked for.
    if (aheadChunks > 0) this.#loadAhead(map, seqs.at(-1)! + 1, aheadChunks);
    if (pages.some((page) => page instanceof Promise)) {
      return collect(pages).then((pages) => cut(pages, seqs[0]!, range));
    }
    return cut(pages as (Page | null)[], seqs[0]!, range);
  }

  /** Returns a seq's page, held, or the promise of it; `null` for zeros. */
  #find(map: RevisionMap, seq: number): Page | null | Promise<Page | null> {
    const changed = this.#overlay.find(seq);
    if (changed && "page" in changed) return changed.page;
    const chunk = this.#chunkOf(map, seq, changed?.spilledId);
    return chunk && this.#page(chunk, seq);
  }

  #chunkOf(map: RevisionMap, seq: number, spilledId: string | undefined): ChunkPlace | null {
    const { basedir, spillDir } = this.#services;
    if (spilledId !== undefined) {
      return spilledId === ZERO_CHUNK_ID ? null : { dir: spillDir, id: spilledId };
    }
    const id = idOf(map, seq);
    return id === null ? null : { dir: basedir, id };
  }

  /** Returns a chunk's page, held. A failure is always a promise's. */
  #page(chunk: ChunkPlace, seq: number): Page | Promise<Page> {
    const { cache } = this.#services;
    const needed = this.bytesOf(seq);
    try {
      const page = cache.get(chunk, needed);
      if (page !== null) return page;
    } catch (error) {
      return this.#fail(seq, error);
    }
    return cache.load(chunk, needed).then((page) => {
      this.#services.damage.forget(this.#place(seq));
      return page;
    }, (error) => this.#fail(seq, error));
  }

  #fail(seq: number | null, error: unknown): Promise<never> {
    this.#services.damage.reportRead(this.#place(seq), error);
    return Promise.reject(error);
  }

  #place(seq: number | null): DamagePlace {
    return { revision: this.name, seq, imageBytes: this.#size ?? MAX_IMAGE_BYTES };
  }

  #loadAhead(map: RevisionMap, firstSeq: number, chunks: number): void {
    let left = chunks;
    const end = Math.min(map.seqCount, firstSeq + AHEAD_SEQS_PER_CHUNK * chunks);
    for (let seq = firstSeq; seq < end && left > 0; seq++) {
      // What was changed is in memory, or has been written over anyway.
      if (this.#overlay.has(seq)) continue;
      const id = idOf(map, seq);
      if (id === null) continue;
      if (!this.#services.cache.prefetch({ dir: this.#services.basedir, id })) return;
      left--;
    }
  }

  /** Reads the map, once for all who wait for it. */
  #readMap(): Promise<RevisionMap> {
    const read = async () => {
      try {
        const map = await this.#services.readMap(this.#mapPath);
        this.#requireSize(map);
        this.#services.damage.forget(this.#place(null));
        this.#map = map;
        // Its readers may have gone away meanwhile.
        if (this.#openCount === 0) this.#services.idleMaps.add(this, map.ids.byteLength);
        return map;
      } catch (error) {
        return await this.#fail(null, error);
      } finally {
        this.#mapReading = null;
      }
    };
    return this.#mapReading ??= read();
  }

  /** Revisions do not change, so the size that programs were told of must be the map's. */
  #requireSize(map: RevisionMap): void {
    if (map.size === this.size) return;
    throw new RevisionError(
      `Cannot use revision map ${
        quote(this.#mapPath)
      }: its size is ${map.size}, it was ${this.size}`,
      { path: this.#mapPath },
    );
  }
}

/** An image that a program has open, with its own position of sequential reading. */
export class OpenImage {
  readonly image: Image;
  readonly #ahead: ReadAhead;

  constructor(image: Image, ahead: ReadAhead) {
    this.image = image;
    this.#ahead = ahead;
  }

  /** {@linkcode Image.read}, which loads ahead. */
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
  const id = chunkIdToHex(map.ids, seq * CHUNK_ID_BYTES);
  return id === ZERO_ID || id === ZERO_CHUNK_ID ? null : id;
}

/** Waits for all pages. If one fails the others are let go. */
async function collect(
  pending: readonly (Page | null | Promise<Page | null>)[],
): Promise<(Page | null)[]> {
  const results = await Promise.allSettled(pending);
  const failure = results.find((result) => result.status === "rejected");
  const pages = results.map((result) => result.status === "fulfilled" ? result.value : null);
  if (!failure) return pages;
  for (const page of pages) page?.release();
  throw failure.reason;
}

/** Cuts a range out of the pages of consecutive seqs. */
function cut(
  pages: readonly (Page | null)[],
  firstSeq: number,
  range: { offset: number; end: number },
): ReadBytes {
  const views = pages.flatMap((page, index) => {
    const offset = (firstSeq + index) * CHUNK_BYTES;
    const start = Math.max(0, range.offset - offset);
    const end = Math.min(CHUNK_BYTES, range.end - offset);
    return page ? page.bytes.subarray(start, end) : zeros(end - start);
  });
  return {
    views,
    release: () => {
      for (const page of pages) page?.release();
    },
  };
}

/** Views that are so many zeros together. */
function zeros(length: number): Uint8Array[] {
  const views = Array<Uint8Array>(Math.floor(length / ZEROS.length)).fill(ZEROS);
  return [...views, ZEROS.subarray(0, length % ZEROS.length)];
}
