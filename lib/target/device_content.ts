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
    return bytes.subarray(0, readAt(fd, bytes, offset));
  };
  const signature = findSignature(read(0, Math.min(SIGNATURE_BYTES, deviceBytes)));
  const found = [
    describeTable({ bytes: deviceBytes, read }),
    signature,
    hasUberblock(read(ZFS_UBERBLOCKS.offset, ZFS_UBERBLOCKS.bytes)) ? "ZFS pool member" : null,
    hasRaidAtEnd(read, deviceBytes) ? "RAID member" : null,
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

/**
 * The uberblocks of the first label of a ZFS device: where they are, and the number that each
 * begins with, in either byte order.
 */
const ZFS_UBERBLOCKS = { offset: 131_072, bytes: 131_072, stepBytes: 1024, magic: 0x00bab10cn };

function hasUberblock(bytes: Uint8Array<ArrayBuffer>): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let offset = 0; offset + 8 <= view.byteLength; offset += ZFS_UBERBLOCKS.stepBytes) {
    if (view.getBigUint64(offset, true) === ZFS_UBERBLOCKS.magic) return true;
    if (view.getBigUint64(offset, false) === ZFS_UBERBLOCKS.magic) return true;
  }
  return false;
}

/**
 * The magic number of Linux's RAID. Versions 0.90 and 1.0 have it near the end of the device.
 * Source: linux/raid/md_p.h, super-1.
 */
const RAID_MAGIC = 0xa92b4efc;

function hasRaidAtEnd(
  read: (offset: number, length: number) => Uint8Array<ArrayBuffer>,
  deviceBytes: number,
): boolean {
  const reserved = 65_536, sector = 512;
  const version0 = Math.floor(deviceBytes / reserved) * reserved - reserved;
  const version1 = Math.floor((Math.floor(deviceBytes / sector) - 16) / 8) * 8 * sector;
  return [version0, version1].some((offset) => {
    if (offset < SIGNATURE_BYTES) return false;
    const bytes = read(offset, 4);
    const magic = bytes.length < 4 ? 0 : new DataView(bytes.buffer).getUint32(0, true);
    return magic === RAID_MAGIC;
  });
}
