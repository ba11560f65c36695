/**
 * Reads GUID partition tables (UEFI specification, chapter 5). Pure.
 *
 * There are two copies, one at the image's beginning and one at its end, each a header and an array
 * of entries, with checksums over both. A copy that is whole is used, the first one rather than the
 * second.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import {
  type ImageSource,
  makePartition,
  type Partition,
  PARTITION_NUMBERS,
  type PartitionTable,
  SECTOR_SIZES,
  type SectorBytes,
} from "./partition.ts";

/** "EFI PART", as two little-endian words. */
const SIGNATURE = [0x20494645, 0x54524150] as const;

/** Offsets in the header; LBA: number of a sector. */
const Header = {
  HEADER_BYTES: 12,
  HEADER_CRC: 16,
  MY_LBA: 24,
  ALTERNATE_LBA: 32,
  ENTRIES_LBA: 72,
  ENTRY_COUNT: 80,
  ENTRY_BYTES: 84,
  ENTRIES_CRC: 88,
  END: 92,
} as const;

/** Offsets in an entry. */
const Entry = { TYPE: 0, FIRST_LBA: 32, LAST_LBA: 40, NAME: 56, END: 128 } as const;

const NO_TYPE = "00000000-0000-0000-0000-000000000000";

/** Most bytes that the entries may have together, so that a false number cannot fill the memory. */
const MAX_ENTRIES_BYTES = PARTITION_NUMBERS.max * Entry.END;

/** Sector in which the first copy's header lies. */
const PRIMARY_LBA = 1;

/** Where a header may lie. */
interface Place {
  readonly lba: number;
  readonly sectorBytes: SectorBytes;
}

/** A header whose own checksum is right. */
interface GptHeader {
  readonly alternateLba: number;
  readonly entriesOffset: number;
  readonly entryCount: number;
  readonly entryBytes: number;
  readonly entriesCrc: number;
}

/** A copy of the table that is whole. */
interface Copy extends Place {
  readonly header: GptHeader;
  readonly entries: Uint8Array;
}

/**
 * Reads the partitions of an image that should have a GPT.
 *
 * Where its header lies tells how long a sector is. Remains of a table in other sectors, from
 * before the disk was partitioned anew, count only if there is nothing better: a first copy goes
 * before all second ones.
 *
 * @param knownSectorBytes How long a sector is; without it, it is found out.
 * @throws {UsageError} If no copy of it is whole.
 */
export function readGpt(image: ImageSource, knownSectorBytes?: SectorBytes): PartitionTable {
  const sizes = knownSectorBytes === undefined ? SECTOR_SIZES : [knownSectorBytes];
  // Two places may be the same.
  const faults = new Set<string>();
  const alternates: Place[] = [];
  const readCopies = (places: readonly Place[]) =>
    places.map((place) => readCopy(image, place, { faults, alternates }))
      .filter((copy) => copy !== null);

  let copies = readCopies(sizes.map((sectorBytes) => ({ lba: PRIMARY_LBA, sectorBytes })));
  const isFirst = copies.length > 0;
  if (!isFirst) {
    const last = sizes.map((sectorBytes) => ({
      lba: Math.floor(image.bytes / sectorBytes) - 1,
      sectorBytes,
    }));
    // The second copy does not lie in the last sector if the disk has grown since it was
    // partitioned.
    copies = readCopies([...alternates, ...last]);
  }
  const [copy] = copies;
  if (copy === undefined) {
    const damage = faults.size === 0 ? "is there" : `is whole (damaged: ${[...faults].join(", ")})`;
    const [unit, hint] = knownSectorBytes === undefined ? ["", ""] : [
      ` in sectors of ${knownSectorBytes} bytes`,
      "; without --sector-size, sectors of any size are looked for",
    ];
    throw new UsageError(
      `Cannot find a partition: no copy of the image's partition table (GPT)${unit} ${damage}${hint}`,
    );
  }
  const { lba, sectorBytes, header, entries } = copy;
  const unit = { sectorBytes, imageBytes: image.bytes };
  return {
    kind: "gpt",
    sectorBytes,
    doubt: copies.some((other) => other.sectorBytes !== sectorBytes)
      ? "with either, there is a whole copy of the table"
      : null,
    partitions: parseEntries(entries, header.entryBytes, unit),
    warnings: isFirst ? [] : [
      `the first copy of the partition table is ${faults.size === 0 ? "missing" : "damaged"}; ` +
      `the one at byte ${lba * sectorBytes} is used`,
    ],
  };
}

/**
 * Reads the copy whose header lies at a place; `null` if it is not there or damaged.
 *
 * @param notes.faults Gets what is damaged.
 * @param notes.alternates Gets the place of the other copy, where a first copy's header names it.
 */
