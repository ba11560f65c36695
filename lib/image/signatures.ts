/**
 * Recognises what a disk, partition or volume holds by the signature at its start: a file system,
 * swap space, an LVM volume and so on. Pure.
 *
 * Only what marks a *start* counts: copies of a superblock inside a file system are told apart from
 * the first one. Offsets and values are those of libblkid; a test compares with it. What is marked
 * elsewhere, and labels and UUIDs, are found by `volume_content.ts`.
 *
 * @module
 */

import { viewOf } from "./fields.ts";

/** How many bytes {@linkcode findSignature} looks at; fewer will do if there are no more. */
export const SIGNATURE_BYTES = 0x11000;

/** Length of a boot record: of a disk's first sector, or of a partition's. */
export const BOOT_RECORD_BYTES = 512;

/** Whether bytes start with a boot record, which ends with 0x55 0xAA. */
export function hasBootSignature(bytes: Uint8Array): boolean {
  return bytes[BOOT_RECORD_BYTES - 2] === 0x55 && bytes[BOOT_RECORD_BYTES - 1] === 0xaa;
}

/** What can be recognised, as messages call it; the keys are libblkid's names where it has one. */
const NAMES = {
  bcache: "bcache device",
  bcachefs: "bcachefs file system",
  BitLocker: "BitLocker volume",
  btrfs: "btrfs file system",
  ceph_bluestore: "Ceph BlueStore device",
  crypto_LUKS: "LUKS volume",
  erofs: "EROFS file system",
  exfat: "exFAT file system",
  ext: "ext file system",
  f2fs: "F2FS file system",
  iso9660: "ISO 9660 file system",
  jfs: "JFS file system",
  linux_raid_member: "RAID member",
  LVM2_member: "LVM physical volume",
  ntfs: "NTFS file system",
  reiserfs: "ReiserFS file system",
  squashfs: "SquashFS file system",
  swap: "swap space",
  vfat: "FAT file system",
  xfs: "XFS file system",
} as const;

/** What a signature marks; "ext" stands for ext2, ext3 and ext4. */
export type SignatureKind = keyof typeof NAMES;

/** A text at an offset, and what else must be true. */
interface Signature {
  readonly kind: SignatureKind;
  readonly offset: number;
  /** Each character is a byte. */
  readonly text: string;
  readonly isStart?: (view: DataView) => boolean;
}

/** Containers come first: what they contain may have its own signature further on. */
const SIGNATURES: readonly Signature[] = [
  { kind: "linux_raid_member", offset: 0, text: "\xfc\x4e\x2b\xa9" },
  { kind: "linux_raid_member", offset: 4096, text: "\xfc\x4e\x2b\xa9" },
  ...[0, 512, 1024, 1536].map((offset) => ({
    kind: "LVM2_member" as const,
    offset,
    text: "LABELONE",
  })),
  { kind: "crypto_LUKS", offset: 0, text: "LUKS\xba\xbe" },
  {
    kind: "bcache",
    offset: 4096 + 24,
    text: "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
  },
  { kind: "ceph_bluestore", offset: 0, text: "bluestore block device\n" },
  { kind: "ext", offset: 0x438, text: "\x53\xef", isStart: isExtStart },
  // mkfs.xfs marks the copies of the superblock, one per allocation group, as in progress.
  { kind: "xfs", offset: 0, text: "XFSB", isStart: isXfsStart },
  // A superblock contains its own offset.
  {
    kind: "btrfs",
    offset: 0x10040,
    text: "_BHRfS_M",
    isStart: (view) => view.getBigUint64(0x10030, true) === 0x10000n,
  },
  {
    kind: "bcachefs",
    offset: 4096 + 24,
    text: "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
  },
  { kind: "ntfs", offset: 3, text: "NTFS    ", isStart: isBootSector },
  { kind: "exfat", offset: 3, text: "EXFAT   ", isStart: isBootSector },
  { kind: "vfat", offset: 54, text: "FAT1", isStart: isBootSector },
  { kind: "vfat", offset: 82, text: "FAT32", isStart: isBootSector },
  { kind: "BitLocker", offset: 3, text: "-FVE-FS-", isStart: isBootSector },
  { kind: "f2fs", offset: 1024, text: "\x10\x20\xf5\xf2" },
  { kind: "erofs", offset: 1024, text: "\xe2\xe1\xf5\xe0" },
  { kind: "reiserfs", offset: 0x10034, text: "ReIsEr" },
  { kind: "jfs", offset: 0x8000, text: "JFS1" },
  { kind: "iso9660", offset: 0x8001, text: "CD001" },
  { kind: "squashfs", offset: 0, text: "hsqs" },
  // At the end of the first page, whose size depends on the machine.
  ...[4096, 16_384, 65_536].map((pageBytes) => ({
    kind: "swap" as const,
    offset: pageBytes - 10,
    text: "SWAPSPACE2",
  })),
];

/** Where a signature was found. */
export interface FoundSignature {
  readonly kind: SignatureKind;
  /** Offset of the signature's text. */
  readonly offset: number;
}

/**
 * Recognises what starts with some bytes, for a message.
 *
 * @param bytes The first {@linkcode SIGNATURE_BYTES}, or all if there are fewer.
 * @returns Such as "XFS file system" or "swap space"; `null` if nothing is recognised.
 */
export function findSignature(bytes: Uint8Array): string | null {
  const found = locateSignature(bytes);
  return found && NAMES[found.kind];
}

/**
 * Finds the signature of what starts with some bytes.
 *
 * @param bytes As for {@linkcode findSignature}.
 */
export function locateSignature(bytes: Uint8Array): FoundSignature | null {
  const view = viewOf(bytes);
  const found = SIGNATURES.find(({ offset, text, isStart }) => {
    if (offset + text.length > bytes.length) return false;
    for (let i = 0; i < text.length; i++) {
      if (bytes[offset + i] !== text.charCodeAt(i)) return false;
    }
    return isStart?.(view) ?? true;
  });
  return found ?? null;
}

/**
 * Whether an ext superblock is the first one. The two bytes of its signature prove little, and with
 * blocks of 1 KiB the copies lie 1 KiB after multiples of 8 MiB, just as the first one lies 1 KiB
 * after the start.
 */
function isExtStart(view: DataView): boolean {
  const superblock = 1024;
  if (view.byteLength < superblock + 0x60) return false;
  const inodes = view.getUint32(superblock, true);
  const blocks = view.getUint32(superblock + 0x04, true);
  const logBlockKib = view.getUint32(superblock + 0x18, true);
  const revision = view.getUint32(superblock + 0x4c, true);
  const groupNumber = view.getUint16(superblock + 0x5a, true);
  return inodes > 0 && blocks > 0 && logBlockKib <= 6 && revision <= 1 && groupNumber === 0;
}

/** Whether an XFS superblock is the first one: only copies are in progress (`sb_inprogress`). */
function isXfsStart(view: DataView): boolean {
  return view.byteLength > 126 && view.getUint8(126) === 0;
}

function isBootSector(view: DataView): boolean {
  return hasBootSignature(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
}
