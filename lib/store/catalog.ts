/**
 * Lists the revisions of a backup directory from their metadata files. Mounts and listings start
 * here; a restore that names its revision does not need it.
 *
 * A bad file never affects the others: it is listed as skipped, with the reason. Revisions that
 * cannot be read (on another server, without a map) are listed with flags that say so.
 *
 * @module
 */

import { BackyError, OsError, RevisionError, StoreFormatError } from "../errors.ts";
import { Errno, reasonOf, rethrowLack } from "../linux/errno.ts";
import { fileState } from "../linux/file_state.ts";
import { runSteps, type Steps } from "../slices.ts";
import { quote, WITHHELD } from "../wording.ts";
import { pathIn } from "../linux/paths.ts";
import { METADATA_SUFFIX } from "./layout.ts";
import { describeOnlyMetadata } from "./store.ts";
import { readRevisionInfo, type RevisionInfo } from "./revision_info.ts";

/** A revision, according to its metadata and the directory. */
export interface CatalogEntry {
  /** The revision's name, which is its uuid and its map's file name. */
  readonly name: string;
  /** Its metadata. */
  readonly info: RevisionInfo;
  /**
   * The backup's start; `null` if the metadata has none that can be read. The order says nothing
   * about such a revision, so it must not be chosen by it. The file's own time would not help:
   * copying the directory changes it.
   */
  readonly time: Date | null;
  /** Path of the metadata file. */
  readonly metadataPath: string;
  /**
   * `FileState.version` of the metadata file when it was read; `null` if it might not reveal later
   * changes.
   */
  readonly metadataVersion: string | null;
  /** Path of the revision map, which need not exist. */
  readonly mapPath: string;
  /** Whether there is such a file. */
  readonly hasMap: boolean;
  /** Whether map and chunks are kept here, not on another server. */
  readonly isLocal: boolean;
  /** Whether the metadata allows for the format of `layout.ts`. */
  readonly isChunked: boolean;
}

/** A metadata file that could not be used. */
export interface SkippedRevision {
  /** Name of the file without ".rev", as in the directory: quote it before showing it. */
  readonly name: string;
  /** One line. */
  readonly reason: string;
}

/** The revisions of a backup directory. */
export interface Catalog {
  /** Those without a time, then the others from old to new; by name if the time is the same. */
  readonly revisions: readonly CatalogEntry[];
  /** Metadata files that could not be used. */
  readonly skipped: readonly SkippedRevision[];
}

/**
 * Reads a backup directory's list of revisions. @throws {StoreFormatError} If the directory cannot
 * be read.
 */
export function readCatalog(basedir: string): Catalog {
  return new CatalogReader(basedir).read();
}

/** {@linkcode readCatalog} in steps: ten thousand revisions take a second. */
export function readCatalogSteps(basedir: string): Steps<Catalog> {
  return new CatalogReader(basedir).readSteps();
}

/**
 * Says why a revision's image cannot be read, such as `it lives on server "x"`; `null` if no reason
 * is known.
 */
export function whyUnusable(entry: CatalogEntry): string | null {
  const { info, isLocal, isChunked, hasMap } = entry;
  if (!isLocal) return describeOnlyMetadata(info.server);
  if (!isChunked) {
    const format = info.backendType ?? WITHHELD;
    return `its format is ${format === WITHHELD ? "another" : quote(format)}, not "chunked"`;
  }
  return hasMap ? null : describeOnlyMetadata("");
}

/**
 * Returns the newest revision whose backup completed; `undefined` if there is none. A revision
 * without a time is never the newest.
 */
export function newestComplete(revisions: readonly CatalogEntry[]): CatalogEntry | undefined {
  return revisions.findLast(({ info, time }) => info.isComplete && time !== null);
}

/** Metadata files read per step. */
const FILES_PER_STEP = 16;

/** What reading a metadata file gave, and the version by which a later change is noticed. */
interface Remembered {
  readonly version: string | null;
  readonly result: RevisionInfo | { readonly reason: string };
}

/** Reads the list repeatedly, and metadata files again only after they changed. */
export class CatalogReader {
  readonly #basedir: string;
  #remembered: ReadonlyMap<string, Remembered> = new Map();

  constructor(basedir: string) {
    this.#basedir = basedir;
  }

