/**
 * The root directory of a mount: which revisions there are, under which inode numbers, now and after the next backup.
 *
 * The backup directory is listed again when its modification time has changed and somebody looks. A revision keeps its inode
 * number, and what was written to it, as long as the mount lasts; one that has gone is no longer listed, but can be read
 * by those who have it open. Pure: listing is handed in.
 *
 * @module
 */

import {
  type Catalog,
  type CatalogEntry,
  newestComplete,
  type SkippedRevision,
  whyUnusable,
} from "../store/catalog.ts";
import type { Image } from "./image.ts";

/** Inode number of the root; FUSE's. */
export const ROOT_INO = 1;

/** Inode number of the symbolic link {@linkcode LAST_NAME}. */
export const LAST_INO = 2;

/** Name of the symbolic link to the newest finished revision. */
export const LAST_NAME = "last";

const FIRST_REVISION_INO = 3;

/** A change so near to a listing may be followed by another with the same modification time. */
const SAME_TIME_MS = 2000;

/** A revision that is served. */
export interface RevisionNode {
  readonly ino: number;
  readonly image: Image;
  /** As it was listed last. */
  entry: CatalogEntry;
}

/** How a directory learns of its revisions. */
export interface DirectorySource {
  /** Lists the revisions. */
  readonly readCatalog: () => Catalog;
  /** Returns when the backup directory was modified, in ms since 1970. */
  readonly readModifiedMs: () => number;
  readonly openImage: (entry: CatalogEntry) => Image;
  /** Is told of each revision that is not served, once. */
  readonly onSkipped: (skipped: SkippedRevision) => void;
  /** Is told that listing failed; what was listed before is still served. */
  readonly onFailure: (error: unknown) => void;
  /** Default: `Date.now`. */
  readonly now?: () => number;
}

/** The revisions of a mount. */
export class RevisionDirectory {
  readonly #source: DirectorySource;
  readonly #now: () => number;
  /** All that were ever served, by name and by inode number. */
  readonly #known = new Map<string, RevisionNode>();
  readonly #byIno: RevisionNode[] = [];
  readonly #told = new Set<string>();
  /** Those that are served now. */
  #names: ReadonlySet<string> = new Set();
  #nodes: readonly RevisionNode[] = [];
  #last: RevisionNode | null = null;
  #modifiedMs = 0;
  #readAtMs = -Infinity;

  /** Lists the revisions. @throws {StoreFormatError} If the backup directory cannot be read. */
  constructor(source: DirectorySource) {
    this.#source = source;
    this.#now = source.now ?? Date.now;
    this.#read();
  }

  /** The revisions that are served, oldest first. The array is never changed. */
  get nodes(): readonly RevisionNode[] {
    return this.#nodes;
  }

  /** The newest finished revision; `null` if there is none, or if a revision is called {@linkcode LAST_NAME} itself. */
  get last(): RevisionNode | null {
    return this.#last;
  }

  /** When the backup directory was modified, as far as is known: ms since 1970. */
  get modifiedMs(): number {
    return this.#modifiedMs;
  }

  /** Finds a revision by its name, also one that has just appeared. */
  find(name: string): RevisionNode | null {
    if (!this.#names.has(name)) this.refresh();
    return this.#names.has(name) ? this.#known.get(name)! : null;
  }

  /** Returns the revision of an inode number, also if it has gone since. */
  at(ino: number): RevisionNode | null {
    return this.#byIno[ino - FIRST_REVISION_INO] ?? null;
  }

  /** Lists the revisions anew if the backup directory may have changed. */
  refresh(): void {
    try {
      const modifiedMs = this.#source.readModifiedMs();
      const isSettled = Math.abs(this.#readAtMs - modifiedMs) > SAME_TIME_MS;
      if (modifiedMs !== this.#modifiedMs || !isSettled) this.#read();
    } catch (error) {
      this.#source.onFailure(error);
    }
  }

  #read(): void {
    // Before the listing: a change during it will be seen as one.
    const readAtMs = this.#now();
    const modifiedMs = this.#source.readModifiedMs();
    const { revisions, skipped } = this.#source.readCatalog();
    for (const each of skipped) this.#tellOnce(each);
    const usable = revisions.filter((entry) => {
      const reason = whyUnusable(entry);
      if (reason !== null) this.#tellOnce({ name: entry.name, reason });
      return reason === null;
    });
    this.#nodes = usable.map((entry) => this.#nodeOf(entry));
    this.#names = new Set(usable.map(({ name }) => name));
    const newest = this.#names.has(LAST_NAME) ? undefined : newestComplete(usable);
    this.#last = newest ? this.#known.get(newest.name)! : null;
    this.#modifiedMs = modifiedMs;
    this.#readAtMs = readAtMs;
  }

  #nodeOf(entry: CatalogEntry): RevisionNode {
    let node = this.#known.get(entry.name);
    if (node) {
      node.entry = entry;
      return node;
    }
    const ino = FIRST_REVISION_INO + this.#byIno.length;
    node = { ino, entry, image: this.#source.openImage(entry) };
    this.#known.set(entry.name, node);
    this.#byIno.push(node);
    return node;
  }

  #tellOnce(skipped: SkippedRevision): void {
    const key = `${skipped.name}\n${skipped.reason}`;
    if (this.#told.has(key)) return;
    this.#told.add(key);
    this.#source.onSkipped(skipped);
  }
}
