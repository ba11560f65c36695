/**
 * The root directory of a mount: which revisions there are, under which inode numbers, now and
 * after the next backup.
 *
 * The backup directory is listed again when its modification time has changed and somebody looks.
 * That does not show what a running backup does to its map, which is rewritten in place, so a
 * revision's own files are looked at, too, whenever somebody asks for it. If its map or metadata
 * have changed, it is another file from then on: with a new inode number, so that nothing the
 * kernel remembers of the old one is taken for it. Who has the old one open reads and writes that
 * to the end. Only a file that was written to stays if it is the metadata alone that changed.
 *
 * A revision that has gone is no longer listed, but can be read by those who have it open. Pure:
 * listing and looking are handed in.
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
import type { FileState } from "../linux/file_state.ts";
import type { Image } from "../image_access/image.ts";

/** Inode number of the root; FUSE's. */
export const ROOT_INO = 1;

/** Inode number of the symbolic link {@linkcode LAST_NAME}. */
export const LAST_INO = 2;

/** Name of the symbolic link to the newest finished revision. */
export const LAST_NAME = "last";

const FIRST_REVISION_INO = 3;

/** A change so near to a listing may be followed by another with the same modification time. */
const SAME_TIME_MS = 2000;

/** {@linkcode RevisionDirectory.refreshAll} does nothing for so long after it was called before. */
const REFRESH_ALL_MS = 1000;

/**
 * Metadata whose version is not known, and nodes that were found, are taken to be what they were
 * for so long.
 */
const REREAD_MS = 200;

/** A revision that is served, in one of its states. */
export interface RevisionNode {
  /** Never used again for another. */
  readonly ino: number;
  readonly image: Image;
  /** As it was listed last. */
  entry: CatalogEntry;
  /** When its name was last found to lead to it, in ms since 1970. */
  foundAtMs: number;
}

/** How a directory learns of its revisions. */
export interface DirectorySource {
  /** Lists the revisions. */
  readonly readCatalog: () => Catalog;
  /** Returns when the backup directory was modified, in ms since 1970. */
  readonly readModifiedMs: () => number;
  /** Tells the state of a file. @throws {OsError} If there is none. */
  readonly readState: (path: string) => FileState;
  readonly openImage: (entry: CatalogEntry) => Image;
  /**
   * Is told of each file that was written to, and is no longer the one that the revision's name
   * leads to.
   */
  readonly onReplaced: (name: string) => void;
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
  /** The present node of each name that was ever served. */
  readonly #known = new Map<string, RevisionNode>();
  /** Those, and others as long as somebody has them open. */
  readonly #byIno = new Map<number, RevisionNode>();
  readonly #replaced = new Set<RevisionNode>();
  readonly #told = new Set<string>();
  /** Names of those that are served now, oldest first. */
  #names: ReadonlySet<string> = new Set();
  #nextIno = FIRST_REVISION_INO;
  #modifiedMs = 0;
  #readAtMs = -Infinity;
  #refreshedAllMs = -Infinity;
  #lastName: string | null = null;

  /** Lists the revisions. @throws {StoreFormatError} If the backup directory cannot be read. */
  constructor(source: DirectorySource) {
    this.#source = source;
    this.#now = source.now ?? Date.now;
    this.#read();
  }

