/**
 * What to do after naming a backup directory or a revision that does not exist: what there is
 * nearby, and the command that shows it. Looks only at names, and only after something has failed.
 *
 * @module
 */

import { shellWord } from "../linux/printable.ts";
import { quote } from "../wording.ts";
import { parseRevisionSpec } from "./revision_spec_parser.ts";
import { isFileAt, statOrNull } from "../linux/file_status.ts";
import { pathIn, splitPath } from "../linux/paths.ts";
import { CHUNKS_DIR, METADATA_SUFFIX, STORE_TAG_FILE } from "./layout.ts";

/** How many backup directories a message names at most. */
const NAMED_MAX = 5;

/** How many directories are searched at most; a server has some hundreds of backup directories. */
const LOOKED_INTO_MAX = 10_000;

/** Joins the parts of a message that there are. */
export function joinClauses(...clauses: readonly (string | undefined)[]): string {
  return clauses.filter((clause) => clause !== undefined).join("; ");
}

/** Names the command that lists a backup directory. */
export function listHint(dir: string): string {
  return `${quote(`backy-extract list ${shellWord(dir)}`)} shows what there is`;
}

/**
 * Says what to list instead of a path that is not a directory; `undefined` if there is nothing to
 * suggest.
 */
export function hintForList(path: string): string | undefined {
  const above = storeAbove(path);
  if (above === undefined) return isDirectory(path) ? undefined : hintBeside(path);
  const { name } = splitPath(withoutSlash(path));
  const command = `backy-extract list ${shellWord(above)} ${shellWord(name)}`;
  return isSpec(name) || exists(path) ? `for a revision, use ${quote(command)}` : listHint(above);
}

/**
 * Says where to look after a name was not found in a directory.
 *
 * @param dir May be missing.
 */
export function hintNear(dir: string): string {
  if (hasStoreTag(dir)) return listHint(dir);
  if (!isDirectory(dir)) return joinClauses(`there is no directory ${quote(dir)}`, hintBeside(dir));
  const below = describeStoresIn(dir, `below ${quote(dir)}`);
  if (below !== undefined) return below;
  const above = storeAbove(dir);
  return above === undefined ? `${quote(dir)} is not a backup directory` : listHint(above);
}

/** Says which backup directories there are beside a missing one; `undefined` if there are none. */
export function hintBeside(dir: string): string | undefined {
  return describeStoresIn(parentOf(dir), "beside it");
}

/** Names the backup directory in which a path lies; `undefined` if it lies in none. */
export function hintAbove(path: string): string | undefined {
  const above = storeAbove(path);
  return above === undefined ? undefined : `the backup directory is ${quote(above)}`;
}

function storeAbove(path: string): string | undefined {
  const parent = parentOf(path);
  return hasStoreTag(parent) ? parent : undefined;
}

/** Says why a directory is not a backup directory, and what to do then. */
export function describeNoStore(dir: string): string {
  const names = namesIn(dir);
  if (names.some(({ name, isFile }) => isFile && name.endsWith(METADATA_SUFFIX))) {
    return namesIn(pathIn(dir, CHUNKS_DIR)).length === 0
      ? `there are revisions, but no chunks in ${quote(CHUNKS_DIR)}: ` +
        "mount or copy what should be there"
      : `there are revisions, but no ${quote(STORE_TAG_FILE)}, which names the format: ` +
        'if it is "v2", write that into this file';
  }
  const below = describeStoresIn(dir, "below it");
  return `there is no ${quote(STORE_TAG_FILE)} in it${below ? `; ${below}` : ""}`;
}

/** Whether a directory has the file that makes it a backup directory. */
export function hasStoreTag(dir: string): boolean {
  return isFileAt(pathIn(dir, STORE_TAG_FILE));
}

function describeStoresIn(dir: string, where: string): string | undefined {
  const stores = namesIn(dir)
    .filter(({ isFile }) => !isFile)
    .slice(0, LOOKED_INTO_MAX)
    .map(({ name }) => dir === "." ? name : pathIn(dir, name))
    .filter(hasStoreTag)
    .sort();
  if (stores.length === 0) return undefined;
  const named = stores.slice(0, NAMED_MAX).map((path) => quote(path)).join(", ");
  const more = stores.length > NAMED_MAX ? ` and ${stores.length - NAMED_MAX} more` : "";
  return stores.length === 1
    ? `there is a backup directory ${where}: ${named}`
    : `there are backup directories ${where}: ${named}${more}`;
}

function namesIn(dir: string): Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(dir)];
  } catch {
    return [];
  }
}

function isSpec(text: string): boolean {
  try {
    return parseRevisionSpec(text).kind !== "name";
  } catch {
    return false;
  }
}

function exists(path: string): boolean {
  try {
    return Deno.lstatSync(path) !== null;
  } catch {
    return false;
  }
}

function isDirectory(path: string): boolean {
  return statOrNull(path)?.isDirectory === true;
}

function parentOf(path: string): string {
  return splitPath(withoutSlash(path)).dir;
}

function withoutSlash(path: string): string {
  return path.replace(/\/+$/, "");
}
