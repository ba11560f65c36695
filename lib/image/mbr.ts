/**
 * Reads the partition tables that PCs have had since DOS: four entries in the master boot record
 * (MBR), and a chain of extended boot records (EBR) with the logical partitions. Pure.
 *
 * They do not state the sector size; `sector_size.ts` finds it.
 *
 * @module
 */

import {
  type ImageSource,
  makePartition,
  type Partition,
  type PartitionTable,
  type SectorBytes,
} from "./partition.ts";
import { findSectorSize, type SectorRun } from "./sector_size.ts";
import { BOOT_RECORD_BYTES, hasBootSignature } from "./signatures.ts";

const ENTRIES_OFFSET = 446;
const ENTRY_BYTES = 16;
const ENTRIES = 4;

/** Type of the entry that makes the disk look used to programs that know no GPT. */
const PROTECTIVE_TYPE = 0xee;

/** Extended partitions: of DOS, of Windows 95 (LBA), of Linux. */
const EXTENDED_TYPES: readonly number[] = [0x05, 0x0f, 0x85];

/** The kernel supports at most 256 partitions per disk. */
const MAX_CHAIN_RECORDS = 256;

const FIRST_LOGICAL_NUMBER = 5;

/** An entry of a boot record. */
export interface MbrEntry {
  /** 0 for an unused entry. */
  readonly type: number;
  /** Number of the first sector, counted from a sector that depends on the record and the type. */
  readonly start: number;
  readonly sectors: number;
}

/**
 * Reads the entries of a master boot record.
 *
 * @returns All four, used or not; `null` if there is no table: the signature is missing, or it is
 *   the boot record of a file system, which has the signature but code or text instead of entries.
 */
export function readMbr(image: ImageSource): readonly MbrEntry[] | null {
  const record = readRecord(image, 0);
  if (record === null) return null;
  for (let i = 0; i < ENTRIES; i++) {
    const status = record[ENTRIES_OFFSET + i * ENTRY_BYTES];
    if (status !== 0x00 && status !== 0x80) return null;
  }
  return entriesOf(record);
}

/** Whether an entry says that the disk has a GPT. Then the other entries do not count. */
export function isProtectiveMbr(entries: readonly MbrEntry[]): boolean {
  return entries.some(({ type }) => type === PROTECTIVE_TYPE);
}

/**
 * Reads the partitions in the entries of a master boot record, and the logical ones.
 *
 * @param knownSectorBytes The sector size; default: it is found by the image's content.
 */
export function readMbrPartitions(
  image: ImageSource,
  entries: readonly MbrEntry[],
  knownSectorBytes?: SectorBytes,
): PartitionTable {
  const extended = entries.filter(isExtended);
  const { sectorBytes, doubt } = knownSectorBytes === undefined
    ? findSectorSize(image, entries.filter(isUsed).map(sectorsOf))
    : { sectorBytes: knownSectorBytes, doubt: null };
  const unit = { sectorBytes, imageBytes: image.bytes };
  const partitions: Partition[] = [];
  const add = (number: number, role: Partition["role"], { type, start, sectors }: MbrEntry) => {
    const identity = { number, role, type: type.toString(16), name: "" };
    partitions.push(makePartition({ ...identity, start, sectors }, unit));
  };

  entries.forEach((entry, i) => {
    if (entry.type !== 0) add(i + 1, isExtended(entry) ? "extended" : "primary", entry);
  });
  const warnings: string[] = [];
  let number = FIRST_LOGICAL_NUMBER;
  for (const { start } of extended) {
    const chain = readChain(image, start, sectorBytes);
    for (const logical of chain.logicals) add(number++, "logical", logical);
    if (chain.fault !== null) warnings.push(chain.fault);
  }
  return { kind: "mbr", sectorBytes, doubt, partitions, warnings };
}

/**
 * Follows the chain of boot records in an extended partition.
 *
 * @param extendedStart Number of the first sector of the extended partition.
 * @returns The logical partitions, `start` counted from the image's start; `fault` says why some
 *   may be missing.
 */
function readChain(
  image: ImageSource,
  extendedStart: number,
  sectorBytes: number,
): { logicals: MbrEntry[]; fault: string | null } {
  const logicals: MbrEntry[] = [];
  const seen = new Set<number>();
  const broken = (at: number, reason: string) => ({
    logicals,
    fault: `the chain of logical partitions breaks off at byte ${at * sectorBytes}: ${reason}`,
  });

  for (let at = extendedStart;;) {
    if (seen.has(at)) return broken(at, "it returns there");
    if (seen.size >= MAX_CHAIN_RECORDS) return broken(at, "it has too many boot records");
    seen.add(at);
    const record = readRecord(image, at * sectorBytes);
    if (record === null) return broken(at, "there is no boot record");
    // Usually the first entry is the partition and the second the link, but the opposite occurs.
    const used = entriesOf(record).filter(isUsed);
    const logical = used.find((entry) => !isExtended(entry));
    const link = used.find(isExtended);
    // A logical partition is counted from its boot record, the next record from the start of the
    // extended partition.
    if (logical) logicals.push({ ...logical, start: at + logical.start });
    if (!link) return { logicals, fault: null };
    at = extendedStart + link.start;
  }
}

/** Reads a boot record; `null` if it is beyond the image's end or has no signature. */
function readRecord(image: ImageSource, offset: number): Uint8Array | null {
  if (offset + BOOT_RECORD_BYTES > image.bytes) return null;
  const record = image.read(offset, BOOT_RECORD_BYTES);
  return hasBootSignature(record) ? record : null;
}

function entriesOf(record: Uint8Array): MbrEntry[] {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  return Array.from({ length: ENTRIES }, (_, i) => {
    const at = ENTRIES_OFFSET + i * ENTRY_BYTES;
    return {
      type: view.getUint8(at + 4),
      start: view.getUint32(at + 8, true),
      sectors: view.getUint32(at + 12, true),
    };
  });
}

function isUsed({ type, sectors }: MbrEntry): boolean {
  return type !== 0 && sectors > 0;
}

/** The sectors of an entry's partition, and what they start with. */
function sectorsOf(entry: MbrEntry): SectorRun {
  const { start, sectors } = entry;
  return { start, sectors, beginsWith: isExtended(entry) ? "boot record" : "signature" };
}

function isExtended({ type }: MbrEntry): boolean {
  return EXTENDED_TYPES.includes(type);
}
