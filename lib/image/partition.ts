/**
 * What partition tables of both kinds are made of. Pure.
 *
 * @module
 */

/** An image whose bytes can be asked for. */
export interface ImageSource {
  /** Size of the image. */
  readonly bytes: number;
  /**
   * Returns exactly `length` bytes from `offset` on; never asked for any beyond the image's end.
   */
  read(offset: number, length: number): Uint8Array;
}

/** One entry of a partition table. */
export interface Partition {
  /**
   * As the kernel and fdisk count: 1 to 4 primary, 5 and up logical; of a GPT the entry's place,
   * from 1 on.
   */
  readonly number: number;
  /** First byte of the image that belongs to it; exact only if there is no {@linkcode fault}. */
  readonly offset: number;
  /** Number of bytes, >= 0; exact only if there is no {@linkcode fault}. */
  readonly length: number;
  /** `extended`: the container of the logical ones, which holds their boot records as well. */
  readonly role: "primary" | "extended" | "logical";
  /** As sfdisk writes it: hex digits of an MBR ("83"), a GPT's GUID in capitals. */
  readonly type: string;
  /** A GPT's name for it, not made printable; "" if it has none. */
  readonly name: string;
  /** Why it cannot be restored: it does not lie in the image, or has no bytes; `null` if it can. */
  readonly fault: string | null;
}

/** The partitions of an image. */
export interface PartitionTable {
  readonly kind: "mbr" | "gpt";
  /** Unit of the table's numbers. */
  readonly sectorBytes: SectorBytes;
  /**
   * Why {@linkcode sectorBytes} is no more than the likelier one: a phrase; `null` if it is
   * certain.
   */
  readonly doubt: string | null;
  /** Ascending by number, all that the table names. They may overlap: each is read by itself. */
  readonly partitions: readonly Partition[];
  /** What is damaged although the partitions above are known: phrases without capital or period. */
  readonly warnings: readonly string[];
}

/** Sector sizes that disks have. */
export const SECTOR_SIZES = [512, 4096] as const;

/** How long a sector is, in bytes. */
export type SectorBytes = typeof SECTOR_SIZES[number];

/** Numbers that a partition may have; a GPT with more entries is refused. */
export const PARTITION_NUMBERS = { min: 1, max: 32_768 } as const;

/**
 * Makes a partition of an entry's numbers, whatever they are.
 *
 * @param entry.start Number of its first sector, >= 0.
 * @param entry.sectors How many it has; not above 0 for none.
 */
export function makePartition(
  entry: Pick<Partition, "number" | "role" | "type" | "name"> & { start: number; sectors: number },
  unit: { sectorBytes: number; imageBytes: number },
): Partition {
  const { number, role, type, name } = entry;
  // Numbers of 64 bits lose digits here, but what is above 2^53 stays so, and thereby beyond every
  // image's end.
  const offset = entry.start * unit.sectorBytes;
  const length = Math.max(entry.sectors, 0) * unit.sectorBytes;
  let fault: string | null = null;
  if (length === 0) fault = "it has no bytes";
  else if (offset + length > unit.imageBytes) {
    fault = `it reaches beyond the image's end at byte ${unit.imageBytes}`;
  }
  return { number, offset, length, role, type, name, fault };
}
