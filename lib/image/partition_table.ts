/**
 * Finds the partitions of an image, so that one of them can be restored alone. Read this first:
 * `mbr.ts` and `gpt.ts` read the two kinds of tables, `sector_size.ts` finds out in which unit an
 * MBR counts, `partition.ts` says what they find. Pure.
 *
 * A table is what a virtual machine wrote, and so is not to be trusted: whatever it says, reading
 * it ends, asks for few bytes and throws {@linkcode UsageError} only. An entry that makes no sense
 * spoils no other.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { readGpt } from "./gpt.ts";
import { isProtectiveMbr, readMbr, readMbrPartitions } from "./mbr.ts";
import type { ImageSource, Partition, PartitionTable, SectorBytes } from "./partition.ts";

export type { ImageSource, Partition, PartitionTable, SectorBytes } from "./partition.ts";
export { PARTITION_NUMBERS, SECTOR_SIZES } from "./partition.ts";

/** Most numbers, or runs of numbers, that a message lists. */
const MAX_LISTED = 16;

/**
 * Reads the partition table of an image: a GPT if the MBR says that there is one, else the MBR's
 * own, as Linux does.
 *
 * @param sectorBytes How long a sector is; without it, it is found out.
 * @throws {UsageError} If there is no table, or a GPT without a whole copy.
 */
export function readPartitionTable(image: ImageSource, sectorBytes?: SectorBytes): PartitionTable {
  const entries = readMbr(image);
  if (entries === null) {
    throw new UsageError(
      "Cannot find a partition: the image has no partition table; without --partition it is " +
        "restored as a whole",
    );
  }
  return isProtectiveMbr(entries)
    ? readGpt(image, sectorBytes)
    : readMbrPartitions(image, entries, sectorBytes);
}

/**
 * Finds a partition that can be restored.
 *
 * @returns A partition without a fault: at least one byte, all within the image.
 * @throws {UsageError} If the table has none of that number, or one that does not lie in the image.
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

/** Lists the numbers there are: "there are 1, 2 and 5 to 7". */
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
