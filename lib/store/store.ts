/**
 * Step 1 of every path: finds out which backup directory and which revision a user means, and that
 * the directory is in the format this project reads. Next: `purge_lock.ts`, then `revision_map.ts`.
 *
 * @module
 */

import { RevisionError, StoreFormatError } from "../errors.ts";
import { METADATA_SUFFIX, pathIn, STORE_TAG, STORE_TAG_FILE } from "./layout.ts";
import { reasonOf, rethrowLack } from "../linux/errno.ts";
import { quote, shownHostName, WITHHELD } from "../wording.ts";
import { readBeginning } from "../linux/paths.ts";
import { describeNoStore, hasStoreTag, hintAbove, hintBeside, hintNear } from "./store_hints.ts";

/** What a revision path means. */
export interface RevisionLocation {
  /** The backup directory, for {@linkcode requireStore}; "." for a bare name. */
  readonly basedir: string;
  /** The revision's own name, also where the path was a symbolic link such as `last`. */
  readonly name: string;
  /**
   * The revision map: a regular file when this was returned, and no symbolic link that may be
   * turned.
   */
  readonly mapPath: string;
}

// A tag is 2 bytes and a line feed. What is longer than this is no tag, whatever it starts with.
const TAG_MAX_BYTES = 1024;

// Other formats are named as this one is. A word of another form may be a password.
const FORMAT_NAME = /^v\d{1,3}$/;

/**
 * Checks that a directory is a backup directory of format "v2".
 *
 * @param dir Path of the directory.
 * @throws {StoreFormatError} If it is absent or unreadable, is no backup directory, or has another
 *   format.
 */
export function requireStore(dir: string): void {
  const refuse = (state: string, cause?: unknown): never => {
    throw new StoreFormatError(
      `Cannot open backup directory ${quote(dir)}: ${state}`,
      { path: dir },
      cause === undefined ? undefined : { cause },
    );
  };

  const dirInfo = tryStat(dir, refuse);
  if (dirInfo === null) {
    const hint = hintAbove(dir) ?? hintBeside(dir);
    return refuse(["there is no such directory", hint].filter(Boolean).join("; "));
  }
  if (!dirInfo.isDirectory) {
    return refuse(["it is not a directory", hintAbove(dir)].filter(Boolean).join("; "));
  }

  const tagPath = pathIn(dir, STORE_TAG_FILE);
  const tagInfo = tryStat(tagPath, refuse);
  if (tagInfo === null) return refuse(describeNoStore(dir));
  // Opening a FIFO would wait for a writer.
  if (!tagInfo.isFile) return refuse(`"${STORE_TAG_FILE}" in it is not a regular file`);

  // A link to a file of /proc may wait for something to be read; such files have no length.
  const tag = tagInfo.size === 0 ? "" : readTag(tagPath, refuse);
  if (tag !== STORE_TAG) {
    const found = tag === "" ? "nothing" : FORMAT_NAME.test(tag) ? quote(tag) : "something else";
    return refuse(
      `"${STORE_TAG_FILE}" in it, which names the format, holds ${found}; ` +
        `only ${quote(STORE_TAG)} is understood`,
    );
  }
}

/**
 * Finds the revision map that a path means: `DIR/UUID`, `DIR/last` (a symbolic link), or `UUID`
 * alone in the current directory.
 *
 * The backup directory is the one that contains the path given. Only where that has no chunk store
 * and the directory of a link's target has one (a link from elsewhere into a backup directory), it
 * is the latter.
 *
 * @throws {RevisionError} If the path is absent, is a directory or a special file, or a revision's
 *   metadata, or if only metadata is left of the revision: on another server, or without a map.
 */