function readCopy(
  image: ImageSource,
  place: Place,
  notes: { faults: Set<string>; alternates: Place[] },
): Copy | null {
  const { lba, sectorBytes } = place;
  const sector = readHeaderSector(image, place);
  if (sector === null) return null;
  const header = parseHeader(sector, place);
  const entries = header && readEntries(image, header);
  if (header && entries) return { lba, sectorBytes, header, entries };
  notes.faults.add(`${header ? "entries of the header" : "header"} at byte ${lba * sectorBytes}`);
  if (header && lba === PRIMARY_LBA && header.alternateLba !== PRIMARY_LBA) {
    notes.alternates.push({ lba: header.alternateLba, sectorBytes });
  }
  return null;
}

/** Reads the sector of a header; `null` if it does not lie in the image or has no signature. */
function readHeaderSector(image: ImageSource, { lba, sectorBytes }: Place): DataView | null {
  const offset = lba * sectorBytes;
  if (offset < sectorBytes || offset + sectorBytes > image.bytes) return null;
  const sector = viewOf(image.read(offset, sectorBytes));
  return SIGNATURE.every((word, i) => sector.getUint32(i * 4, true) === word) ? sector : null;
}

/** Takes a header apart; `null` if it is damaged or was meant for another place. */
function parseHeader(sector: DataView, { lba, sectorBytes }: Place): GptHeader | null {
  const headerBytes = sector.getUint32(Header.HEADER_BYTES, true);
  if (headerBytes < Header.END || headerBytes > sectorBytes) return null;
  const header = new Uint8Array(sector.buffer, sector.byteOffset, headerBytes).slice();
  // The checksum is taken with its own field being zero.
  header.fill(0, Header.HEADER_CRC, Header.HEADER_CRC + 4);
  if (crc32(header) !== sector.getUint32(Header.HEADER_CRC, true)) return null;
  if (readUint64(sector, Header.MY_LBA) !== lba) return null;
  return {
    alternateLba: readUint64(sector, Header.ALTERNATE_LBA),
    entriesOffset: readUint64(sector, Header.ENTRIES_LBA) * sectorBytes,
    entryCount: sector.getUint32(Header.ENTRY_COUNT, true),
    entryBytes: sector.getUint32(Header.ENTRY_BYTES, true),
    entriesCrc: sector.getUint32(Header.ENTRIES_CRC, true),
  };
}

/** Reads the array of entries; `null` if it is damaged, too large or does not lie in the image. */
function readEntries(image: ImageSource, header: GptHeader): Uint8Array | null {
  const { entriesOffset, entryCount, entryBytes, entriesCrc } = header;
  const bytes = entryCount * entryBytes;
  if (entryBytes < Entry.END || bytes > MAX_ENTRIES_BYTES) return null;
  if (entriesOffset + bytes > image.bytes) return null;
  const entries = image.read(entriesOffset, bytes);
  return crc32(entries) === entriesCrc ? entries : null;
}

function parseEntries(
  entries: Uint8Array,
  entryBytes: number,
  unit: { sectorBytes: number; imageBytes: number },
): Partition[] {
  const partitions: Partition[] = [];
  const view = viewOf(entries);
  for (let at = 0; at + entryBytes <= entries.length; at += entryBytes) {
    const type = readGuid(view, at + Entry.TYPE);
    if (type === NO_TYPE) continue;
    const start = readUint64(view, at + Entry.FIRST_LBA);
    const sectors = readUint64(view, at + Entry.LAST_LBA) - start + 1;
    const name = readName(view, at + Entry.NAME, at + Entry.END);
    const number = at / entryBytes + 1;
    partitions.push(makePartition({ number, role: "primary", type, name, start, sectors }, unit));
  }
  return partitions;
}

/** Reads a GUID: three little-endian numbers, then eight bytes. */
function readGuid(view: DataView, at: number): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
  const bytes = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => hex(view.getUint8(at + from + i), 2)).join("");
  return [
    hex(view.getUint32(at, true), 8),
    hex(view.getUint16(at + 4, true), 4),
    hex(view.getUint16(at + 6, true), 4),
    bytes(8, 10),
    bytes(10, 16),
  ].join("-").toUpperCase();
}

/** Reads a name: UTF-16, ended by a zero or by its field. */
function readName(view: DataView, start: number, end: number): string {
  let name = "";
  for (let at = start; at < end; at += 2) {
    const unit = view.getUint16(at, true);
    if (unit === 0) break;
    name += String.fromCharCode(unit);
  }
  return name;
}

/** Reads 64 bits; a number above 2^53 is not exact. */
function readUint64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** CRC-32 of a byte, bits reflected, polynomial 0x04C11DB7. */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  return crc;
});

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 0xff]!;
  return (crc ^ 0xffffffff) >>> 0;
}
