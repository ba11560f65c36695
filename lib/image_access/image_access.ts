/**
 * Random access to the images of a backup directory: for whoever reads and writes them piece by
 * piece, such as a mount. Read this file first.
 *
 * `image.ts` finds out which chunks a read or write needs, by the revision map (`image_map.ts`).
 * Chunks that were written to are in `overlay.ts` and `dirty_chunks.ts`; the others come decoded
 * from `lib/pages/page_cache.ts`.
 *
 * Knows nothing of file systems, sockets or the purge lock, which the caller must hold.
 *
 * @module
 */

import { AHEAD_PER_WORKER, ChunkLoader } from "../pages/chunk_loader.ts";
import { type CacheCounts, PageCache } from "../pages/page_cache.ts";
import { PagePool } from "../pages/page_pool.ts";
import { CHUNK_BYTES, ZERO_CHUNK_ID } from "../store/layout.ts";
import { DirtyChunks, type SpillStore } from "./dirty_chunks.ts";
import { FailureLog } from "./failure_log.ts";
import { Image, type ImageServices } from "./image.ts";
import { IdleMaps } from "./image_map.ts";

/** Bound of the maps of images that nobody has open. */
const IDLE_MAPS_BYTES = 16 * 1024 * 1024;

/**
 * Memory of pages that readers hold beyond the cache, which is used again. The garbage collector
 * does not count shared memory: with `-c 16` and four readers, a mount that left it such pages took
 * 570 MiB after a minute instead of 280, and was slower, as the kernel had to clear new ones.
 */
const SPARE_BYTES = 128 * 1024 * 1024;

/** Which images, and what they may take. */
export interface ImageAccessOptions {
  /** The backup directory. */
  readonly basedir: string;
  /** Where changed chunks are stored when memory runs out. Default: the backup directory. */
  readonly spillDir?: string;
  /** Bound of the read cache, and of the changes in memory; at least 2 chunks, 8 MiB. */
  readonly cacheBytes: number;
  /** Number of decoding workers, at least 1. */
  readonly threads: number;
  /** Whether content is compared with the chunks' ids. */
  readonly verify: boolean;
  /** Gets a line about a read or write that failed. Called at any time. */
  readonly onFailure: (line: string) => void;
}

/**
 * The images of a backup directory, which share a cache, workers and the memory for changes.
 *
 * @example Reads bytes of a revision.
 * ```ts ignore
 * using images = new ImageAccess(options);
 * const image = await images.image({ name, mapPath }).open();
 * const { views, release } = await image.read(offset, length);
 * ```
 */
export class ImageAccess implements Disposable {
  readonly basedir: string;
  readonly spillDir: string;
  /** Failures of all images; for failures of the caller's own, too. */
  readonly failures: FailureLog;
  readonly #loader: ChunkLoader;
  readonly #services: ImageServices;

  /** Reads nothing, and starts no worker before it is needed. */
  constructor(options: ImageAccessOptions) {
    const { basedir, spillDir = basedir, cacheBytes, threads } = options;
    this.basedir = basedir;
    this.spillDir = spillDir;
    this.failures = new FailureLog(options.onFailure);
    this.#loader = new ChunkLoader(options);
    const loader = this.#loader;
    const pool = new PagePool(2 * cacheBytes + SPARE_BYTES);
    const cache = new PageCache({ pool, loader, capacityBytes: cacheBytes });
    const spill: SpillStore = {
      store: (page, bytes) => loader.store(spillDir, page, bytes),
      load: (id, bytes) => {
        if (id === ZERO_CHUNK_ID) return null;
        const chunk = { dir: spillDir, id };
        return cache.get(chunk, bytes) ?? cache.load(chunk, bytes);
      },
    };
    this.#services = {
      basedir,
      spillDir,
      cache,
      dirty: new DirtyChunks({ pool, spill, capacityBytes: cacheBytes }),
      idleMaps: new IdleMaps(IDLE_MAPS_BYTES),
      failures: this.failures,
      readMap: (path) => loader.readMap(path),
      // Loading ahead must leave room for what is being read.
      aheadChunks: Math.min(AHEAD_PER_WORKER * threads, Math.floor(cacheBytes / CHUNK_BYTES / 4)),
    };
  }

  /** How often the cache was asked. */
  get counts(): CacheCounts {
    return this.#services.cache.counts;
  }

  /** Returns a new image of a revision, with no changes. Nothing is read yet. */
  image(revision: { readonly name: string; readonly mapPath: string }): Image {
    return new Image(revision, this.#services);
  }

  /**
   * Starts the workers, which otherwise start with the first read that needs them.
   *
   * @param signal Aborting it ends the workers; its reason is thrown.
   * @throws {ResourceError} If none could be started.
   */
  async start(signal?: AbortSignal): Promise<void> {
    await this.#loader.start(signal);
  }

  /** Ends the workers. Nothing may be read or written any more. */
  [Symbol.dispose](): void {
    this.#loader[Symbol.dispose]();
  }
}
