/**
 * Reads labels and UUIDs of file systems and other volumes, once `signatures.ts` has told what they
 * are. Used by `volume_content.ts`. Pure.
 *
 * Offsets are those of the kernel's headers and of the on-disk formats' documentation; UUIDs are
 * written as libblkid does, with which a test compares.
 *
 * @module
 */

import {
  formatUuid,
  readHex,
  readText,
  readUint64,
  readUtf16,
  readUuid,
  viewOf,
} from "./fields.ts";
import type { ImageSource } from "./partition.ts";
import type { FoundSignature, SignatureKind } from "./signatures.ts";

/** What a volume says of itself; absent or "" where it says nothing. */
export interface Identity {
  /** Version of a format that has several which differ for users: LUKS, RAID. */
  readonly version?: string;
  /** Its name, which may be unprintable; for LVM that of the volume group, for ZFS the pool's. */
  readonly label?: string;
  readonly uuid?: string;
}

/** What {@linkcode readIdentity} finds: also which of several kinds with the same signature. */
interface FoundIdentity extends Identity {
  readonly kind?: SignatureKind | "ext2" | "ext3" | "ext4";
}

/** Reads pieces of a volume; what lies outside of it reads as zeros. */
type Peek = (offset: number, length: number) => DataView<ArrayBufferLike>;

function peekInto(volume: ImageSource): Peek {
  return (offset, length) => {
    const isInside = offset >= 0 && offset + length <= volume.bytes;
    return viewOf(isInside ? volume.read(offset, length) : new Uint8Array(length));
  };
}

type Reader = (peek: Peek, volume: { signatureOffset: number }) => FoundIdentity;

const READERS: Readonly<Partial<Record<SignatureKind, Reader>>> = {
  bcache: readBcache,
  bcachefs: readBcache,
  btrfs: (peek) => {
    const view = peek(0x10000, 0x22b);
    return { uuid: readUuid(view, 0x20), label: readText(view, 0x12b, 0x22b) };
  },
  ceph_bluestore: (peek) => ({ uuid: readText(peek(23, 36), 0, 36) }),
  crypto_LUKS: readLuks,
  erofs: (peek) => {
    const view = peek(1024, 80);
    return { uuid: readUuid(view, 48), label: readText(view, 64, 80) };
  },
  exfat: readExfat,
  ext: readExt,
  f2fs: (peek) => {
    const view = peek(1024, 124 + 1024);
    return { uuid: readUuid(view, 108), label: readUtf16(view, 124, 124 + 1024) };
  },
  iso9660: readIso,
  jfs: (peek) => {
    const view = peek(0x8000, 168);
    return { uuid: readUuid(view, 136), label: readText(view, 152, 168) };
  },
  linux_raid_member: (peek, { signatureOffset }) => readRaid(peek, signatureOffset),
  LVM2_member: readLvm,
  ntfs: readNtfs,
  reiserfs: (peek) => {
    const view = peek(0x10000, 116);
    return { uuid: readUuid(view, 84), label: readText(view, 100, 116) };
  },
  swap: (peek) => {
    const view = peek(1024, 44);
    return { uuid: readUuid(view, 12), label: readText(view, 28, 44) };
  },
  vfat: readFat,
  xfs: (peek) => {
    const view = peek(0, 120);
    return { uuid: readUuid(view, 32), label: readText(view, 108, 120) };
  },
};

/** Reads what a volume with a signature says of itself. */
export function readIdentity(volume: ImageSource, found: FoundSignature): FoundIdentity {
  return READERS[found.kind]?.(peekInto(volume), { signatureOffset: found.offset }) ?? {};
}

/** Reads the superblock of a RAID member. @param offset Where the superblock begins. */
export function readRaidIdentity(volume: ImageSource, offset: number): Identity {
  return readRaid(peekInto(volume), offset);
}

/**
 * Features of ext file systems. What an ext2 or ext3 may have besides those of its kind makes it an
 * ext4. Source: linux/fs/ext2/ext2.h, fs/ext4/ext4.h.
 */
const Ext = {
  HAS_JOURNAL: 0x4,
  /** FILETYPE, META_BG. */
  EXT2_INCOMPAT: 0x2 | 0x10,
  /** Those, and RECOVER. */
  EXT3_INCOMPAT: 0x2 | 0x10 | 0x4,
  /** SPARSE_SUPER, LARGE_FILE, BTREE_DIR. */
  EXT2_RO_COMPAT: 0x1 | 0x2 | 0x4,
} as const;

