/**
 * Says what a device or an image in a cluster holds that is about to be overwritten, so that a user
 * who named the wrong one notices.
 *
 * @module
 */

import { OsError, UsageError } from "../errors.ts";
import { type ImageSource, readPartitionTable } from "../image/partition_table.ts";
import { findSignature, SIGNATURE_BYTES } from "../image/signatures.ts";
import { findRaidAtEnd, hasPoolLabel } from "../image/volume_content.ts";
import type { PreflightOptions } from "./target.ts";

/**
 * Says what a restore will overwrite that a user should hear of: nothing if it is an update, whose
 * target should hold an image, or leaves alone the start of the device, which has most signatures.
 *
 * @param describe As {@linkcode describeContent} does it; called only if it matters.
 * @returns `null` if nothing is recognised, or it cannot be read, which it need not be.
 */
export function contentToOverwrite(
  { oldContent, extent }: PreflightOptions,
  describe: () => string | null,
): string | null {
  if (oldContent === "updated" || extent.start >= SIGNATURE_BYTES) return null;
  try {
    return describe();
  } catch (error) {
    if (error instanceof OsError) return null;
    throw error;
  }
}

/**
 * Says what a device holds.
 *
 * @returns For example "XFS file system" or "partition table (GPT, 3 partitions), RAID member";
 *   `null` if nothing is recognised.
 * @throws {OsError} If it cannot be read.
 */
export function describeContent(device: ImageSource): string | null {
  const signature = findSignature(device.read(0, Math.min(SIGNATURE_BYTES, device.bytes)));
  const found = [
    describeTable(device),
    signature,
    hasPoolLabel(device) ? "ZFS pool member" : null,
    findRaidAtEnd(device) === null ? null : "RAID member",
  ].filter((text) => text !== null);
  return found.length === 0 ? null : [...new Set(found)].join(", ");
}

function describeTable(source: ImageSource): string | null {
  try {
    const { kind, partitions } = readPartitionTable(source);
    const count = partitions.length === 1 ? "1 partition" : `${partitions.length} partitions`;
    return partitions.length === 0 ? null : `partition table (${kind.toUpperCase()}, ${count})`;
  } catch (error) {
    if (error instanceof UsageError) return null; // no partition table, or a damaged one
    throw error;
  }
}
