/**
 * Recognises what a disk, partition or volume holds by the signature at its start: a file system,
 * swap space, an LVM volume and so on. Pure.
 *
 * Only what marks a *start* counts: copies of a superblock inside a file system are told apart from
 * the first one. Offsets and values are those of libblkid; a test compares with it.
 *
 * @module
 */

/** How many bytes {@linkcode findSignature} looks at; fewer will do if there are no more. */
export const SIGNATURE_BYTES = 0x11000;

/** Length of a boot record: of a disk's first sector, or of a partition's. */
export const BOOT_RECORD_BYTES = 512;

/** Whether bytes start with a boot record, which ends with 0x55 0xAA. */
export function hasBootSignature(bytes: Uint8Array): boolean {
  return bytes[BOOT_RECORD_BYTES - 2] === 0x55 && bytes[BOOT_RECORD_BYTES - 1] === 0xaa;
}

/** A text at an offset, and what else must be true. */
interface Signature {
  readonly name: string;
  readonly offset: number;
  /** Each character is a byte. */
  readonly text: string;
  readonly isStart?: (view: DataView) => boolean;
}

const SIGNATURES: readonly Signature[] = [
  { name: "ext file system", offset: 0x438, text: "\x53\xef", isStart: isExtStart },
  // mkfs.xfs marks the copies of the superblock, one per allocation group, as in progress.
  { name: "XFS file system", offset: 0, text: "XFSB", isStart: isXfsStart },
  // A superblock contains its own offset.
  {
    name: "btrfs file system",
    offset: 0x10040,
    text: "_BHRfS_M",
    isStart: (view) => view.getBigUint64(0x10030, true) === 0x10000n,
  },
  { name: "NTFS file system", offset: 3, text: "NTFS    ", isStart: isBootSector },
  { name: "exFAT file system", offset: 3, text: "EXFAT   ", isStart: isBootSector },
  { name: "FAT file system", offset: 54, text: "FAT1", isStart: isBootSector },
  { name: "FAT file system", offset: 82, text: "FAT32", isStart: isBootSector },
  { name: "BitLocker volume", offset: 3, text: "-FVE-FS-", isStart: isBootSector },
  { name: "F2FS file system", offset: 1024, text: "\x10\x20\xf5\xf2" },
  { name: "EROFS file system", offset: 1024, text: "\xe2\xe1\xf5\xe0" },
  { name: "ReiserFS file system", offset: 0x10034, text: "ReIsEr" },
  { name: "JFS file system", offset: 0x8000, text: "JFS1" },
  { name: "ISO 9660 file system", offset: 0x8001, text: "CD001" },
  { name: "SquashFS file system", offset: 0, text: "hsqs" },
  { name: "Ceph BlueStore device", offset: 0, text: "bluestore block device\n" },
  {
    name: "bcache device",
    offset: 4096 + 24,
    text: "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
  },
  { name: "LUKS volume", offset: 0, text: "LUKS\xba\xbe" },
  ...[0, 512, 1024, 1536].map((offset) => ({
    name: "LVM physical volume",
    offset,
    text: "LABELONE",
  })),
  { name: "RAID member", offset: 0, text: "\xfc\x4e\x2b\xa9" },
  { name: "RAID member", offset: 4096, text: "\xfc\x4e\x2b\xa9" },
  // At the end of the first page, whose size depends on the machine.
  ...[4096, 16_384, 65_536].map((pageBytes) => ({
    name: "swap space",
    offset: pageBytes - 10,
    text: "SWAPSPACE2",
  })),
];

/**
 * Recognises what starts with some bytes.
 *
 * @param bytes The first {@linkcode SIGNATURE_BYTES}, or all if there are fewer.
 * @returns Such as "XFS file system" or "swap space"; `null` if nothing is recognised.
 */
export function findSignature(bytes: Uint8Array): string | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = SIGNATURES.find(({ offset, text, isStart }) => {
    if (offset + text.length > bytes.length) return false;
    for (let i = 0; i < text.length; i++) {
      if (bytes[offset + i] !== text.charCodeAt(i)) return false;
    }
    return isStart?.(view) ?? true;
  });
  return found?.name ?? null;
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