  /** Reads the list as it is now. @throws {StoreFormatError} If the directory cannot be read. */
  read(): Catalog {
    return runSteps(this.readSteps());
  }

  /** {@linkcode read} in steps. */
  *readSteps(): Steps<Catalog> {
    const { metadataNames, otherNames } = this.#listNames();
    const remembered = new Map<string, Remembered>();
    const revisions: CatalogEntry[] = [];
    const skipped: SkippedRevision[] = [];
    let files = 0;
    for (const name of metadataNames) {
      if (files++ % FILES_PER_STEP === 0) yield;
      const file = this.#readMetadata(name);
      if (file === null) continue;
      remembered.set(name, file);
      const { result } = file;
      if ("reason" in result) skipped.push({ name, reason: result.reason });
      // A copy of the symbolic link `last.rev`; the revision is listed under its own name.
      else if (result.uuid !== name) {
        // Do not show a uuid that has no metadata of its own: the file may not be ours.
        const isKnown = metadataNames.has(result.uuid);
        const whose = isKnown ? quote(result.uuid) : "another revision";
        skipped.push({ name, reason: `it is the metadata of ${whose}` });
      } else {
        revisions.push(this.#entryOf(result, file.version, otherNames.has(name)));
      }
    }
    this.#remembered = remembered;
    revisions.sort((a, b) => compare(orderOf(a), orderOf(b)) || compare(a.name, b.name));
    skipped.sort((a, b) => compare(a.name, b.name));
    return { revisions, skipped };
  }

  /** Lists the directory: names of metadata files without the suffix, and names of other files. */
  #listNames(): { metadataNames: Set<string>; otherNames: Set<string> } {
    const metadataNames = new Set<string>();
    const otherNames = new Set<string>();
    try {
      for (const entry of Deno.readDirSync(this.#basedir)) {
        if (entry.isDirectory) continue;
        if (!entry.name.endsWith(METADATA_SUFFIX)) otherNames.add(entry.name);
        // Symbolic links (`last.rev`) are additional names of revisions.
        else if (!entry.isSymlink) metadataNames.add(entry.name.slice(0, -METADATA_SUFFIX.length));
      }
    } catch (error) {
      rethrowLack(error, this.#basedir);
      throw new StoreFormatError(
        `Cannot list backup directory ${quote(this.#basedir)}: ${reasonOf(error)}`,
        { path: this.#basedir },
        { cause: error },
      );
    }
    return { metadataNames, otherNames };
  }

  /** Reads a metadata file; `null` if it no longer exists. */
  #readMetadata(name: string): Remembered | null {
    const path = this.#pathOf(name + METADATA_SUFFIX);
    let version: string | null = null;
    try {
      const state = fileState(path);
      if (state.isSettled) version = state.version;
      const before = this.#remembered.get(name);
      if (before && before.version !== null && before.version === version) return before;
      return { version, result: readRevisionInfo(path) };
    } catch (error) {
      // It expired since the directory was listed.
      if (isNotThere(error)) return null;
      // A lack of descriptors or memory is no reason to leave out this revision.
      rethrowLack(error, path);
      const reason = error instanceof BackyError ? error.message : reasonOf(error);
      return { version, result: { reason } };
    }
  }

  #entryOf(info: RevisionInfo, metadataVersion: string | null, hasMap: boolean): CatalogEntry {
    return {
      name: info.uuid,
      info,
      time: info.timestamp,
      metadataPath: this.#pathOf(info.uuid + METADATA_SUFFIX),
      metadataVersion,
      mapPath: this.#pathOf(info.uuid),
      hasMap,
      isLocal: info.server === "",
      isChunked: info.backendType === null || info.backendType === "chunked",
    };
  }

  #pathOf(name: string): string {
    return pathIn(this.#basedir, name);
  }
}

/** Whether reading metadata or a map failed because the file does not exist. */
export function isNotThere(error: unknown): boolean {
  const cause = error instanceof RevisionError ? error.cause : error;
  return cause instanceof Deno.errors.NotFound ||
    cause instanceof OsError && cause.errno === Errno.ENOENT;
}

function orderOf({ time }: CatalogEntry): number {
  return time?.getTime() ?? -Infinity;
}

function compare<T extends string | number>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
