/**
 * What programs can ask about a mount's files without reading them: stat(2) and extended
 * attributes. Pure.
 *
 * @module
 */

import { type Attributes, FileType } from "deno-fuse";
import type { CatalogEntry } from "../store/catalog.ts";
import type { RevisionInfo } from "../store/revision_info.ts";
import { LAST_INO, type RevisionNode, ROOT_INO } from "./revision_nodes.ts";

/** Unit of `st_blocks`, see stat(2). */
const SECTOR_BYTES = 512;

/** The owner of all files. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Returns the attributes of the root directory. */
export function rootAttributes(owner: Owner, mtimeMs: number): Attributes {
  return { ...owner, ino: ROOT_INO, mode: FileType.S_IFDIR | 0o755, nlink: 2, mtimeMs };
}

/** Returns the attributes of the symbolic link to the newest finished revision. */
export function lastAttributes(owner: Owner, { entry }: RevisionNode): Attributes {
  const size = new TextEncoder().encode(entry.name).length;
  return {
    ...owner,
    ino: LAST_INO,
    mode: FileType.S_IFLNK | 0o777,
    size,
    mtimeMs: mtimeMsOf(entry),
  };
}

/**
 * Returns the attributes of a revision's file. The space that it takes is known when its map has
 * been read; until then it is what the size needs, and must not be relied on for long.
 *
 * @throws {RevisionError} If it has no size.
 */
export function revisionAttributes(owner: Owner, { ino, image, entry }: RevisionNode): Attributes {
  const mode = FileType.S_IFREG | 0o644;
  const { size, dataBytes } = image;
  const blocks = Math.ceil((dataBytes ?? size) / SECTOR_BYTES);
  return { ...owner, ino, mode, size, blocks, mtimeMs: mtimeMsOf(entry) };
}

/** The backup's start; 1970 if it is unknown, because a file must have some time. */
function mtimeMsOf({ time }: CatalogEntry): number {
  return time?.getTime() ?? 0;
}

/** A revision's metadata as `getfattr -d` shows it. */
const EXTENDED: Readonly<Record<string, (info: RevisionInfo) => string | null>> = {
  /** Separated by commas. */
  "user.backy.tags": ({ tags }) => tags.join(","),
  "user.backy.trust": ({ trust }) => trust,
  /** As `2026-01-11T17:45:25.666Z`; absent if the metadata has none. */
  "user.backy.timestamp": ({ timestamp }) => timestamp?.toISOString() ?? null,
  /** Whether the backup ran to its end: `true` or `false`. */
  "user.backy.complete": ({ isComplete }) => String(isComplete),
};

/** Returns the value of an extended attribute in UTF-8; `null` if the revision has none. */
export function extendedAttribute(
  info: RevisionInfo,
  name: string,
): Uint8Array<ArrayBuffer> | null {
  const value = Object.hasOwn(EXTENDED, name) ? EXTENDED[name]!(info) : null;
  return value === null ? null : new TextEncoder().encode(value);
}

/** Returns the names of the extended attributes that a revision has. */
export function extendedNames(info: RevisionInfo): string[] {
  return Object.keys(EXTENDED).filter((name) => extendedAttribute(info, name) !== null);
}
