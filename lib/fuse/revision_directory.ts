/**
 * The revisions of a mount: which there are, now and after the next backup.
 *
 * The backup directory is listed again when its modification time has changed and somebody looks.
 * A running backup rewrites its map in place, which does not change that time, so a revision's own
 * files are checked as well whenever somebody asks for it. If its map or metadata have changed, it
 * is another file from then on (`revision_nodes.ts`). Only a file that was written to stays when
 * just the metadata have changed.
 *
 * A deleted revision is not listed any more, but can be read by those who have it open. Pure:
 * listing and looking are handed in.
 *
 * @module
 */

import type { FileState } from "../linux/file_state.ts";
import {
  type Catalog,
  type CatalogEntry,
  newestComplete,
  type SkippedRevision,
  whyUnusable,
} from "../store/catalog.ts";
import { LAST_NAME } from "./names.ts";
import { type NodeSource, type RevisionNode, RevisionNodes } from "./revision_nodes.ts";

/** A change this close to a listing may be followed by another with the same modification time. */
const SAME_TIME_MS = 2000;

/** How long {@linkcode RevisionDirectory.refreshAll} does nothing after a call. */
const REFRESH_ALL_MS = 1000;

/** How long nodes that were found, and metadata of an unknown version, count as unchanged. */
const REREAD_MS = 200;

/** How a directory learns of its revisions. */
export interface DirectorySource extends NodeSource {
  /** Lists the revisions. */
  readonly readCatalog: () => Catalog;
  /** Returns when the backup directory was modified, in ms since 1970. */
  readonly readModifiedMs: () => number;
  /** Returns the state of a file. @throws {OsError} If the file does not exist. */
  readonly readState: (path: string) => FileState;
  /** Gets each revision that is not served, once. */
  readonly onSkipped: (skipped: SkippedRevision) => void;
  /** Gets the error when listing fails; what was listed before is still served. */
  readonly onFailure: (error: unknown) => void;
  /** Default: `Date.now`. */
  readonly now?: () => number;
}

/** The revisions of a mount. */
export class RevisionDirectory {
  readonly #source: DirectorySource;
  readonly #now: () => number;
  readonly #nodes: RevisionNodes;
  readonly #reported = new Set<string>();
  /** Names of the revisions that are served now, oldest first. */
  #names: ReadonlySet<string> = new Set();
  #generation = 0;
  #modifiedMs = 0;
  #readAtMs = -Infinity;
  #refreshedAllMs = -Infinity;
  #lastName: string | null = null;

  /** Lists the revisions. @throws {StoreFormatError} If the backup directory cannot be read. */
  constructor(source: DirectorySource) {
    this.#source = source;
    this.#nodes = new RevisionNodes(source);
    this.#now = source.now ?? Date.now;
    this.#read();
  }

