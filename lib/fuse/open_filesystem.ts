/**
 * Puts a mount's parts together: the images of a backup directory, the directory of its revisions
 * and the handlers over both.
 *
 * `mount.ts` adds the checks, the purge lock and the session.
 *
 * @module
 */

import { type CacheCounts } from "../pages/page_cache.ts";
import { ImageAccess, type ImageAccessOptions } from "../image_access/image_access.ts";
import { fileState } from "../linux/file_state.ts";
import { fileSystemSpace } from "../linux/file_space.ts";
import { CatalogReader, type SkippedRevision } from "../store/catalog.ts";
import { quote } from "../wording.ts";
import { Filesystem } from "./filesystem.ts";
import { RevisionDirectory } from "./revision_directory.ts";

/** What is to be served, and how. */
export interface FilesystemSettings extends ImageAccessOptions {
  /** The owner of all files. */
  readonly owner: { readonly uid: number; readonly gid: number };
  /**
   * Gets each revision that is left out, once; the first ones before {@linkcode openFilesystem}
   * returns.
   */
  readonly onSkipped: (skipped: SkippedRevision) => void;
}

/** A file system that is ready to be mounted. */
export interface OpenedFilesystem extends Disposable {
  readonly handlers: Filesystem;
  /** Number of revisions that are served. */
  readonly revisionCount: number;
  readonly counts: CacheCounts;
  /** Starts the workers, as {@linkcode ImageAccess.start} does. */
  start(signal?: AbortSignal): Promise<void>;
}

/**
 * Makes the handlers of a mount. Only the list of revisions is read yet, and no worker is started.
 *
 * @returns To be disposed of when the mount has ended, which ends the workers.
 * @throws {StoreFormatError} If the backup directory cannot be listed.
 */
export function openFilesystem(settings: FilesystemSettings): OpenedFilesystem {
  const { basedir, spillDir, owner } = settings;
  const images = new ImageAccess(settings);
  const catalog = new CatalogReader(basedir);
  const directory = new RevisionDirectory({
    readCatalog: () => catalog.read(),
    readModifiedMs: () => Deno.statSync(basedir).mtime?.getTime() ?? 0,
    readState: fileState,
    openImage: (entry) => images.image(entry),
    onReplaced: (name) => images.failures.reportReplaced(name),
    onSkipped: settings.onSkipped,
    onFailure: (error) =>
      images.failures.report(`Cannot list backup directory ${quote(basedir)} anew`, error),
  });
  const readSpace = () => fileSystemSpace(spillDir);
  return {
    handlers: new Filesystem({ directory, owner, readSpace }),
    get revisionCount() {
      return directory.count;
    },
    get counts() {
      return images.counts;
    },
    start: (signal) => images.start(signal),
    [Symbol.dispose]: () => images[Symbol.dispose](),
  };
}
