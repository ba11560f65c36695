/**
 * Makes the file system of a mount: the revisions of a backup directory as a directory of images.
 *
 * `mount.ts` makes the images and adds the checks, the purge lock and the session.
 *
 * @module
 */

import type { ImageAccess } from "../image_access/image_access.ts";
import { fileState } from "../linux/file_state.ts";
import { fileSystemSpace } from "../linux/file_space.ts";
import { Slices } from "../slices.ts";
import { CatalogReader, type SkippedRevision } from "../store/catalog.ts";
import { MapFactsReader } from "../store/listed_revision.ts";
import { quote } from "../wording.ts";
import type { Owner } from "./attributes.ts";
import { Filesystem } from "./filesystem.ts";
import { RevisionDirectory } from "./revision_directory.ts";
import type { FilePlace } from "./tree.ts";
import type { StaleRange } from "./views.ts";

/**
 * Makes the handlers of a mount. Only the list of revisions is read yet.
 *
 * @param images The images; to be disposed of by the caller when the mount has ended.
 * @param options.onSkipped Gets each revision that is left out, once; the first ones before this
 *   function returns.
 * @param options.onBadTable Gets what is wrong with a partition table that somebody looked at.
 * @param options.invalidate As in `FilesystemOptions`.
 * @throws {StoreFormatError} If the backup directory cannot be listed.
 */
export function openFilesystem(
  images: ImageAccess,
  options: {
    owner: Owner;
    onSkipped: (skipped: SkippedRevision) => void;
    onBadTable: (text: string) => void;
    invalidate: (range: StaleRange) => Promise<void>;
  },
): Filesystem {
  const { basedir, spillDir, failures } = images;
  const catalog = new CatalogReader(basedir);
  const directory = new RevisionDirectory({
    readCatalog: () => catalog.read(),
    readModifiedMs: () => Deno.statSync(basedir).mtime?.getTime() ?? 0,
    readState: fileState,
    openImage: (entry) => images.image(entry),
    onReplaced: (name) => failures.reportReplaced(name),
    onSkipped: options.onSkipped,
    onBadTable: options.onBadTable,
    onFailure: (error) =>
      failures.report(`Cannot list backup directory ${quote(basedir)} anew`, error),
  });
  const readSpace = () => fileSystemSpace(spillDir);
  const { owner, invalidate } = options;
  const countChunks = async ({ node: { entry } }: FilePlace) =>
    (await new Slices().run(new MapFactsReader().read(entry.mapPath))).distinctChunks;
  return new Filesystem({ directory, owner, readSpace, countChunks, invalidate });
}
