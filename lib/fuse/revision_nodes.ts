/**
 * The files of a mount by name and by inode number: each state of a revision is a file of its own.
 *
 * A changed revision gets a new inode number, so that nothing the kernel remembers of the old state
 * is taken for the new one. A replaced file can be read and written by those who have it open.
 * `revision_directory.ts` finds out what has changed. Pure.
 *
 * @module
 */

import type { Image } from "../image_access/image.ts";
import type { CatalogEntry } from "../store/catalog.ts";
import { FIRST_REVISION_INO } from "./inodes.ts";
import { PartitionFiles } from "./partition_files.ts";
import { View } from "./views.ts";

/** A revision that is served, in one of its states. */
export interface RevisionNode {
  /** Never used again for another. */
  readonly ino: number;
  readonly image: Image;
  /** What its own file shows: the whole image. */
  readonly view: View;
  readonly partitions: PartitionFiles;
  /** Those that were ever opened, of which the kernel may have cached content. */
  readonly openedViews: Set<View>;
  /** As it was listed last. */
  entry: CatalogEntry;
  /** When its name was last found to lead to it, in ms since 1970. */
  foundAtMs: number;
}

/** Where nodes get their images, and who hears of those that are replaced. */
export interface NodeSource {
  readonly openImage: (entry: CatalogEntry) => Image;
  /** Gets the name of each revision whose file is replaced after it was written to. */
  readonly onReplaced: (name: string) => void;
  /** Gets what is wrong with a partition table, in one line. */
  readonly onBadTable: (text: string) => void;
}

/** The nodes of a mount. */
export class RevisionNodes {
  readonly #source: NodeSource;
  /** The present node of each name that was ever served. */
  readonly #byName = new Map<string, RevisionNode>();
  /** The present nodes, and replaced ones as long as somebody has them open. */
  readonly #byIno = new Map<number, RevisionNode>();
  readonly #replaced = new Set<RevisionNode>();
  #nextIno = FIRST_REVISION_INO;

  constructor(source: NodeSource) {
    this.#source = source;
  }

  /** Returns the present node of a name that was ever served. */
  named(name: string): RevisionNode | undefined {
    return this.#byName.get(name);
  }

  /** Returns the node of an inode number if it is a present one, or somebody has it open. */
  at(ino: number): RevisionNode | null {
    const node = this.#byIno.get(ino);
    return node && (node.image.isOpen || !this.#replaced.has(node)) ? node : null;
  }

  /** Whether another node stands for the name of this one. */
  isReplaced(node: RevisionNode): boolean {
    return this.#replaced.has(node);
  }

  /** Whether an inode number is or was a revision's. */
  wasGiven(ino: number): boolean {
    return ino >= FIRST_REVISION_INO && ino < this.#nextIno;
  }

  /** Adds the node of a revision, under a new inode number. */
  add(entry: CatalogEntry): RevisionNode {
    const image = this.#source.openImage(entry);
    const ino = this.#nextIno++;
    const view = new View(ino, 0, null);
    const onWarning = this.#source.onBadTable;
    const partitions = new PartitionFiles({ revisionIno: ino, image, onWarning });
    const openedViews = new Set<View>();
    const node = { ino, image, view, partitions, openedViews, entry, foundAtMs: -Infinity };
    this.#byName.set(entry.name, node);
    this.#byIno.set(node.ino, node);
    return node;
  }

  /** Puts a new node in the place of a present one. */
  replace(node: RevisionNode, entry: CatalogEntry): RevisionNode {
    if (node.image.hasChanges) this.#source.onReplaced(entry.name);
    node.image.retire();
    this.#replaced.add(node);
    for (const each of this.#replaced) {
      if (each.image.isOpen) continue;
      this.#replaced.delete(each);
      this.#byIno.delete(each.ino);
    }
    return this.add(entry);
  }
}
