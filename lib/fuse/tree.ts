/**
 * The files of a mount by inode number and by name.
 *
 * ```text
 * last -> REV            last.parts -> REV.parts
 * by-date/2026-11-27T03:00 -> ../REV
 * REV                    the image
 * REV.parts/1            a partition of it
 * ```
 *
 * Directories of partitions, and links to them in `by-date`, can be looked up but are not listed,
 * but for `last.parts`: whoever walks through the mount, as du and find do, would read all tables
 * and count everything twice. Before: `filesystem.ts`; next: `revision_directory.ts`,
 * `partition_files.ts`, `date_links.ts`. Pure.
 *
 * @module
 */

import { Errno, FileType, FuseError } from "../deno_fuse/mod.ts";
import { dateNames } from "./date_links.ts";
import {
  BY_DATE_INO,
  derivedIno,
  LAST_INO,
  LAST_PARTS_INO,
  ROOT_INO,
  Slot,
  splitIno,
} from "./inodes.ts";
import { BY_DATE_NAME, LAST_NAME, PARTS_SUFFIX } from "./names.ts";
import type { PartitionFile } from "./partition_files.ts";
import type { RevisionDirectory } from "./revision_directory.ts";
import type { RevisionNode } from "./revision_nodes.ts";
import type { View } from "./views.ts";

/** What an inode number stands for. */
export type Place =
  | { readonly kind: "root" | "dates"; readonly ino: number }
  /** A symbolic link to a revision, or to the directory of its partitions. */
  | {
    readonly kind: "link";
    readonly ino: number;
    readonly node: RevisionNode;
    readonly target: string;
  }
  | { readonly kind: "partitions"; readonly ino: number; readonly node: RevisionNode }
  | FilePlace;

/** A file with content: an image, or a partition of it. */
export interface FilePlace {
  readonly kind: "file";
  readonly ino: number;
  readonly node: RevisionNode;
  readonly view: View;
  /** `null` for the whole image. */
  readonly partition: PartitionFile | null;
}

/** A name in a directory. */
export interface Listed {
  readonly name: string;
  readonly ino: number;
  /** Its `FileType`. */
  readonly type: number;
}

/** The files of a mount. */
export class Tree {
  readonly #revisions: RevisionDirectory;
  /** The revision of each name in `by-date`, oldest first. */
  #dates: ReadonlyMap<string, string> = new Map();
  #datesGeneration = -1;

  constructor(revisions: RevisionDirectory) {
    this.#revisions = revisions;
  }

  /**
   * Returns what an inode number stands for.
   *
   * @throws {FuseError} ESTALE if it was replaced and nobody has it open: the kernel then looks its
   *   name up again. ENOENT if there is no such file.
   */
  at(ino: number): Place {
    if (ino === ROOT_INO) return { kind: "root", ino };
    if (ino === BY_DATE_INO) return { kind: "dates", ino };
    if (ino === LAST_INO || ino === LAST_PARTS_INO) {
      const { last } = this.#revisions;
      if (last === null) throw new FuseError(Errno.ENOENT);
      return linkTo(last, ino, "", ino === LAST_INO ? "" : PARTS_SUFFIX);
    }
    const { revisionIno, slot } = splitIno(ino);
    const node = this.#nodeAt(revisionIno);
    if (slot === null) return fileOf(node);
    if (slot === Slot.PARTS) return partitionsOf(node);
    if (slot === Slot.DATE_LINK || slot === Slot.DATE_PARTS_LINK) {
      return linkTo(node, ino, "../", slot === Slot.DATE_LINK ? "" : PARTS_SUFFIX);
    }
    const partition = node.partitions.at(slot);
    if (partition === null) throw new FuseError(Errno.ENOENT);
    return fileOf(node, partition);
  }

  /**
   * Finds a name in a directory, as it is now.
   *
   * @throws {FuseError} ENOTDIR, or as {@linkcode Tree.at} does.
   * @throws Whatever reading a partition table throws.
   */
  find(parent: number, name: string): Place | null | Promise<Place | null> {
    const directory = this.at(parent);
    if (directory.kind === "root") return this.#findAtRoot(name);
    if (directory.kind === "dates") return this.#findDate(name);
    if (directory.kind !== "partitions") throw new FuseError(Errno.ENOTDIR);
    const { node } = directory;
    return whenDone(node.partitions.read(), ({ files }) => {
      const partition = files.get(name);
      return partition ? fileOf(node, partition) : null;
    });
  }

  /**
   * Lists a directory, without "." and "..".
   *
   * @throws As {@linkcode Tree.find} does.
   */
  list(place: Place): Listed[] | Promise<Listed[]> {
    switch (place.kind) {
      case "root":
        this.#revisions.refreshAll();
        return this.#listRoot();
      case "dates":
        this.#revisions.refreshAll();
        return this.#listDates();
      case "partitions":
        return whenDone(
          place.node.partitions.read(),
          ({ files }) =>
            Array.from(files, ([name, { view }]) => ({
              name,
              ino: view.ino,
              type: FileType.S_IFREG,
            })),
        );
      default:
        throw new FuseError(Errno.ENOTDIR);
    }
  }

