/**
 * Keeps a restore from writing over the backup that it reads, which no option overrides;
 * `backup_files.ts` guards others.
 *
 * @module
 */

import { basename, dirname, join } from "node:path";

import type { FileToWrite } from "./backup_files.ts";
import { isSameFile, statOrNull } from "../linux/file_status.ts";
import type { StoreInUse } from "./target.ts";

/** Files of a backup directory that are none of its revisions' (see `lib/store/layout.ts`). */
const OWN_NAMES: ReadonlySet<string> = new Set([".purge", ".backup", "config"]);

/**
 * Tells why a file must not be overwritten by the restore of a revision.
 *
 * @param target.realPath Where the file is or will be, symbolic links resolved; `null` if it has no
 *   name any more.
 * @param target.info The file, `null` if it does not exist yet.
 * @param stores The backup directories that are read.
 * @returns The reason, or `null` if nothing speaks against it.
 */
export function storeOverlap(
  target: FileToWrite,
  { stores }: { stores: readonly StoreInUse[] },
): string | null {
  for (const store of stores) {
    const overlap = overlapWith(store, target);
    if (overlap !== null) return overlap;
  }
  return null;
}

function overlapWith(store: StoreInUse, target: FileToWrite): string | null {
  const revision = store.revisionPath === undefined ? null : statOrNull(store.revisionPath);
  if (target.info && revision && isSameFile(target.info, revision)) {
    return "it is the revision to be restored";
  }
  if (target.realPath === null) return null;
  const chunks = statOrNull(join(store.basedir, "chunks"));
  if (chunks !== null && liesInside(target.realPath, chunks)) {
    return "it lies inside the chunks directory of the backup";
  }
  const folder = dirname(target.realPath);
  const basedir = statOrNull(store.basedir), parent = statOrNull(folder);
  if (basedir === null || parent === null || !isSameFile(basedir, parent)) return null;
  const name = basename(target.realPath);
  const isMap = statOrNull(join(folder, `${name}.rev`)) !== null;
  if (isMap || name.endsWith(".rev") || OWN_NAMES.has(name)) {
    return "it is one of the backup's own files";
  }
  return null;
}

/**
 * Whether one of the folders above a path is the given one, under whatever name (a bind mount has
 * another).
 */
function liesInside(realPath: string, folder: Deno.FileInfo): boolean {
  for (let above = dirname(realPath);; above = dirname(above)) {
    const info = statOrNull(above);
    if (info !== null && isSameFile(info, folder)) return true;
    if (above === dirname(above)) return false;
  }
}