  /** The revisions that are served, oldest first, as far as is known. */
  get nodes(): readonly RevisionNode[] {
    return Array.from(this.#names, (name) => this.#nodes.named(name)!);
  }

  /** Whether a revision of a name is served, as far as is known. */
  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** Number of revisions that are served, as far as is known. */
  get count(): number {
    return this.#names.size;
  }

  /**
   * The newest finished revision, as far as is known; `null` if there is none, or if a revision is
   * itself called {@linkcode LAST_NAME}.
   */
  get last(): RevisionNode | null {
    return this.#lastName === null ? null : this.#nodes.named(this.#lastName)!;
  }

  /** When the backup directory was modified, as far as is known: ms since 1970. */
  get modifiedMs(): number {
    return this.#modifiedMs;
  }

  /** Changes whenever names, times or states of revisions may have. */
  get generation(): number {
    return this.#generation;
  }

  /** Finds a revision by its name, as it is now. */
  find(name: string): RevisionNode | null {
    if (!this.#names.has(name)) this.refresh();
    if (!this.#names.has(name)) return null;
    if (!this.#hasSameMetadata(this.#nodes.named(name)!)) this.#readOrReport();
    if (!this.#names.has(name)) return null;
    const node = this.#nodes.named(name)!;
    const present = this.#hasSameMap(node) ? node : this.#replace(node, node.entry);
    present.foundAtMs = this.#now();
    return present;
  }

  /** Finds {@linkcode last}, as it is now. */
  findLast(): RevisionNode | null {
    this.refresh();
    // Another revision becomes the last one when its backup finishes.
    const deciding = this.nodes.filter((node) => !node.entry.info.isComplete || node === this.last);
    if (!deciding.every((node) => this.#hasSameMetadata(node))) this.#readOrReport();
    return this.last;
  }

  /** Returns the revision of an inode number if it is served now, or somebody has it open. */
  at(ino: number): RevisionNode | null {
    return this.#nodes.at(ino);
  }

  /**
   * Whether a node is the present one of its name, or the name is gone. The files are not checked
   * again if they were just now.
   */
  isPresent(node: RevisionNode): boolean {
    if (Math.abs(this.#now() - node.foundAtMs) < REREAD_MS) return !this.#nodes.isReplaced(node);
    const present = this.find(node.entry.name);
    return present === null || present === node;
  }

  /** Whether an inode number is or was a revision's. */
  wasGiven(ino: number): boolean {
    return this.#nodes.wasGiven(ino);
  }

  /** Serves a new file in the place of one whose map was found to have changed. */
  replace(node: RevisionNode): void {
    if (this.#nodes.named(node.entry.name) === node) this.#replace(node, node.entry);
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

  /** Brings everything up to date that the kernel or a program may have seen. */
  refreshAll(): void {
    this.refresh();
    const now = this.#now();
    if (now < this.#refreshedAllMs + REFRESH_ALL_MS) return;
    for (const { image, entry } of this.nodes) if (image.map.isKnown) this.find(entry.name);
    this.#refreshedAllMs = now;
  }

  #readOrReport(): void {
    try {
      this.#read();
    } catch (error) {
      this.#source.onFailure(error);
    }
  }

  #read(): void {
    // Taken before the listing, so that a change meanwhile is noticed later.
    const readAtMs = this.#now();
    const modifiedMs = this.#source.readModifiedMs();
    const { revisions, skipped } = this.#source.readCatalog();
    for (const each of skipped) this.#reportOnce(each);
    const usable = revisions.filter((entry) => {
      const reason = whyUnusable(entry);
      if (reason !== null) this.#reportOnce({ name: entry.name, reason });
      return reason === null;
    });
    for (const entry of usable) this.#update(entry);
    this.#names = new Set(usable.map(({ name }) => name));
    const newest = this.#names.has(LAST_NAME) ? undefined : newestComplete(usable);
    this.#lastName = newest?.name ?? null;
    this.#generation++;
    this.#modifiedMs = modifiedMs;
    this.#readAtMs = readAtMs;
  }

  #update(entry: CatalogEntry): void {
    const node = this.#nodes.named(entry.name);
    if (node === undefined) this.#nodes.add(entry);
    else if (node.image.hasChanges || saysTheSame(node.entry, entry)) node.entry = entry;
    else this.#replace(node, entry);
  }

  #replace(node: RevisionNode, entry: CatalogEntry): RevisionNode {
    const next = this.#nodes.replace(node, entry);
    this.#hasSameMap(next);
    return next;
  }

  /** Whether the metadata file is the one that was read. */
  #hasSameMetadata({ entry: { metadataPath, metadataVersion } }: RevisionNode): boolean {
    if (metadataVersion !== null) return this.#stateOf(metadataPath)?.version === metadataVersion;
    // Only reading all metadata again would show a change, so not for each of a thousand lookups.
    return Math.abs(this.#now() - this.#readAtMs) < REREAD_MS;
  }

  /**
   * Whether a revision's map is the one that its image stands for. A missing map counts as the
   * same: reading it will fail.
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

  #reportOnce(skipped: SkippedRevision): void {
    const key = `${skipped.name}\n${skipped.reason}`;
    if (this.#reported.has(key)) return;
    this.#reported.add(key);
    this.#source.onSkipped(skipped);
  }
}

/** Whether two readings of a revision's metadata say the same, even if the file is another. */
function saysTheSame(a: CatalogEntry, b: CatalogEntry): boolean {
  return a.info === b.info || JSON.stringify(a.info) === JSON.stringify(b.info);
}
