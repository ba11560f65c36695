/**
 * What programs can ask about a mount's files without reading them: stat(2). Extended attributes
 * are in `extended_attributes.ts`. Pure.
 *
 * @module
 */

import { type Attributes, FileType, type TimedAttributes } from "../deno_fuse/mod.ts";
import type { CatalogEntry } from "../store/catalog.ts";
import type { FilePlace, Place } from "./tree.ts";

/** Unit of `st_blocks`, see stat(2). */
const SECTOR_BYTES = 512;

/** The owner of all files. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Returns the attributes of a file, and how long they hold.
 *
 * @param directoryMs When the backup directory was modified, in ms since 1970.
 * @throws {RevisionError} If it shows an image without a size.
 */
export function attributesOf(
  place: Place,
  { owner, directoryMs }: { owner: Owner; directoryMs: number },
): TimedAttributes {
  const { ino } = place;
  switch (place.kind) {
    case "root":
      return { attributes: { ...owner, ino, mode: DIRECTORY, nlink: 3, mtimeMs: directoryMs } };
    case "dates":
      return { attributes: { ...owner, ino, mode: DIRECTORY, nlink: 2, mtimeMs: directoryMs } };
    case "partitions": {
      const mtimeMs = mtimeMsOf(place.node.entry);
      return { attributes: { ...owner, ino, mode: DIRECTORY, nlink: 2, mtimeMs } };
    }
    case "link": {
      const size = new TextEncoder().encode(place.target).length;
      const mtimeMs = mtimeMsOf(place.node.entry);
      return { attributes: { ...owner, ino, mode: FileType.S_IFLNK | 0o777, size, mtimeMs } };
    }
    case "file":
      return fileAttributes(owner, place);
  }
}

const DIRECTORY = FileType.S_IFDIR | 0o755;

/**
 * A file's space is known only when its image's map has been read: a listing must not read a
 * thousand maps. Until then it is what the size needs, and the kernel has to ask each time, so that
 * programs that open a file and then look at its space, as cp and tar do, see that it has holes.
 */
function fileAttributes(owner: Owner, place: FilePlace): TimedAttributes {
  const { ino, node: { image, entry }, partition } = place;
  const size = partition ? partition.view.bytes! : image.size;
  const dataBytes = partition
    ? image.dataBytesIn(partition.view.start, size) ?? partition.dataBytes
    : image.dataBytes;
  const attributes: Attributes = {
    ...owner,
    ino,
    mode: FileType.S_IFREG | 0o644,
    size,
    // Never none: tar takes a file without blocks for zeros and does not look for data.
    blocks: size === 0 ? 0 : Math.max(1, Math.ceil((dataBytes ?? size) / SECTOR_BYTES)),
    mtimeMs: mtimeMsOf(entry),
  };
  return dataBytes === null ? { attributes, attributesTimeoutMs: 0 } : { attributes };
}

/** The backup's start; 1970 if it is unknown, because a file must have some time. */
function mtimeMsOf({ time }: CatalogEntry): number {
  return time?.getTime() ?? 0;
}