export function locateRevision(path: string): RevisionLocation {
  const refuse = (state: string, cause?: unknown): never => {
    throw new RevisionError(
      `Cannot open revision ${quote(path)}: ${state}`,
      { path },
      cause === undefined ? undefined : { cause },
    );
  };

  if (path === "") refuse("the path is empty");
  const info = tryStat(path, refuse);
  if (info === null) return refuse(whyAbsent(path));
  if (info.isDirectory) {
    return refuse("it is a directory, name a revision in it (DIR/UUID)");
  }
  if (!info.isFile) return refuse("it is not a regular file");

  const { dir, name } = split(path);
  let location: RevisionLocation = { basedir: dir, name, mapPath: path };
  if (lstat(path, refuse).isSymlink) {
    const real = split(realPath(path, refuse));
    const isBeside = realPath(dir, refuse) === real.dir;
    const basedir = isBeside || hasStoreTag(dir) || !hasStoreTag(real.dir) ? dir : real.dir;
    // The link's target, not the link: `last` is turned to another revision by the next backup.
    location = { basedir, name: real.name, mapPath: pathIn(isBeside ? dir : real.dir, real.name) };
  }
  if (location.name.endsWith(METADATA_SUFFIX)) {
    return refuse(`it is a revision's metadata, name the revision without "${METADATA_SUFFIX}"`);
  }
  return location;
}

type Refuse = (state: string, cause?: unknown) => never;

/** Says why there is nothing at a revision's path, as far as what lies beside it tells. */
function whyAbsent(path: string): string {
  try {
    if (Deno.lstatSync(path).isSymlink) {
      return `it is a symbolic link to nothing; ${hintNear(split(path).dir)}`;
    }
  } catch {
    // Not even a link.
  }
  try {
    const server = readServer(path + METADATA_SUFFIX);
    const next = server === "" ? hintNear(split(path).dir) : "restore it there";
    return `${describeOnlyMetadata(server)}; ${next}`;
  } catch {
    return `there is no such revision; ${hintNear(split(path).dir)}`;
  }
}

/**
 * Says why a revision cannot be read of which there is only metadata; `server` as it stands there,
 * "" for none.
 */
export function describeOnlyMetadata(server: string): string {
  if (server === "") return "its map is missing, there is only its metadata";
  const name = shownHostName(server);
  const where = name === WITHHELD ? "another server" : `server ${quote(name)}`;
  return `it lives on ${where}, only its metadata is here`;
}

/**
 * Looks for the server in a metadata file, in the one form that producers write it. Loading the
 * YAML parser of `revision_info.ts` takes 13 ms, which each restore would pay for this rare
 * message.
 */
function readServer(path: string): string {
  const { isFile, size } = Deno.statSync(path);
  if (!isFile || size === 0) return "";
  const text = new TextDecoder().decode(readBeginning(path, 64 * 1024));
  // Else it is no metadata, and what stands there is not for us to show.
  if (!/^(uuid|timestamp|stats):/m.test(text)) return "";
  const match = /^server: +(?:'([^'\n]+)'|"([^"\n]+)"|([^'"\s].*?)) *$/m.exec(text);
  return match?.[1] ?? match?.[2] ?? match?.[3] ?? "";
}

/**
 * Stats a path, `null` if there is nothing; a file where a directory should be counts as nothing.
 */
function tryStat(path: string, refuse: Refuse): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return null;
    }
    rethrowLack(error, path);
    return refuse(reasonOf(error), error);
  }
}

function lstat(path: string, refuse: Refuse): Deno.FileInfo {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    rethrowLack(error, path);
    return refuse(reasonOf(error), error);
  }
}

function realPath(path: string, refuse: Refuse): string {
  try {
    return Deno.realPathSync(path);
  } catch (error) {
    rethrowLack(error, path);
    return refuse(reasonOf(error), error);
  }
}

function readTag(path: string, refuse: Refuse): string {
  try {
    const bytes = readBeginning(path, TAG_MAX_BYTES);
    const text = new TextDecoder().decode(bytes);
    return bytes.length === TAG_MAX_BYTES ? text : text.trim();
  } catch (error) {
    rethrowLack(error, path);
    return refuse(`"${STORE_TAG_FILE}" in it cannot be read: ${reasonOf(error)}`, error);
  }
}

/** Takes a path apart; the directory of a bare name is ".". */
function split(path: string): { dir: string; name: string } {
  const slash = path.lastIndexOf("/");
  if (slash < 0) return { dir: ".", name: path };
  return { dir: path.slice(0, slash).replace(/\/+$/, "") || "/", name: path.slice(slash + 1) };
}
