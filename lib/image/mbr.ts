/**
 * Reads partition tables of the kind that PCs have had since DOS: four entries in the master boot
 * record (MBR), and a chain of extended boot records (EBR) with the logical partitions. Pure.
 *
 * Nothing in it says how long a sector is: `sector_size.ts` finds that out.
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

/** A boot record's part that counts; it is no longer where sectors are. */
const RECORD_BYTES = 512;
const ENTRIES_OFFSET = 446;
const ENTRY_BYTES = 16;
const ENTRIES = 4;

/** The type of the entry that keeps programs which know no GPT from taking the disk for empty. */
const PROTECTIVE_TYPE = 0xee;

/** Extended partitions: of DOS, of Windows 95 (LBA), of Linux. */
const EXTENDED_TYPES: readonly number[] = [0x05, 0x0f, 0x85];

/** The kernel knows no more than 256 partitions of a disk. */
const MAX_CHAIN_RECORDS = 256;

const FIRST_LOGICAL_NUMBER = 5;

/** An entry of a boot record. */
export interface MbrEntry {
  /** 0 for an unused entry. */
  readonly type: number;
  /** Number of the first sector; what it is counted from depends on the record and the type. */
  readonly start: number;
  readonly sectors: number;
}

/**
 * Reads the entries of a master boot record.
 *
 * @returns All four, used or not; `null` if there are none: without the signature, or where a file
 *   system's boot record, which has it too, holds code or text.
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

/**
 * Whether the entries only say that the disk has a GPT; other entries beside that one do not count.
 */
export function isProtectiveMbr(entries: readonly MbrEntry[]): boolean {
  return entries.some(({ type }) => type === PROTECTIVE_TYPE);
}

/**
 * Reads the partitions that the entries of a master boot record name, and the logical ones.
 *
 * @param knownSectorBytes Unit of the entries' numbers; without it, it is found out.
 */
export function readMbrPartitions(
  image: ImageSource,
  entries: readonly MbrEntry[],
  knownSectorBytes?: SectorBytes,
): PartitionTable {
  const extended = entries.filter(isExtended);
  const { sectorBytes, doubt } = knownSectorBytes === undefined
    ? findSectorSize(image, entries.filter(isUsed).map(placeOf))
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
 * @param extendedStart Number of the extended partition's first sector.
 * @returns The logical partitions, `start` counted from the image's start; `fault` says why there
 *   may be more.
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
    // Usually the first entry is the partition and the second the link. Others have been seen the
    // other way round.
    const used = entriesOf(record).filter(isUsed);
    const logical = used.find((entry) => !isExtended(entry));
    const link = used.find(isExtended);
    // A partition is counted from its own boot record, the next record from the extended
    // partition's start.
    if (logical) logicals.push({ ...logical, start: at + logical.start });
    if (!link) return { logicals, fault: null };
    at = extendedStart + link.start;
  }
}

/** Reads a boot record; `null` if it would not lie in the image or has no signature. */
function readRecord(image: ImageSource, offset: number): Uint8Array | null {
  if (offset + RECORD_BYTES > image.bytes) return null;
  const record = image.read(offset, RECORD_BYTES);
  return record[510] === 0x55 && record[511] === 0xaa ? record : null;
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

/** Where an entry's partition lies, and how one sees that it begins there. */
function placeOf(entry: MbrEntry): SectorRun {
  const { start, sectors } = entry;
  return { start, sectors, beginsWith: isExtended(entry) ? "boot record" : "signature" };
}

function isExtended({ type }: MbrEntry): boolean {
  return EXTENDED_TYPES.includes(type);
}
