/**
 * Reads GUID partition tables (UEFI specification, chapter 5). Pure.
 *
 * There are two copies, at the image's start and at its end, each with a header, an array of
 * entries and checksums of both. An intact copy is used, preferably the first; one that is in a bad
 * chunk is passed over.
 *
 * @module
 */

import { isChunkFault, UsageError } from "../errors.ts";
import { readUint64, readUtf16, viewOf } from "./fields.ts";
import {
  CANNOT_FIND,
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

/** Offsets in the header. LBA: number of a sector. */
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

/** Limit for the array of entries, so that a wrong number cannot exhaust memory. */
const MAX_ENTRIES_BYTES = PARTITION_NUMBERS.max * Entry.END;

/** Sector of the first copy's header. */
const PRIMARY_LBA = 1;

/** Where a header may be. */
interface HeaderPosition {
  readonly lba: number;
  readonly sectorBytes: SectorBytes;
}

/** A header whose own checksum matches. */
interface GptHeader {
  readonly alternateLba: number;
  readonly entriesOffset: number;
  readonly entryCount: number;
  readonly entryBytes: number;
  readonly entriesCrc: number;
}

/** An intact copy of the table. */
interface Copy extends HeaderPosition {
  readonly header: GptHeader;
  readonly entries: Uint8Array;
}

/**
 * Reads the partitions of an image that should have a GPT.
 *
 * The position of the header tells the sector size. Remains of an older table in sectors of another
 * size count only if there is nothing better: any first copy precedes all second ones.
 *
 * @param knownSectorBytes The sector size; default: it is found by the header's position.
 * @throws {UsageError} If no copy is intact.
 * @throws {ChunkMissingError | ChunkCorruptError} If that may be because of a bad chunk.
 */
export function readGpt(image: ImageSource, knownSectorBytes?: SectorBytes): PartitionTable {
  const sizes = knownSectorBytes === undefined ? SECTOR_SIZES : [knownSectorBytes];
  // A set, because two positions may coincide.
  const faults = new Set<string>();
  const alternates: HeaderPosition[] = [];
  const chunkFaults: Error[] = [];
  const readCopies = (positions: readonly HeaderPosition[]) =>
    positions.map((position) => {
      try {
        return readCopy(image, position, { faults, alternates });
      } catch (error) {
        if (!isChunkFault(error)) throw error;
        chunkFaults.push(error);
        return null;
      }
    }).filter((copy) => copy !== null);

  let copies = readCopies(sizes.map((sectorBytes) => ({ lba: PRIMARY_LBA, sectorBytes })));
  const isFirst = copies.length > 0;
  if (!isFirst) {
    const last = sizes.map((sectorBytes) => ({
      lba: Math.floor(image.bytes / sectorBytes) - 1,
      sectorBytes,
    }));
    // The second copy is not in the last sector if the disk has grown since it was partitioned.
    copies = readCopies([...alternates, ...last]);
  }
  const [copy] = copies;
  if (copy === undefined) {
    if (chunkFaults.length > 0) throw chunkFaults[0];
    const damage = faults.size === 0 ? "is there" : `is whole (damaged: ${[...faults].join(", ")})`;
    const [unit, hint] = knownSectorBytes === undefined ? ["", ""] : [
      ` in sectors of ${knownSectorBytes} bytes`,
      "; without --sector-size, sectors of any size are looked for",
    ];
    throw new UsageError(
      `${CANNOT_FIND}no copy of the image's partition table (GPT)${unit} ${damage}${hint}`,
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
      `the first copy of the partition table is ${whatIsWrong()}; ` +
      `the one at byte ${lba * sectorBytes} is used`,
    ],
  };

  function whatIsWrong(): string {
    if (chunkFaults.length > 0) return "in a chunk that is missing or corrupt";
    return faults.size === 0 ? "missing" : "damaged";
  }
}

/**
 * Reads the copy whose header is at a position; `null` if there is none or it is damaged.
 *
 * @param notes.faults Receives what is damaged.
 * @param notes.alternates Receives the position of the other copy if a first copy's header has it.
 */
function readCopy(
  image: ImageSource,
  position: HeaderPosition,
  notes: { faults: Set<string>; alternates: HeaderPosition[] },
): Copy | null {
  const { lba, sectorBytes } = position;
  const sector = readHeaderSector(image, position);
  if (sector === null) return null;
  const header = parseHeader(sector, position);
  const entries = header && readEntries(image, header);
  if (header && entries) return { lba, sectorBytes, header, entries };
  notes.faults.add(`${header ? "entries of the header" : "header"} at byte ${lba * sectorBytes}`);
  if (header && lba === PRIMARY_LBA && header.alternateLba !== PRIMARY_LBA) {
    notes.alternates.push({ lba: header.alternateLba, sectorBytes });
  }
  return null;
}

/** Reads the sector of a header; `null` if it is outside of the image or has no signature. */
function readHeaderSector(
  image: ImageSource,
  { lba, sectorBytes }: HeaderPosition,
): DataView | null {
  const offset = lba * sectorBytes;
  if (offset < sectorBytes || offset + sectorBytes > image.bytes) return null;
  const sector = viewOf(image.read(offset, sectorBytes));
  return SIGNATURE.every((word, i) => sector.getUint32(i * 4, true) === word) ? sector : null;
}

/** Parses a header; `null` if it is damaged or belongs to another position. */
function parseHeader(sector: DataView, { lba, sectorBytes }: HeaderPosition): GptHeader | null {
  const headerBytes = sector.getUint32(Header.HEADER_BYTES, true);
  if (headerBytes < Header.END || headerBytes > sectorBytes) return null;
  const header = new Uint8Array(sector.buffer, sector.byteOffset, headerBytes).slice();
  // The checksum is computed with its own field set to zero.
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

/** Reads the array of entries; `null` if it is damaged, too large or outside of the image. */
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
    const name = readUtf16(view, at + Entry.NAME, at + Entry.END);
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

/** CRC-32 of each byte: bits reflected, polynomial 0x04C11DB7. */
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