  /** The revisions that are served, oldest first, as far as is known. */
  get nodes(): readonly RevisionNode[] {
    return Array.from(this.#names, (name) => this.#known.get(name)!);
  }

  /** Number of revisions that are served, as far as is known. */
  get count(): number {
    return this.#names.size;
  }

  /**
   * The newest finished revision, as far as is known; `null` if there is none, or if a revision is
   * called
   * {@linkcode LAST_NAME} itself.
   */
  get last(): RevisionNode | null {
    return this.#lastName === null ? null : this.#known.get(this.#lastName)!;
  }

  /** When the backup directory was modified, as far as is known: ms since 1970. */
  get modifiedMs(): number {
    return this.#modifiedMs;
  }

  /** Finds a revision by its name, as it is now. */
  find(name: string): RevisionNode | null {
    if (!this.#names.has(name)) this.refresh();
    if (!this.#names.has(name)) return null;
    if (!this.#hasSameMetadata(this.#known.get(name)!)) this.#readOrTell();
    if (!this.#names.has(name)) return null;
    const node = this.#known.get(name)!;
    const present = this.#hasSameMap(node) ? node : this.#replace(node, node.entry);
    present.foundAtMs = this.#now();
    return present;
  }

  /** Finds {@linkcode last} as it is now. */
  findLast(): RevisionNode | null {
    this.refresh();
    // What makes another revision the last one is that its backup has finished.
    const deciding = this.nodes.filter((node) => !node.entry.info.isComplete || node === this.last);
    if (!deciding.every((node) => this.#hasSameMetadata(node))) this.#readOrTell();
    return this.last;
  }

  /**
   * Returns the revision of an inode number, if it is one that is served now, or that somebody has
   * open.
   */
  at(ino: number): RevisionNode | null {
    const node = this.#byIno.get(ino);
    return node && (node.image.isOpen || !this.#replaced.has(node)) ? node : null;
  }

  /**
   * Whether a node is what its name leads to, or its name is gone; what was found out just now is
   * not looked for again.
   */
  isPresent(node: RevisionNode): boolean {
    if (Math.abs(this.#now() - node.foundAtMs) < REREAD_MS) return !this.#replaced.has(node);
    const present = this.find(node.entry.name);
    return present === null || present === node;
  }

  /** Whether an inode number was a revision's. */
  wasGiven(ino: number): boolean {
    return ino >= FIRST_REVISION_INO && ino < this.#nextIno;
  }

  /** Serves another file from now on under the name of one whose map was found to have changed. */
  replace(node: RevisionNode): void {
    if (this.#known.get(node.entry.name) === node) this.#replace(node, node.entry);
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

  /** Brings everything up to date that somebody may remember. */
  refreshAll(): void {
    this.refresh();
    const now = this.#now();
    if (now < this.#refreshedAllMs + REFRESH_ALL_MS) return;
    for (const { image, entry } of this.nodes) if (image.map.isKnown) this.find(entry.name);
    this.#refreshedAllMs = now;
  }

  #readOrTell(): void {
    try {
      this.#read();
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
    for (const entry of usable) this.#update(entry);
    this.#names = new Set(usable.map(({ name }) => name));
    const newest = this.#names.has(LAST_NAME) ? undefined : newestComplete(usable);
    this.#lastName = newest?.name ?? null;
    this.#modifiedMs = modifiedMs;
    this.#readAtMs = readAtMs;
  }

  #update(entry: CatalogEntry): void {
    const node = this.#known.get(entry.name);
    if (node === undefined) this.#add(entry);
    else if (node.image.hasChanges || saysTheSame(node.entry, entry)) node.entry = entry;
    else this.#replace(node, entry);
  }

  #add(entry: CatalogEntry): RevisionNode {
    const image = this.#source.openImage(entry);
    const node = { ino: this.#nextIno++, image, entry, foundAtMs: -Infinity };
    this.#known.set(entry.name, node);
    this.#byIno.set(node.ino, node);
    return node;
  }

  #replace(node: RevisionNode, entry: CatalogEntry): RevisionNode {
    if (node.image.hasChanges) this.#source.onReplaced(entry.name);
    node.image.retire();
    this.#replaced.add(node);
    for (const each of this.#replaced) {
      if (each.image.isOpen) continue;
      this.#replaced.delete(each);
      this.#byIno.delete(each.ino);
    }
    const next = this.#add(entry);
    this.#hasSameMap(next);
    return next;
  }

  /** Whether the metadata file is the one that was read. */
  #hasSameMetadata({ entry: { metadataPath, metadataVersion } }: RevisionNode): boolean {
    if (metadataVersion !== null) return this.#stateOf(metadataPath)?.version === metadataVersion;
    // It must be read again to tell, but not for each of a thousand that have just been written.
    return Math.abs(this.#now() - this.#readAtMs) < REREAD_MS;
  }

  /**
   * Whether a revision's map is the one that its image stands for; where there is none, reading it
   * will tell.
   */
  #hasSameMap({ image, entry }: RevisionNode): boolean {
    const state = this.#stateOf(entry.mapPath);
    return state === null || image.map.accept(state);
  }

  #stateOf(path: string): FileState | null {
    try {
      return this.#source.readState(path);
    } catch {
      return null;
    }
  }

  #tellOnce(skipped: SkippedRevision): void {
    const key = `${skipped.name}\n${skipped.reason}`;
    if (this.#told.has(key)) return;
    this.#told.add(key);
    this.#source.onSkipped(skipped);
  }
}

/** Whether two readings of a revision's metadata say the same, whatever became of the file. */
function saysTheSame(a: CatalogEntry, b: CatalogEntry): boolean {
  return a.info === b.info || JSON.stringify(a.info) === JSON.stringify(b.info);
}
