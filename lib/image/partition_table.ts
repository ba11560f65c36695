/**
 * Finds the partitions of an image, so that one of them can be restored alone. Read this file
 * first: `mbr.ts` and `gpt.ts` read the two kinds of tables, `sector_size.ts` finds the unit of an
 * MBR, and `partition.ts` has the result's types. Pure.
 *
 * The table was written by a virtual machine and is untrusted: whatever it contains, reading it
 * ends, asks for few bytes and throws only {@linkcode UsageError}. A nonsensical entry does not
 * affect the others.
 *
 * @module
 */

import { isChunkFault, UsageError } from "../errors.ts";
import { readGpt } from "./gpt.ts";
import { isProtectiveMbr, readMbr, readMbrPartitions } from "./mbr.ts";
import {
  CANNOT_FIND,
  type ImageSource,
  type Partition,
  type PartitionTable,
  type SectorBytes,
} from "./partition.ts";

export type { ImageSource, Partition, PartitionTable, SectorBytes } from "./partition.ts";
export { PARTITION_NUMBERS, SECTOR_SIZES } from "./partition.ts";

/** How many numbers, or runs of numbers, a message lists at most. */
const MAX_LISTED = 16;

/**
 * Reads the partition table of an image: a GPT if the MBR says that there is one, else the MBR's
 * own, as Linux does.
 *
 * @param sectorBytes The sector size; default: it is found by the image's content.
 * @throws {UsageError} If there is no table, or no intact copy of a GPT.
 * @throws {ChunkMissingError | ChunkCorruptError} If that may be because of a bad chunk.
 */
export function readPartitionTable(image: ImageSource, sectorBytes?: SectorBytes): PartitionTable {
  const entries = readMbr(image);
  if (entries === null) {
    throw new UsageError(
      `${CANNOT_FIND}the image has no partition table; without --partition it is restored as a whole`,
    );
  }
  return isProtectiveMbr(entries)
    ? readGpt(image, sectorBytes)
    : readMbrPartitions(image, entries, sectorBytes);
}

/**
 * Looks whether an image has a partition table. If the chunk with the MBR is bad, the copy of a GPT
 * at the image's end will do: whoever looks is told that it may be old.
 *
 * @param sectorBytes As for {@linkcode readPartitionTable}.
 * @returns The table; `fault`, a phrase, says why one that should be there cannot be used. Both are
 *   `null` if there is none.
 * @throws {ChunkMissingError | ChunkCorruptError} If a chunk is bad, and nothing stands in for it.
 */
export function lookForTable(
  image: ImageSource,
  sectorBytes?: SectorBytes,
): { table: PartitionTable | null; fault: string | null } {
  try {
    if (readMbr(image) === null) return { table: null, fault: null };
  } catch (error) {
    if (!isChunkFault(error)) throw error;
    const table = readLastGpt(image, sectorBytes);
    if (table === null) throw error;
    return { table, fault: null };
  }
  try {
    return { table: readPartitionTable(image, sectorBytes), fault: null };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { table: null, fault: error.message.replace(CANNOT_FIND, "") };
  }
}

/**
 * Reads a GPT of an image whose start cannot be read, so that nothing says that this is the disk's
 * table; `null` if there is none.
 */
function readLastGpt(image: ImageSource, sectorBytes?: SectorBytes): PartitionTable | null {
  try {
    const table = readGpt(image, sectorBytes);
    const doubt = "it may be left from an earlier use of the disk";
    return { ...table, warnings: table.warnings.map((warning) => `${warning}; ${doubt}`) };
  } catch (error) {
    if (isChunkFault(error) || error instanceof UsageError) return null;
    throw error;
  }
}

/**
 * Finds a partition that can be restored.
 *
 * @returns A partition without a fault: it has at least one byte and lies within the image.
 * @throws {UsageError} If there is no such number, or the partition has a fault.
 */
export function findPartition(table: PartitionTable, number: number): Partition {
  const partition = table.partitions.find((candidate) => candidate.number === number);
  if (partition === undefined) {
    const damage = table.warnings.length === 0 ? "" : ` (${table.warnings.join("; ")})`;
    throw new UsageError(`Cannot find partition ${number}: ${listNumbers(table)}${damage}`);
  }
  if (partition.fault !== null) {
    throw new UsageError(`Cannot restore partition ${number}: ${partition.fault}`);
  }
  return partition;
}

/** Says what is unclear about a table that has a `doubt`, for a warning. */
export function describeDoubt({ sectorBytes, doubt }: PartitionTable): string {
  return `whether it counts in sectors of 512 or 4096 bytes is unclear (${doubt}); ` +
    `partitions are shown for ${sectorBytes}`;
}

/** Lists the numbers of a table: "there are 1, 2 and 5 to 7". */
function listNumbers({ partitions }: PartitionTable): string {
  const runs: { first: number; last: number }[] = [];
  for (const { number } of partitions) {
    const run = runs.at(-1);
    if (run && run.last + 1 === number) run.last = number;
    else runs.push({ first: number, last: number });
  }
  const listed = runs.flatMap(({ first, last }) => {
    if (last - first > 1) return [`${first} to ${last}`];
    return last > first ? [`${first}`, `${last}`] : [`${first}`];
  });
  if (listed.length === 0) return "the partition table is empty";
  if (listed.length > MAX_LISTED) return `there are ${listed.slice(0, MAX_LISTED).join(", ")}, …`;
  if (partitions.length === 1) return `there is only ${listed[0]}`;
  const last = listed.pop();
  return listed.length === 0 ? `there are ${last}` : `there are ${listed.join(", ")} and ${last}`;
}
