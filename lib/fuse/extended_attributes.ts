/**
 * What `getfattr -d` shows of a mount's files: the metadata of revisions, where partitions are. All
 * values are UTF-8 text. Pure.
 *
 * @module
 */

import { localZone } from "../store/dates.ts";
import type { RevisionInfo } from "../store/revision_info.ts";
import type { FilePlace, Place } from "./tree.ts";

/** How all names begin. */
export const EXTENDED_PREFIX = "user.backy.";

/** Values by name; a function where finding the value takes reading, which may fail. */
export type ExtendedAttributes = Readonly<
  Record<string, string | (() => string | Promise<string>)>
>;

/** How the chunks of a revision that is shown are counted. */
export type CountChunks = (place: FilePlace) => Promise<number>;

/**
 * Returns the extended attributes of a file, and reads nothing: programs such as ls ask for the
 * names only. Symbolic links have none, which the kernel sees to.
 */
export function extendedAttributes(place: Place, countChunks: CountChunks): ExtendedAttributes {
  switch (place.kind) {
    case "dates":
      /** Zone of the names in the directory, such as `Europe/Berlin`. */
      return { "user.backy.timezone": localZone() };
    case "partitions":
      return tableAttributes(place);
    case "file":
      return fileAttributes(place, countChunks);
    default:
      return {};
  }
}

function tableAttributes({ node }: Place & { kind: "partitions" }): ExtendedAttributes {
  const read = async () => (await node.partitions.read()).table;
  return {
    "user.backy.revision": node.entry.name,
    /** `gpt`, `mbr`, or `none`. */
    "user.backy.table": async () => (await read())?.kind ?? "none",
    /** Unit of its numbers, in bytes; `none` without one. */
    "user.backy.sector_size": async () => String((await read())?.sectorBytes ?? "none"),
  };
}

function fileAttributes(place: FilePlace, countChunks: CountChunks): ExtendedAttributes {
  const { node, partition } = place;
  const described = infoAttributes(node.entry.info);
  if (partition === null) {
    return {
      ...described,
      /** Bytes of the image. */
      "user.backy.size": () => String(node.image.size),
      /** Chunks of the backup that are not only zeros, each counted once. */
      "user.backy.distinct_chunks": async () => String(await countChunks(place)),
    };
  }
  const { offset, length, type, name } = partition.partition;
  return {
    ...described,
    "user.backy.revision": node.entry.name,
    /** First byte in the image, and length. */
    "user.backy.offset": String(offset),
    "user.backy.size": String(length),
    /** As sfdisk writes it; and the name that a GPT gives. */
    "user.backy.partition_type": type,
    ...name === "" ? {} : { "user.backy.partition_name": name },
  };
}

function infoAttributes(info: RevisionInfo): Readonly<Record<string, string>> {
  const { tags, trust, timestamp, isComplete, parent } = info;
  return {
    /** Separated by commas. */
    "user.backy.tags": tags.join(","),
    "user.backy.trust": trust,
    /** As `2026-01-11T17:45:25.666Z`; absent if the metadata has none. */
    ...timestamp ? { "user.backy.timestamp": timestamp.toISOString() } : {},
    /** Whether the backup ran to its end: `true` or `false`. */
    "user.backy.complete": String(isComplete),
    /** The revision that it was made from; absent for a full backup. */
    ...parent === null ? {} : { "user.backy.parent": parent },
  };
}
