/**
 * Partitions and partition tables, of either kind. Pure.
 *
 * @module
 */

/** An image of which any range can be read. */
export interface ImageSource {
  /** Size of the image in bytes. */
  readonly bytes: number;
  /** Returns exactly `length` bytes from `offset` on; both are within the image. */
  read(offset: number, length: number): Uint8Array;
}

/** One entry of a partition table. */
export interface Partition {
  /**
   * As the kernel and fdisk count: 1 to 4 primary, 5 and up logical; in a GPT, the entry's index
   * plus 1.
   */
  readonly number: number;
  /** Its first byte in the image; exact only if there is no {@linkcode fault}. */
  readonly offset: number;
  /** Number of bytes, >= 0; exact only if there is no {@linkcode fault}. */
  readonly length: number;
  /** `extended`: the container of the logical partitions and their boot records. */
  readonly role: "primary" | "extended" | "logical";
  /** As sfdisk writes it: hex digits of an MBR ("83"), a GPT's GUID in capitals. */
  readonly type: string;
  /** Its name in a GPT, which may be unprintable; "" if it has none. */
  readonly name: string;
  /** Why it cannot be restored: it is outside of the image or empty; `null` if it can. */
  readonly fault: string | null;
}

/** The partitions of an image. */
export interface PartitionTable {
  readonly kind: "mbr" | "gpt";
  /** Unit of the table's numbers. */
  readonly sectorBytes: SectorBytes;
  /** Why {@linkcode sectorBytes} is only the likelier one: a phrase; `null` if it is certain. */
  readonly doubt: string | null;
  /** All partitions of the table, ascending by number. They may overlap. */
  readonly partitions: readonly Partition[];
  /** Damage that left the partitions above readable: phrases without capital or period. */
  readonly warnings: readonly string[];
}

/** A sector size in bytes. */
export type SectorBytes = 512 | 4096;

/** How messages begin that no partition can be found; a phrase says why. */
export const CANNOT_FIND = "Cannot find a partition: ";

/** Sector sizes that disks have. */
export const SECTOR_SIZES = [512, 4096] as const satisfies readonly SectorBytes[];

/** Valid numbers of partitions; a GPT with more entries is refused. */
export const PARTITION_NUMBERS = { min: 1, max: 32_768 } as const;

/**
 * Makes a partition of the numbers of an entry, which may be any.
 *
 * @param entry.start Number of its first sector, >= 0.
 * @param entry.sectors Number of its sectors; 0 or less if it is empty.
 */
export function makePartition(
  entry: Pick<Partition, "number" | "role" | "type" | "name"> & { start: number; sectors: number },
  unit: { sectorBytes: number; imageBytes: number },
): Partition {
  const { number, role, type, name } = entry;
  // Numbers of 64 bits lose digits here, but those above 2^53 stay above it, so beyond the end of
  // any image.
  const offset = entry.start * unit.sectorBytes;
  const length = Math.max(entry.sectors, 0) * unit.sectorBytes;
  let fault: string | null = null;
  if (length === 0) fault = "it has no bytes";
  else if (offset + length > unit.imageBytes) {
    fault = `it reaches beyond the image's end at byte ${unit.imageBytes}`;
  }
  return { number, offset, length, role, type, name, fault };
}
