/**
 * Step 4 of a FUSE read: one revision as a file. Says which chunks hold the bytes asked for, and
 * gets their pages.
 *
 * What was written is in the overlay, the rest in chunks, or nowhere: absent chunks are zeros. The
 * revision map is read when the image is opened; its size is found without it. An image stands for
 * one state of the map: if the map has changed, it is `revision_directory.ts`'s matter to serve
 * another. Before: `filesystem.ts`; next: `page_cache.ts`. Pure but for the reading of size and
 * state.
 *
 * @module
 */

import type { FileState } from "../linux/file_state.ts";
import { runSteps } from "../slices.ts";
import {
  CHUNK_BYTES,
  CHUNK_ID_BYTES,
  chunkIdToHex,
  MAX_IMAGE_BYTES,
  ZERO_CHUNK_ID,
} from "../store/layout.ts";
import {
  isSameMap,
  readRevisionMap,
  readRevisionSize,
  type RevisionMap,
  type StoredRevisionMap,
} from "../store/revision_map.ts";
import { quote } from "../wording.ts";
import type { DamageLog, DamagePlace } from "./damage_log.ts";
import type { IdleMaps } from "./idle_maps.ts";
import type { DirtyChunks } from "./dirty_chunks.ts";
import { type BaseImage, Overlay, seqsOf } from "./overlay.ts";
import type { ChunkLocation, PageCache } from "../pages/page_cache.ts";
import type { Page } from "../pages/page_pool.ts";
import { ReadAhead } from "./read_ahead.ts";
import { collect, cut, type ReadBytes } from "./read_bytes.ts";
import { type MapAccess, readWholeMap } from "./whole_map.ts";

/** Zeros are looked over for chunks to load ahead, so many at most for each of them. */
const AHEAD_SEQS_PER_CHUNK = 8;

const ZERO_ID = "0".repeat(2 * CHUNK_ID_BYTES);

/** A map is another one than that which its image stands for. */
export class MapChangedError extends Error {}

/** What the images of a mount share. */
export interface ImageServices extends MapAccess {
  readonly basedir: string;
  /** Where the overlay stores chunks: a directory with `chunks` below it. */
  readonly spillDir: string;
  readonly cache: PageCache;
  readonly dirty: DirtyChunks;
  readonly idleMaps: IdleMaps;
  readonly damage: DamageLog;
  /** Default: {@linkcode readRevisionMap}. */
  readonly readMapNow?: (path: string) => RevisionMap;
  /** Default: {@linkcode readRevisionSize}. */
  readonly readSize?: (path: string) => number;
  /** Most chunks that are loaded ahead of a sequential reader. */
  readonly aheadChunks: number;
}

/** A revision. */
export class Image implements BaseImage {
  readonly name: string;
  readonly #mapPath: string;
  readonly #services: ImageServices;
  readonly #overlay: Overlay;
  #state: FileState | null = null;
  #size: number | null = null;
  #map: RevisionMap | null = null;
  #mapReading: Promise<RevisionMap> | null = null;
  #openCount = 0;
  #isRetired = false;
  #isLossTold = false;

