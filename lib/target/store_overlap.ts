/**
 * Keeps a restore from overwriting the backup that it reads; no option overrides this.
 * `backup_files.ts` guards other backups.
 *
 * @module
 */

import { basename, dirname, join } from "node:path";

import type { FileToWrite } from "./backup_files.ts";
import { isSameFile, statOrNull } from "../linux/file_status.ts";
import type { StoreInUse } from "./target.ts";

/** Files of a backup directory that do not belong to a revision (see `lib/store/layout.ts`). */
const OWN_NAMES: ReadonlySet<string> = new Set([".purge", ".backup", "config"]);

/**
 * Says why a restore must not write to a file.
 *
 * @param options.stores The backup directories that are read.
 * @returns The reason; `null` if there is none.
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
 * Whether a path lies in a folder, whatever the folder is called (a bind mount has a second name).
 */
function liesInside(realPath: string, folder: Deno.FileInfo): boolean {
  for (let above = dirname(realPath);; above = dirname(above)) {
    const info = statOrNull(above);
    if (info !== null && isSameFile(info, folder)) return true;
    if (above === dirname(above)) return false;
  }
}