function readExt(peek: Peek): FoundIdentity {
  const view = peek(1024, 0x88);
  const compat = view.getUint32(0x5c, true);
  const incompat = view.getUint32(0x60, true);
  const roCompat = view.getUint32(0x64, true);
  const hasJournal = (compat & Ext.HAS_JOURNAL) !== 0;
  const known = hasJournal ? Ext.EXT3_INCOMPAT : Ext.EXT2_INCOMPAT;
  const isOld = (incompat & ~known) === 0 && (roCompat & ~Ext.EXT2_RO_COMPAT) === 0;
  const kind = !isOld ? "ext4" : hasJournal ? "ext3" : "ext2";
  return { kind, uuid: readUuid(view, 0x68), label: readText(view, 0x78, 0x88) };
}

function readBcache(peek: Peek): Identity {
  const view = peek(4096, 104);
  // bcache: uuid, set_uuid; bcachefs: the member's, then the file system's.
  const isBcachefs = view.getUint8(24 + 4) === 0x66;
  return { uuid: readUuid(view, isBcachefs ? 56 : 40), label: readText(view, 72, 104) };
}

function readLuks(peek: Peek): Identity {
  const view = peek(0, 208);
  const version = view.getUint16(6, false);
  const label = version === 2 ? readText(view, 24, 72) : "";
  return { version: String(version), label, uuid: readText(view, 168, 208) };
}

/** Source: linux/raid/md_p.h; `struct mdp_superblock_1`, `struct mdp_superblock_s`. */
function readRaid(peek: Peek, offset: number): Identity {
  const view = peek(offset, 256);
  if (view.getUint32(4, true) === 0) {
    const words = [20, 52, 56, 60].map((at) => readHex(view, at, at + 4, "backwards"));
    return { version: "0.90", uuid: formatUuid(words.join("")) };
  }
  const version = offset === 0 ? "1.1" : offset === 4096 ? "1.2" : "1.0";
  return { version, uuid: readUuid(view, 16), label: readText(view, 32, 64) };
}

/** Source: lvm2, lib/format_text/layout.h and lib/label/label.c. */
function readLvm(peek: Peek, { signatureOffset }: { signatureOffset: number }): Identity {
  const sector = peek(signatureOffset, 512);
  const at = sector.getUint32(20, true);
  const isKnown = readText(sector, 24, 32) === "LVM2 001";
  if (!isKnown || at + 40 > sector.byteLength) return {};
  const id = readText(sector, at, at + 32);
  const uuid = id.replace(/^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/, "$1-$2-$3-$4-$5-$6-$7");
  // Two lists of places, each ended by zeros: of the data, then of the metadata.
  let lists = 0;
  for (let entry = at + 40; entry + 16 <= sector.byteLength; entry += 16) {
    const offset = readUint64(sector, entry);
    if (offset === 0) lists++;
    else if (lists === 1) return { uuid, label: readVolumeGroup(peek, offset) };
  }
  return { uuid };
}

