/**
 * Recognises what a disk, partition or volume holds by the signature at its start: a file system,
 * swap space, a volume of LVM or the like. Pure.
 *
 * Only what marks a *start* counts. Copies of a superblock that lie elsewhere in a file system are
 * told from the first one where they look alike. Places and values are those of libblkid, with
 * which a test compares.
 *
 * @module
 */

/**
 * How many bytes from the start on {@linkcode findSignature} looks at; fewer will do if there are
 * no more.
 */
export const SIGNATURE_BYTES = 0x11000;

/** A text at a place, and what else must hold. */
interface Signature {
  readonly name: string;
  readonly offset: number;
  /** Its characters are bytes. */
  readonly text: string;
  readonly isStart?: (view: DataView) => boolean;
}

const BOOT_SIGNATURE = { offset: 510, bytes: [0x55, 0xaa] } as const;

const SIGNATURES: readonly Signature[] = [
  { name: "ext file system", offset: 0x438, text: "\x53\xef", isStart: isExtStart },
  // mkfs.xfs marks the copies of the superblock, one in each allocation group, as unfinished.
  { name: "XFS file system", offset: 0, text: "XFSB", isStart: isXfsStart },
  // A superblock says at which byte it lies.
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
  // At the end of the first page, whose size is the machine's.
  ...[4096, 16_384, 65_536].map((pageBytes) => ({
    name: "swap space",
    offset: pageBytes - 10,
    text: "SWAPSPACE2",
  })),
];

/**
 * Recognises what begins with some bytes.
 *
 * @param bytes The first {@linkcode SIGNATURE_BYTES}, or fewer if there are no more.
 * @returns What it is, such as "XFS file system" or "swap space"; `null` if nothing is recognised.
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
 * Whether an ext superblock is the first one: two bytes are little to go by, and the copies in file
 * systems with blocks of 1 KiB lie 1 KiB behind multiples of 8 MiB, as the first one lies 1 KiB
 * behind the start.
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

/** Whether an XFS superblock is the first one, which is not in progress (`sb_inprogress`). */
function isXfsStart(view: DataView): boolean {
  return view.byteLength > 126 && view.getUint8(126) === 0;
}

function isBootSector(view: DataView): boolean {
  const { offset, bytes } = BOOT_SIGNATURE;
  return view.byteLength >= offset + bytes.length &&
    bytes.every((byte, i) => view.getUint8(offset + i) === byte);
}
