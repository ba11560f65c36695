/**
 * Describes what is in an image: its partition table, or the one file system that fills it, and
 * what each partition holds. Pure.
 *
 * `partition_table.ts` reads the table, `volume_content.ts` looks at each volume. To use this where
 * bytes must be waited for, see `deferred_reads.ts`.
 *
 * @module
 */

import { isChunkFault } from "../errors.ts";
import type { ImageSource, Partition, PartitionTable, SectorBytes } from "./partition.ts";
import { lookForTable } from "./partition_table.ts";
import { readVolumeContent, type VolumeContent } from "./volume_content.ts";

/** A partition, or the whole image. */
export interface Volume {
  /** Its entry in the table; `null` for the whole image. */
  readonly partition: Partition | null;
  /** First byte in the image. */
  readonly offset: number;
  /** Length in bytes. */
  readonly bytes: number;
  /**
   * What it holds; `null` if nothing is recognised, and for partitions that hold others or reach
   * beyond the image's end.
   */
  readonly content: VolumeContent | null;
  /** Why its content could not be read: a damaged chunk; `null` if it could. */
  readonly contentFault: string | null;
}

/** What is in an image. */
export interface ImageLayout {
  /** Its partition table; `null` if it has none that can be used. */
  readonly table: PartitionTable | null;
  /** Why a table that should be there cannot be used: a phrase; `null` if there is no such. */
  readonly tableFault: string | null;
  /**
   * The partitions, ascending by number; without a table the image itself. None if the table is
   * empty or damaged, and nothing else is recognised.
   */
  readonly volumes: readonly Volume[];
}

/**
 * Describes what is in an image.
 *
 * A table counts if a partition of it lies within the image. Otherwise a file system that fills the
 * image comes first: boot sectors of such look like an empty table.
 *
 * @param image Of each partition the first 68 KiB are read, and a few small pieces.
 * @param sectorBytes Unit that the table counts in; default: found by the image's content.
 * @throws {ChunkMissingError | ChunkCorruptError} If the chunk with the table is bad.
 */
export function readImageLayout(image: ImageSource, sectorBytes?: SectorBytes): ImageLayout {
  const { table, fault: tableFault } = lookForTable(image, sectorBytes);
  const partitions = table?.partitions ?? [];
  if (!partitions.some(({ fault }) => fault === null)) {
    const whole = volumeOf(image, null);
    const isPlain = table === null && tableFault === null;
    if (isPlain || whole.content !== null) return { table: null, tableFault, volumes: [whole] };
  }
  return { table, tableFault, volumes: partitions.map((each) => volumeOf(image, each)) };
}

function volumeOf(image: ImageSource, partition: Partition | null): Volume {
  const { offset, length: bytes } = partition ?? { offset: 0, length: image.bytes };
  const volume = { partition, offset, bytes, content: null, contentFault: null };
  if (partition !== null && (partition.fault !== null || partition.role === "extended")) {
    return volume;
  }
  try {
    return { ...volume, content: readVolumeContent(partOf(image, offset, bytes)) };
  } catch (error) {
    if (!isChunkFault(error)) throw error;
    return { ...volume, contentFault: error.message };
  }
}

/** A part of an image as an image of its own. */
export function partOf(image: ImageSource, offset: number, bytes: number): ImageSource {
  return { bytes, read: (at, length) => image.read(offset + at, length) };
}