  /** Whether an inode number is that of `last` or `last.parts`. */
  isLastLink(ino: number): boolean {
    return ino === LAST_INO || ino === LAST_PARTS_INO;
  }

  /** Whether the name of a file still leads to it. */
  isCurrent({ node, partition }: FilePlace): boolean {
    return this.#revisions.find(node.entry.name) === node &&
      (partition === null || node.partitions.isListed(partition));
  }

  #findAtRoot(name: string): Place | null {
    const node = this.#revisions.find(name);
    if (node) return fileOf(node);
    if (name === BY_DATE_NAME) return { kind: "dates", ino: BY_DATE_INO };
    const { base, suffix } = splitName(name);
    const owner = suffix === "" ? null : this.#revisions.find(base);
    if (owner) return partitionsOf(owner);
    if (base !== LAST_NAME) return null;
    const last = this.#revisions.findLast();
    return last && linkTo(last, suffix === "" ? LAST_INO : LAST_PARTS_INO, "", suffix);
  }

  #findDate(name: string): Place | null {
    const { base, suffix } = splitName(name);
    // Only if the name is new: this takes a look at all revisions.
    if (!this.#dateNames().has(base)) this.#revisions.findLast();
    const node = this.#findNamed(base);
    if (node === null) return null;
    const slot = suffix === "" ? Slot.DATE_LINK : Slot.DATE_PARTS_LINK;
    return linkTo(node, derivedIno(node.ino, slot), "../", suffix);
  }

  /** Finds the revision of a name in `by-date`. */
  #findNamed(name: string): RevisionNode | null {
    for (let revision = this.#dateNames().get(name); revision !== undefined;) {
      const node = this.#revisions.find(revision);
      // To find it may have brought all revisions up to date.
      const now = this.#dateNames().get(name);
      if (now === revision) return node;
      revision = now;
    }
    return null;
  }

  #listRoot(): Listed[] {
    const { nodes, last } = this.#revisions;
    const link = (name: string, ino: number) => ({ name, ino, type: FileType.S_IFLNK });
    const own = [
      ...last ? [link(LAST_NAME, LAST_INO), link(LAST_NAME + PARTS_SUFFIX, LAST_PARTS_INO)] : [],
      ...this.#dateNames().size === 0
        ? []
        : [{ name: BY_DATE_NAME, ino: BY_DATE_INO, type: FileType.S_IFDIR }],
    ];
    return [
      ...own.filter(({ name }) => !this.#revisions.has(name)),
      ...nodes.map(({ entry, ino }) => ({ name: entry.name, ino, type: FileType.S_IFREG })),
    ];
  }

  #listDates(): Listed[] {
    const inos = new Map(this.#revisions.nodes.map(({ entry, ino }) => [entry.name, ino]));
    return Array.from(this.#dateNames(), ([name, revision]) => ({
      name,
      ino: derivedIno(inos.get(revision)!, Slot.DATE_LINK),
      type: FileType.S_IFLNK,
    }));
  }

  #dateNames(): ReadonlyMap<string, string> {
    const { generation } = this.#revisions;
    if (generation !== this.#datesGeneration) {
      this.#dates = dateNames(this.#revisions.nodes.map(({ entry }) => entry));
      this.#datesGeneration = generation;
    }
    return this.#dates;
  }

  #nodeAt(ino: number): RevisionNode {
    const node = this.#revisions.at(ino);
    const isCurrent = node && (node.image.isOpen || this.#revisions.isPresent(node));
    if (node && isCurrent) return node;
    throw new FuseError(this.#revisions.wasGiven(ino) ? Errno.ESTALE : Errno.ENOENT);
  }
}

function fileOf(node: RevisionNode, partition: PartitionFile | null = null): FilePlace {
  const { view } = partition ?? node;
  return { kind: "file", ino: view.ino, node, view, partition };
}

function partitionsOf(node: RevisionNode): Place {
  return { kind: "partitions", ino: derivedIno(node.ino, Slot.PARTS), node };
}

function linkTo(node: RevisionNode, ino: number, folder: string, suffix: string): Place {
  return { kind: "link", ino, node, target: folder + node.entry.name + suffix };
}

/** Takes {@linkcode PARTS_SUFFIX} off a name. */
function splitName(name: string): { base: string; suffix: string } {
  if (!name.endsWith(PARTS_SUFFIX)) return { base: name, suffix: "" };
  return { base: name.slice(0, -PARTS_SUFFIX.length), suffix: PARTS_SUFFIX };
}

function whenDone<T, U>(value: T | Promise<T>, then: (value: T) => U): U | Promise<U> {
  return value instanceof Promise ? value.then(then) : then(value);
}
