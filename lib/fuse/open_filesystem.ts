/**
 * Puts a mount's parts together: directory, images, cache, overlay and workers over one backup
 * directory.
 *
 * What a mount adds is the store's check, the purge lock, the session and signals.
 *
 * @module
 */

import { fileSystemSpace } from "../linux/file_system.ts";
import { fileState } from "../linux/file_state.ts";
import { CatalogReader, type SkippedRevision } from "../store/catalog.ts";
import { CHUNK_BYTES, ZERO_CHUNK_ID } from "../store/layout.ts";
import { ChunkLoader } from "../pages/chunk_loader.ts";
import { DamageLog } from "../image_access/damage_log.ts";
import { Filesystem } from "./filesystem.ts";
import { IdleMaps } from "../image_access/idle_maps.ts";
import { Image, type ImageServices } from "../image_access/image.ts";
import { DirtyChunks, type SpillStore } from "../image_access/dirty_chunks.ts";
import { type CacheCounts, PageCache } from "../pages/page_cache.ts";
import { PagePool } from "../pages/page_pool.ts";
import { RevisionDirectory } from "./revision_directory.ts";

/** Maps of images that nobody has open are kept up to this size. */
const IDLE_MAPS_BYTES = 16 * 1024 * 1024;

/** Chunks that are loaded ahead of a sequential reader, for each worker. */
const AHEAD_PER_WORKER = 3;

/** What is to be served, and how. */
export interface FilesystemSettings {
  /** The backup directory. */
  readonly basedir: string;
  /** Where changes go that there is no room for: an existing directory. */
  readonly spillDir: string;
  /** Bound of the read cache, and of the changes in memory; at least 2 chunks, 8 MiB. */
  readonly cacheBytes: number;
  /** Number of decoding workers. */
  readonly threads: number;
  /** Whether content is compared with the chunks' ids. */
  readonly verify: boolean;
  readonly owner: { readonly uid: number; readonly gid: number };
  /** Takes lines about reads and writes that failed. Called at any time. */
  readonly onDamage: (line: string) => void;
  /**
   * Is told of each revision that is left out, once; the first ones before
   * {@linkcode openFilesystem} returns.
   */
  readonly onSkipped: (skipped: SkippedRevision) => void;
}

/** A file system that is ready to be mounted. */
export interface OpenedFilesystem extends Disposable {
  readonly handlers: Filesystem;
  /** Number of revisions that are served. */
  readonly revisionCount: number;
  readonly counts: CacheCounts;
  /**
   * Starts the workers, which otherwise start with the first read that needs them.
   *
   * @param signal Aborting it ends the workers; its reason is thrown.
   * @throws {ResourceError} If there is no room for one.
   */
  start(signal?: AbortSignal): Promise<void>;
}

/**
 * Makes the handlers of a mount. Nothing is read yet but the list of revisions; no worker is
 * started.
 *
 * @returns To be disposed of when the mount has ended, which ends the workers.
 * @throws {StoreFormatError} If the backup directory cannot be listed.
 */
export function openFilesystem(settings: FilesystemSettings): OpenedFilesystem {
  const { basedir, spillDir, cacheBytes, threads, owner } = settings;
  const pool = new PagePool(2 * cacheBytes);
  const loader = new ChunkLoader(settings);
  const cache = new PageCache({ pool, loader, capacityBytes: cacheBytes });
  const spill: SpillStore = {
    store: (page, bytes) => loader.store(spillDir, page, bytes),
    load: (id, bytes) => {
      if (id === ZERO_CHUNK_ID) return null;
      const chunk = { dir: spillDir, id };
      return cache.get(chunk, bytes) ?? cache.load(chunk, bytes);
    },
  };
  const damage = new DamageLog(settings.onDamage);
  const services: ImageServices = {
    basedir,
    spillDir,
    cache,
    dirty: new DirtyChunks({ pool, spill, capacityBytes: cacheBytes }),
    idleMaps: new IdleMaps(IDLE_MAPS_BYTES),
    damage,
    readMap: (path) => loader.readMap(path),
    // Loading ahead must leave room for what is being read.
    aheadChunks: Math.min(AHEAD_PER_WORKER * threads, Math.floor(cacheBytes / CHUNK_BYTES / 4)),
  };
  const catalog = new CatalogReader(basedir);
  const directory = new RevisionDirectory({
    readCatalog: () => catalog.read(),
    readModifiedMs: () => Deno.statSync(basedir).mtime?.getTime() ?? 0,
    readState: fileState,
    openImage: (entry) => new Image(entry, services),
    onReplaced: (name) => damage.reportReplaced(name),
    onSkipped: settings.onSkipped,
    onFailure: (error) => damage.reportListing(basedir, error),
  });
  const readSpace = () => fileSystemSpace(spillDir);
  return {
    handlers: new Filesystem({ directory, owner, readSpace }),
    get revisionCount() {
      return directory.count;
    },
    get counts() {
      return cache.counts;
    },
    start: (signal) => loader.start(signal),
    [Symbol.dispose]: () => loader[Symbol.dispose](),
  };
}
