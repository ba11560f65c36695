/**
 * Finds a partition in an image. Reads only the few chunks that hold the partition table.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import {
  findPartition,
  type ImageSource,
  type PartitionTable,
  readPartitionTable,
  SECTOR_SIZES,
  type SectorBytes,
} from "../image/partition_table.ts";
import type { RevisionMap } from "../store/revision_map.ts";
import type { ImageExtent } from "../work/extent.ts";
import { StoredImage } from "./stored_image.ts";

/**
 * The extent of a partition, which goes to the target's start.
 *
 * @param options.sectorBytes Unit that the table counts in; default: found out from the table.
 * @param options.sources Backup directories to read chunks from.
 * @param options.onWarning Called with minor faults of the table, and if its meaning is uncertain.
 * @throws {UsageError} If the image has no partition table, or no such partition.
 * @throws {ChunkMissingError | ChunkCorruptError} If a chunk with a part of the table is bad.
 */
export function partitionOfImage(
  map: RevisionMap,
  number: number,
  options: {
    sectorBytes: SectorBytes | undefined;
    sources: readonly string[];
    onWarning: (text: string) => void;
  },
): ImageExtent {
  const image = new StoredImage(map, options.sources);
  const table = readPartitionTable(image, options.sectorBytes);
  for (const warning of table.warnings) options.onWarning(warning);
  const { sectorBytes, doubt } = table;
  const extent = extentIn(table, number);
  if (doubt !== null) {
    options.onWarning(
      `cannot tell whether the partition table counts in sectors of 512 or 4096 bytes: ${doubt}; ` +
        `taking ${describeExtent(extent)} of the image, for ${sectorBytes}; ` +
        describeOther(image, number, sectorBytes),
    );
  }
  return extent;
}

function extentIn(table: PartitionTable, number: number): ImageExtent {
  const { offset, length } = findPartition(table, number);
  return { start: offset, end: offset + length, targetStart: 0 };
}

function describeExtent({ start, end }: ImageExtent): string {
  return `bytes ${start} to ${end - 1}`;
}

/** Says what would be restored with the other sector size. */
function describeOther(image: ImageSource, number: number, taken: SectorBytes): string {
  const other = SECTOR_SIZES.find((sectorBytes) => sectorBytes !== taken)!;
  try {
    const extent = extentIn(readPartitionTable(image, other), number);
    return `--sector-size=${other} takes ${describeExtent(extent)}`;
  } catch (error) {
    if (error instanceof UsageError) return `with ${other}, there is no such partition`;
    throw error;
  }
}
