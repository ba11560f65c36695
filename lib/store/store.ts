/**
 * Finds the backup directory and the revision that a path means, and checks that the directory is
 * in the format that this project reads. What comes next: `purge_lock.ts`, then `revision_map.ts`.
 *
 * @module
 */

import { RevisionError, StoreFormatError } from "../errors.ts";
import { METADATA_SUFFIX, STORE_TAG, STORE_TAG_FILE } from "./layout.ts";
import { reasonOf, rethrowLack } from "../linux/errno.ts";
import { quote, shownHostName, WITHHELD } from "../wording.ts";
import { linkOrNull, pathIn, readBeginning, readRegular, splitPath } from "../linux/paths.ts";
import {
  describeNoStore,
  hasStoreTag,
  hintAbove,
  hintBeside,
  hintNear,
  joinClauses,
} from "./store_hints.ts";

/** What a revision path means. */
export interface RevisionLocation {
  /** The backup directory, for {@linkcode requireStore}; "." for a bare name. */
  readonly basedir: string;
  /** The revision's own name, even if the path was a symbolic link such as `last`. */
  readonly name: string;
  /**
   * The revision map: a regular file when this was returned, not a symbolic link that may be
   * redirected.
   */
  readonly mapPath: string;
}

// A tag is 2 bytes and a line feed. Anything longer than this is not a tag, however it starts.
const TAG_MAX_BYTES = 1024;

// Other formats have names like this one's. Any other text may be a password, and is not shown.
const FORMAT_NAME = /^v\d{1,3}$/;

/**
 * Checks that a directory is a backup directory of format "v2".
 *
 * @throws {StoreFormatError} If it is absent or unreadable, is not a backup directory, or has
 *   another format.
 */
export function requireStore(dir: string): void {
  const refuse = (state: string, cause?: unknown): never => {
    throw new StoreFormatError(
      `Cannot open backup directory ${quote(dir)}: ${state}`,
      { path: dir },
      { cause },
    );
  };

  const dirInfo = tryStat(dir, refuse);
  if (dirInfo === null) {
    const hint = hintAbove(dir) ?? hintBeside(dir);
    return refuse(joinClauses("there is no such directory", hint));
  }
  if (!dirInfo.isDirectory) {
    return refuse(joinClauses("it is not a directory", hintAbove(dir)));
  }

  const tagPath = pathIn(dir, STORE_TAG_FILE);
  const tagInfo = tryStat(tagPath, refuse);
  if (tagInfo === null) return refuse(describeNoStore(dir));
  // Opening a FIFO would wait for a writer.
  if (!tagInfo.isFile) return refuse(`"${STORE_TAG_FILE}" in it is not a regular file`);

  // Reading some files in /proc, to which this may be a link, waits for data; their size is 0.
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
 * The backup directory is the one that contains the path, unless that has no chunk store and the
 * path is a link into a directory that has one.
 *
 * @throws {RevisionError} If the path is absent, a directory, a special file or a revision's
 *   metadata, or if the revision has only metadata here: its map is missing or on another server.
 */
export function locateRevision(path: string): RevisionLocation {
  const refuse = (state: string, cause?: unknown): never => {
    throw new RevisionError(
      `Cannot open revision ${quote(path)}: ${state}`,
      { path },
      { cause },
    );
  };

  if (path === "") refuse("the path is empty");
  const info = tryStat(path, refuse);
  if (info === null) return refuse(whyAbsent(path));
  if (info.isDirectory) {
    return refuse("it is a directory, name a revision in it (DIR/UUID)");
  }
  if (!info.isFile) return refuse("it is not a regular file");

  const { dir, name } = splitPath(path);
  let location: RevisionLocation = { basedir: dir, name, mapPath: path };
  if (lstat(path, refuse).isSymlink) {
    const real = splitPath(realPath(path, refuse));
    const isBeside = realPath(dir, refuse) === real.dir;
    const basedir = isBeside || hasStoreTag(dir) || !hasStoreTag(real.dir) ? dir : real.dir;
    // The link's target, not the link: the next backup redirects `last` to another revision.
    location = { basedir, name: real.name, mapPath: pathIn(isBeside ? dir : real.dir, real.name) };
  }
  if (location.name.endsWith(METADATA_SUFFIX)) {
    return refuse(`it is a revision's metadata, name the revision without "${METADATA_SUFFIX}"`);
  }
  return location;
}

type Refuse = (state: string, cause?: unknown) => never;

/** Says why there is nothing at a revision's path, judging by the files around it. */
function whyAbsent(path: string): string {
  const { dir } = splitPath(path);
  if (linkOrNull(path) !== null) return `it is a symbolic link to nothing; ${hintNear(dir)}`;
  try {
    const server = readServer(path + METADATA_SUFFIX);
    return `${describeOnlyMetadata(server)}; ${server === "" ? hintNear(dir) : "restore it there"}`;
  } catch {
    return `there is no such revision; ${hintNear(dir)}`;
  }
}

/**
 * Says why a revision that has only metadata here cannot be read.
 *
 * @param server As the metadata has it; "" if it names none.
 */
export function describeOnlyMetadata(server: string): string {
  if (server === "") return "its map is missing, there is only its metadata";
  const name = shownHostName(server);
  const where = name === WITHHELD ? "another server" : `server ${quote(name)}`;
  return `it lives on ${where}, only its metadata is here`;
}

/**
 * Finds the server in a metadata file, in the only form in which producers write it; "" if it names
 * none. The YAML parser of `revision_info.ts` takes 13 ms to load, too much for this rare message.
 */
function readServer(path: string): string {
  const bytes = readRegular(path, 64 * 1024);
  if (bytes === null) return "";
  const text = new TextDecoder().decode(bytes);
  // Other files are not metadata, and their text must not be shown.
  if (!/^(uuid|timestamp|stats):/m.test(text)) return "";
  const match = /^server: +(?:'([^'\n]+)'|"([^"\n]+)"|([^'"\s].*?)) *$/m.exec(text);
  return match?.[1] ?? match?.[2] ?? match?.[3] ?? "";
}

/**
 * Stats a path; `null` if there is nothing, also because a file stands where a directory should.
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
