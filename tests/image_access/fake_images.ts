/**
 * Images over chunks that exist in memory only.
 *
 * @module
 */

import type { FileState } from "../../lib/linux/file_state.ts";
import { FailureLog } from "../../lib/image_access/failure_log.ts";
import { IdleMaps } from "../../lib/image_access/image_map.ts";
import { Image } from "../../lib/image_access/image.ts";
import type { ReadBytes } from "../../lib/image_access/read_bytes.ts";
import { DirtyChunks } from "../../lib/image_access/dirty_chunks.ts";
import { PageCache } from "../../lib/pages/page_cache.ts";
import { PagePool } from "../../lib/pages/page_pool.ts";
import { CHUNK_BYTES, ZERO_CHUNK_ID } from "../../lib/store/layout.ts";
import { FakeChunks, fakeContent, fakeId, fakeMap, join } from "../pages/fake_chunks.ts";

/** Sizes and limits. */
export interface FakeImagesOptions {
  readonly cachePages?: number;
  readonly dirtyPages?: number;
  readonly aheadChunks?: number;
  readonly idleMapsBytes?: number;
}

/** What all images share, as `ImageAccess` puts it together, and a way to make images. */
export class FakeImages {
  readonly chunks = new FakeChunks();
  readonly lines: string[] = [];
  /** Names of maps in the order in which they were read. */
  readonly mapsRead: string[] = [];
  readonly pool: PagePool;
  readonly cache: PageCache;
  readonly dirty: DirtyChunks;
  /** The state of each map's file. */
  state: FileState = { isFile: true, size: 1, version: "first", isSettled: true };
  /** Called before a map is read. */
  beforeMap: () => void = () => {};
  readonly #idleMaps: IdleMaps;
  readonly #aheadChunks: number;

  constructor(options: FakeImagesOptions = {}) {
    const { cachePages = 3, dirtyPages = 3, aheadChunks = 0, idleMapsBytes = 0 } = options;
    this.pool = new PagePool((cachePages + dirtyPages) * CHUNK_BYTES);
    const loader = this.chunks;
    this.cache = new PageCache({
      pool: this.pool,
      loader,
      capacityBytes: cachePages * CHUNK_BYTES,
    });
    this.dirty = new DirtyChunks({
      pool: this.pool,
      spill: {
        store: (page, bytes) => loader.store(page, bytes),
        load: (id, bytes) => this.cache.load({ dir: "/spill", id }, bytes),
      },
      capacityBytes: dirtyPages * CHUNK_BYTES,
    });
    this.#idleMaps = new IdleMaps(idleMapsBytes);
    this.#aheadChunks = aheadChunks;
  }

  /**
   * Makes an image.
   *
   * @param numbers The content of each seq, for `fakeContent`; `null` for an absent one, "zero" for
   *   the chunk of zeros.
   * @param size Size in bytes; default: all chunks in full.
   */
  image(
    name: string,
    numbers: readonly (number | null | "zero")[],
    size = numbers.length * CHUNK_BYTES,
  ): Image {
    const ids = numbers.map((number) => {
      if (number === null) return null;
      if (number === "zero") return ZERO_CHUNK_ID;
      const id = fakeId(number);
      if (!this.chunks.contents.has(id)) this.chunks.contents.set(id, fakeContent(number));
      return id;
    });
    return new Image({ name, mapPath: name }, {
      basedir: "/base",
      spillDir: "/spill",
      cache: this.cache,
      dirty: this.dirty,
      idleMaps: this.#idleMaps,
      failures: new FailureLog((line) => this.lines.push(line)),
      readMap: async (path) => {
        this.mapsRead.push(path);
        await this.chunks.pause();
        this.beforeMap();
        return { ...fakeMap(ids, size), state: this.state };
      },
      readMapNow: () => fakeMap(ids, size),
      readState: () => this.state,
      readSize: () => size,
      aheadChunks: this.#aheadChunks,
    });
  }
}

/** Returns the content of an image of {@linkcode FakeImages.image}. */
export function modelOf(
  numbers: readonly (number | null | "zero")[],
  size = numbers.length * CHUNK_BYTES,
): Uint8Array<ArrayBuffer> {
  const model = new Uint8Array(numbers.length * CHUNK_BYTES);
  numbers.forEach((number, seq) => {
    if (typeof number === "number") model.set(fakeContent(number), seq * CHUNK_BYTES);
  });
  return model.subarray(0, size);
}

/** Reads bytes of an image into a copy, and releases them. */
export async function readOut(
  image: { read(offset: number, length: number): ReadBytes | Promise<ReadBytes> },
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await image.read(offset, length);
  const copy = join(bytes.views);
  bytes.release();
  return copy;
}