  constructor(revision: { name: string; mapPath: string }, services: ImageServices) {
    this.name = revision.name;
    this.#mapPath = revision.mapPath;
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

  /** Whether every later change of the map will be noticed, and its file was looked at before. */
  get isSettled(): boolean {
    return this.#state?.isSettled ?? false;
  }

  /** Whether {@linkcode accept} was called before. */
  get isKnown(): boolean {
    return this.#state !== null;
  }

  /**
   * Takes notice of the state that the map's file is in.
   *
   * @returns Whether the image still stands for it. So it does if it was written to and the map
   *   says the same as before.
   */
  accept(state: FileState): boolean {
    const isSame = this.#state === null || state.version === this.#state.version ||
      (this.hasChanges && this.#saysTheSame());
    if (isSame) this.#state = state;
    return isSame;
  }

  /**
   * Lets go of everything when nobody has it open any more: another image stands for the revision.
   */
  retire(): void {
    this.#isRetired = true;
    if (!this.isOpen) this.#discard();
  }

  /**
   * Size in bytes. @throws {RevisionError} If the map cannot be read or has none; it is tried again
   * next time.
   */
  get size(): number {
    if (this.#size !== null) return this.#size;
    try {
      const size = (this.#services.readSize ?? readRevisionSize)(this.#mapPath);
      if (this.isSettled) this.#size = size;
      return size;
    } catch (error) {
      this.#services.damage.reportRead(this.#place(null), error);
      throw error;
    }
  }

  /**
   * Opens the image, for which its map is read unless it is in memory: who has it open reads by
   * that map to the end.
   *
   * @throws {RevisionError} If the map cannot be read, or is being written for longer than somebody
   *   can wait.
   * @throws {MapChangedError} If it is not the map any more that the image stands for.
   */
  open(): OpenImage | Promise<OpenImage> {
    this.#openCount++;
    this.#services.idleMaps.remove(this);
    const open = () => new OpenImage(this, new ReadAhead(this.#services.aheadChunks));
    if (this.#map) return open();
    return this.#readMap().then(open, (error) => {
      this.close();
      throw error;
    });
  }

  /** Takes back one {@linkcode open}; for {@linkcode OpenImage}. */
  close(): void {
    if (--this.#openCount > 0) return;
    if (this.#isRetired) this.#discard();
    else this.#offerMap();
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
   * @throws {BackyError} If a chunk cannot: missing, corrupt, a dead worker. Nothing of that is
   *   remembered.
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
   * @throws As {@linkcode read} does, and whatever made storing other changes fail. Then nothing
   *   was changed.
   */
  write(offset: number, data: Uint8Array): void | Promise<void> {
    if (offset + data.length > this.size) {
      throw new RangeError(`Cannot write behind the end of ${this.size} bytes`);
    }
    this.#tellIfLost();
    const result = this.#overlay.write(offset, data);
    return result?.catch((error) => {
      const place = this.#place(Math.floor(offset / CHUNK_BYTES));
      this.#services.damage.reportWrite(place, error);
      throw error;
    });
  }

  /**
   * Says at the first write that whoever opens the revision's name next will not find what was
   * written.
   */
  #tellIfLost(): void {
    if (!this.#isRetired || this.hasChanges || this.#isLossTold) return;
    this.#isLossTold = true;
    this.#services.damage.reportReplaced(this.name);
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

  #chunkOf(map: RevisionMap, seq: number, spilledId: string | undefined): ChunkLocation | null {
    const { basedir, spillDir } = this.#services;
    if (spilledId !== undefined) {
      return spilledId === ZERO_CHUNK_ID ? null : { dir: spillDir, id: spilledId };
    }
    const id = idOf(map, seq);
    return id === null ? null : { dir: basedir, id };
  }

  /** Returns a chunk's page, held. A failure is always a promise's. */
  #page(chunk: ChunkLocation, seq: number): Page | Promise<Page> {
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
        const map = await readWholeMap(this.#mapPath, this.#services);
        this.#requireSame(map);
        this.#services.damage.forget(this.#place(null));
        this.#state = map.state;
        this.#size = map.imageBytes;
        this.#map = map;
        // Its readers may have gone away meanwhile.
        if (!this.isOpen) this.#offerMap();
        return map;
      } catch (error) {
        if (error instanceof MapChangedError) throw error;
        return await this.#fail(null, error);
      } finally {
        this.#mapReading = null;
      }
    };
    return this.#mapReading ??= read();
  }

  /** What programs were told of, and the kernel remembers, must be the map's. */
  #requireSame(map: StoredRevisionMap): void {
    const isSame = (this.#state === null || map.state.version === this.#state.version) &&
      (this.#size === null || map.imageBytes === this.#size);
    if (!isSame) throw new MapChangedError(`The map of ${quote(this.name)} has changed`);
  }

  /** Compares a map that was written anew with the one that the changes were made over. */
  #saysTheSame(): boolean {
    try {
      const { readMapNow = readRevisionMap } = this.#services;
      return this.#map !== null && runSteps(isSameMap(readMapNow(this.#mapPath), this.#map));
    } catch {
      return false; // Half written, or gone. Reading it tells.
    }
  }

  /**
   * Lets the map go if there is no room for it. What was written needs it: it tells what was
   * written over.
   */
  #offerMap(): void {
    if (this.#map && !this.hasChanges) {
      this.#services.idleMaps.add(this, this.#map.ids.byteLength);
    }
  }

  #discard(): void {
    this.#services.idleMaps.remove(this);
    this.#overlay.discard();
    this.#map = null;
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