/** Reads the name of a volume group from the metadata, whose text begins with `NAME {`. */
function readVolumeGroup(peek: Peek, metadataOffset: number): string {
  const header = peek(metadataOffset, 64);
  const textOffset = readUint64(header, 40);
  if (textOffset === 0) return "";
  const text = readText(peek(metadataOffset + textOffset, 160), 0, 160);
  return /^([A-Za-z0-9_.+-]+) \{/.exec(text)?.[1] ?? "";
}

const FAT_LABEL = { attribute: 0x08, attributeMask: 0x18, longName: 0x0f } as const;

/** Source: the FAT specification of 2000 (fatgen103). */
function readFat(peek: Peek, { signatureOffset }: { signatureOffset: number }): Identity {
  const boot = peek(0, 512);
  const isFat32 = signatureOffset === 82;
  const serial = readHex(boot, isFat32 ? 67 : 39, isFat32 ? 71 : 43, "backwards");
  const sectorBytes = boot.getUint16(11, true);
  const clusterBytes = boot.getUint8(13) * sectorBytes;
  const fatSectors = isFat32 ? boot.getUint32(36, true) : boot.getUint16(22, true);
  const afterFats = (boot.getUint16(14, true) + boot.getUint8(16) * fatSectors) * sectorBytes;
  // The label is in the root directory, nearly always at its beginning.
  const root = isFat32
    ? peek(
      afterFats + (boot.getUint32(44, true) - 2) * clusterBytes,
      Math.min(clusterBytes, 65_536),
    )
    : peek(afterFats, Math.min(boot.getUint16(17, true) * 32, 65_536));
  return { uuid: formatSerial(serial), label: findFatLabel(root) };
}

function findFatLabel(directory: DataView): string {
  for (let at = 0; at + 32 <= directory.byteLength; at += 32) {
    const first = directory.getUint8(at), attributes = directory.getUint8(at + 11);
    if (first === 0) break;
    if (first === 0xe5 || attributes === FAT_LABEL.longName) continue;
    if ((attributes & FAT_LABEL.attributeMask) === FAT_LABEL.attribute) {
      return readText(directory, at, at + 11);
    }
  }
  return "";
}

/** Writes the serial number of a FAT volume: `1A2B-3C4D`. */
function formatSerial(digits: string): string {
  return digits.toUpperCase().replace(/^(.{4})(.{4})$/, "$1-$2");
}

/** Source: Microsoft's exFAT specification. */
function readExfat(peek: Peek): Identity {
  const boot = peek(0, 512);
  const uuid = formatSerial(readHex(boot, 100, 104, "backwards"));
  const sectorBytes = 2 ** (boot.getUint8(108) & 0xf);
  const clusterBytes = sectorBytes * 2 ** (boot.getUint8(109) & 0x1f);
  const root = peek(
    boot.getUint32(88, true) * sectorBytes + (boot.getUint32(96, true) - 2) * clusterBytes,
    Math.min(clusterBytes, 65_536),
  );
  for (let at = 0; at + 32 <= root.byteLength; at += 32) {
    const type = root.getUint8(at);
    if (type === 0) break;
    const units = Math.min(root.getUint8(at + 1), 11);
    if (type === 0x83) return { uuid, label: readUtf16(root, at + 2, at + 2 + 2 * units) };
  }
  return { uuid };
}

/** Number of the file that describes an NTFS, and the attribute in it that holds the label. */
const NTFS = { volumeFile: 3, volumeName: 0x60, maxRecordBytes: 65_536 } as const;

/** Source: linux/fs/ntfs3/ntfs.h. */
function readNtfs(peek: Peek): Identity {
  const boot = peek(0, 512);
  const uuid = readHex(boot, 72, 80, "backwards").toUpperCase();
  const sectorBytes = boot.getUint16(11, true);
  const perCluster = boot.getUint8(13);
  const clusterBytes = sectorBytes * (perCluster <= 128 ? perCluster : 2 ** (256 - perCluster));
  const perRecord = boot.getInt8(64);
  const recordBytes = perRecord > 0 ? perRecord * clusterBytes : 2 ** -perRecord;
  if (!(recordBytes >= 512 && recordBytes <= NTFS.maxRecordBytes)) return { uuid };
  const table = readUint64(boot, 48) * clusterBytes;
  const record = peek(table + NTFS.volumeFile * recordBytes, recordBytes);
  if (readText(record, 0, 4) !== "FILE") return { uuid };
  for (let at = record.getUint16(20, true); at + 24 <= recordBytes;) {
    const length = record.getUint32(at + 4, true);
    const isNamed = record.getUint32(at, true) === NTFS.volumeName;
    const start = at + record.getUint16(at + 20, true);
    const end = start + record.getUint32(at + 16, true);
    if (isNamed) return { uuid, label: end <= recordBytes ? readUtf16(record, start, end) : "" };
    if (length < 24) break;
    at += length;
  }
  return { uuid };
}

/** Source: ECMA-119, primary volume descriptor. */
function readIso(peek: Peek): Identity {
  const view = peek(0x8000, 847);
  const times = [830, 813].map((at) => readText(view, at, at + 16));
  // Without a modification, that of the creation.
  const time = times.find((digits) => /^(?!0+$)[0-9]{16}$/.test(digits)) ?? "";
  return { label: readText(view, 40, 72), uuid: time.replace(/^(....)|(..)(?=.)/g, "$1$2-") };
}

/** Where the first label of a ZFS device has its list of names and values, and how long it is. */
const ZFS_LIST = { offset: 16_384, bytes: 114_688 } as const;

/** Types of values in that list. Source: sys/nvpair.h. */
const NvType = { uint64: 8, string: 9 } as const;

/** Reads the name and id of the pool that a volume belongs to: an nvlist in XDR's form. */
export function readPoolIdentity(volume: ImageSource): Identity {
  const view = peekInto(volume)(ZFS_LIST.offset, ZFS_LIST.bytes);
  let label = "", uuid = "";
  // Behind 4 bytes of header, 4 of version and 4 of flags. Lengths are those of the encoded pairs.
  for (let at = 12; at + 8 <= view.byteLength;) {
    const bytes = view.getUint32(at, false);
    const nameBytes = view.getUint32(at + 8, false);
    const typeAt = at + 12 + Math.ceil(nameBytes / 4) * 4;
    const isWhole = bytes >= 20 && at + bytes <= view.byteLength && typeAt + 16 <= at + bytes;
    if (!isWhole) break;
    const name = readText(view, at + 12, at + 12 + nameBytes);
    const type = view.getUint32(typeAt, false);
    if (name === "name" && type === NvType.string) {
      const end = Math.min(typeAt + 12 + view.getUint32(typeAt + 8, false), at + bytes);
      label = readText(view, typeAt + 12, end);
    }
    if (name === "pool_guid" && type === NvType.uint64) {
      uuid = String(view.getBigUint64(typeAt + 8, false));
    }
    at += bytes;
  }
  return { label, uuid };
}
