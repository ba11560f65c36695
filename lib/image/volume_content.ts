/**
 * Finds out what a volume holds, a partition or a whole image: its kind, label and UUID.
 *
 * `signatures.ts` has the marks near the start. Members of RAID arrays of the versions 0.90 and 1.0
 * are marked near the end, and those of ZFS pools further on; both are found here. `superblocks.ts`
 * reads labels and UUIDs. Pure.
 *
 * The volume was written by a virtual machine and is untrusted: whatever it contains, only a few
 * pieces of at most 128 KiB are read, and only reading them throws. Labels may be unprintable.
 *
 * @module
 */

import { viewOf } from "./fields.ts";
import type { ImageSource } from "./partition.ts";
import { locateSignature, SIGNATURE_BYTES, type SignatureKind } from "./signatures.ts";
import { type Identity, readIdentity, readPoolIdentity, readRaidIdentity } from "./superblocks.ts";

/** What can be told apart, by the names of libblkid and `mount -t`. */
export type VolumeKind =
  | Exclude<SignatureKind, "ext">
  | "ext2"
  | "ext3"
  | "ext4"
  | "zfs_member";

/** What a volume holds. */
export interface VolumeContent extends Required<Identity> {
  readonly kind: VolumeKind;
}

/** Names that people know better than those of libblkid. */
const TITLES: Readonly<Partial<Record<VolumeKind, string>>> = {
  BitLocker: "BitLocker",
  ceph_bluestore: "Ceph BlueStore",
  crypto_LUKS: "LUKS",
  linux_raid_member: "RAID member",
  LVM2_member: "LVM2 member",
  zfs_member: "ZFS member",
};

/** Names a content for people, such as "ext4", "LUKS 2" or "RAID member 1.2". */
export function describeVolume({ kind, version }: VolumeContent): string {
  const title = TITLES[kind] ?? kind;
  return version === "" ? title : `${title} ${version}`;
}

/**
 * Finds out what a volume holds.
 *
 * @param volume The volume alone: offset 0 is its first byte, `bytes` its length.
 * @returns `null` if nothing is recognised.
 * @throws Whatever `volume.read` throws.
 */
export function readVolumeContent(volume: ImageSource): VolumeContent | null {
  const raid = findRaidAtEnd(volume);
  if (raid !== null) return complete("linux_raid_member", readRaidIdentity(volume, raid));
  const start = volume.read(0, Math.min(SIGNATURE_BYTES, volume.bytes));
  const found = locateSignature(start);
  if (found !== null) {
    const { kind = found.kind, ...identity } = readIdentity(volume, found);
    // An ext file system always says which it is.
    return complete(kind === "ext" ? "ext2" : kind, identity);
  }
  return hasPoolLabel(volume) ? complete("zfs_member", readPoolIdentity(volume)) : null;
}

function complete(kind: VolumeKind, identity: Identity): VolumeContent {
  const { version = "", label = "", uuid = "" } = identity;
  return { kind, version, label, uuid };
}

/**
 * The uberblocks of the first label of a ZFS device: where they are, and the number that each
 * begins with, in either byte order.
 */
const ZFS_UBERBLOCKS = { offset: 131_072, bytes: 131_072, stepBytes: 1024, magic: 0x00bab10cn };

/** Whether a volume belongs to a ZFS pool. */
export function hasPoolLabel(volume: ImageSource): boolean {
  const { offset, bytes, stepBytes, magic } = ZFS_UBERBLOCKS;
  if (volume.bytes < offset + bytes) return false;
  const view = viewOf(volume.read(offset, bytes));
  for (let at = 0; at + 8 <= view.byteLength; at += stepBytes) {
    if (view.getBigUint64(at, true) === magic) return true;
    if (view.getBigUint64(at, false) === magic) return true;
  }
  return false;
}

/**
 * The magic number of Linux's RAID. Versions 0.90 and 1.0 have it near the end of the device.
 * Source: linux/raid/md_p.h, super-1.
 */
const RAID_MAGIC = 0xa92b4efc;

/** Bytes in which a RAID superblock is looked for. */
const RAID_BYTES = 4096;

/**
 * Finds the superblock of a RAID member near the end.
 *
 * @returns Its offset; `null` if there is none.
 */
export function findRaidAtEnd(volume: ImageSource): number | null {
  const reserved = 65_536, sector = 512;
  const version0 = Math.floor(volume.bytes / reserved) * reserved - reserved;
  const version1 = Math.floor((Math.floor(volume.bytes / sector) - 16) / 8) * 8 * sector;
  const found = [version1, version0].find((offset) => {
    if (offset < SIGNATURE_BYTES || offset + RAID_BYTES > volume.bytes) return false;
    return viewOf(volume.read(offset, 4)).getUint32(0, true) === RAID_MAGIC;
  });
  return found ?? null;
}
