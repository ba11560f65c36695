/**
 * Says what a device holds that is about to be overwritten, so that a user who named the wrong
 * device notices.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { readAt } from "../linux/files.ts";
import { readPartitionTable } from "../image/partition_table.ts";
import { findSignature, SIGNATURE_BYTES } from "../image/signatures.ts";
import { findRaidAtEnd, hasPoolLabel } from "../image/volume_content.ts";

/** Bytes at the start of a device that hold most signatures; a restore behind them keeps those. */
export const CONTENT_BYTES = SIGNATURE_BYTES;

/**
 * Says what a device holds.
 *
 * @param fd Open for reading.
 * @returns For example "XFS file system" or "partition table (GPT, 3 partitions), RAID member";
 *   `null` if nothing is recognised.
 * @throws {OsError} If it cannot be read.
 */
export function describeContent(fd: number, deviceBytes: number): string | null {
  const read = (offset: number, length: number) => {
    const bytes = new Uint8Array(length);
    readAt(fd, bytes, offset);
    return bytes;
  };
  const device = { bytes: deviceBytes, read };
  const signature = findSignature(read(0, Math.min(SIGNATURE_BYTES, deviceBytes)));
  const found = [
    describeTable(device),
    signature,
    hasPoolLabel(device) ? "ZFS pool member" : null,
    findRaidAtEnd(device) === null ? null : "RAID member",
  ].filter((text) => text !== null);
  return found.length === 0 ? null : [...new Set(found)].join(", ");
}

function describeTable(source: Parameters<typeof readPartitionTable>[0]): string | null {
  try {
    const { kind, partitions } = readPartitionTable(source);
    const count = partitions.length === 1 ? "1 partition" : `${partitions.length} partitions`;
    return partitions.length === 0 ? null : `partition table (${kind.toUpperCase()}, ${count})`;
  } catch (error) {
    if (error instanceof UsageError) return null; // no partition table, or a damaged one
    throw error;
  }
}
