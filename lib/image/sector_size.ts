/**
 * Finds out how long the sectors are in which an MBR counts, which it does not say itself. Pure.
 *
 * Virtual disks have sectors of 512 bytes, disks that were copied from hardware may have 4096. A
 * wrong guess gives bytes that lie elsewhere in the image, so a guess is never taken for more: what
 * tells is where the partitions' file systems begin, and where the image ends; where partitioning
 * tools put partitions is a hint only.
 *
 * @module
 */

import { isChunkFault } from "../errors.ts";
import { type ImageSource, SECTOR_SIZES, type SectorBytes } from "./partition.ts";
import { findSignature, SIGNATURE_BYTES } from "./signatures.ts";

/** Sectors of a disk in which a partition lies. */
export interface SectorRun {
  /** Number of the first one. */
  readonly start: number;
  /** How many there are, > 0. */
  readonly sectors: number;
  /**
   * What is at its start if it is used: a file system or the like, or the first boot record of a
   * chain.
   */
  readonly beginsWith: "signature" | "boot record";
}

/** A sector size. */
export interface SectorSize {
  readonly sectorBytes: SectorBytes;
  /** Why it is no more than the likelier one: a phrase; `null` if it is certain. */
  readonly doubt: string | null;
}

const [SMALL, LARGE] = SECTOR_SIZES;

/** Multiples of this are where partitioning tools begin a partition, the first one at once. */
const ALIGNMENT_BYTES = 1_048_576;

/** Where partitions began when disks had cylinders, heads and 63 sectors. */
const DOS_FIRST_START = 63;

/** A boot record ends with this. */
const BOOT_RECORD_BYTES = 512;
const BOOT_SIGNATURE = [0x55, 0xaa] as const;

/**
 * Finds the sector size of an image from the partitions of its MBR.
 *
 * Reads at most two pieces of {@linkcode SIGNATURE_BYTES} for each run; chunks that cannot be read
 * tell nothing.
 *
 * @param runs Those of the four entries that are used.
 */
export function findSectorSize(image: ImageSource, runs: readonly SectorRun[]): SectorSize {
  if (runs.length === 0) return { sectorBytes: SMALL, doubt: null };
  const found = (sectorBytes: SectorBytes) =>
    runs.filter((run) => isFoundAt(image, run, run.start * sectorBytes)).length;
  const [small, large] = [found(SMALL), found(LARGE)];
  const clues = [
    small > 0 ? SMALL : null,
    large > 0 ? LARGE : null,
    isLimitedTo(image.bytes, runs) ? SMALL : null,
  ].filter((clue) => clue !== null);
  const [clue] = clues;
  if (clue === undefined) {
    return {
      sectorBytes: looksLarge(image.bytes, runs) ? LARGE : SMALL,
      doubt: "nothing in the image tells",
    };
  }
  if (clues.every((other) => other === clue)) return { sectorBytes: clue, doubt: null };
  return {
    sectorBytes: large > small ? LARGE : SMALL,
    doubt: small > 0
      ? "with either, something begins where a partition would"
      : `with ${LARGE}, a partition would reach beyond the image's end`,
  };
}

/** Whether the image holds at a byte what a partition begins with. */
function isFoundAt(image: ImageSource, run: SectorRun, offset: number): boolean {
  const length = Math.min(SIGNATURE_BYTES, image.bytes - offset);
  if (length < BOOT_RECORD_BYTES) return false;
  let bytes: Uint8Array;
  try {
    bytes = image.read(offset, length);
  } catch (error) {
    if (isChunkFault(error)) return false;
    throw error;
  }
  if (run.beginsWith === "signature") return findSignature(bytes) !== null;
  return BOOT_SIGNATURE.every((byte, i) => bytes[BOOT_RECORD_BYTES - 2 + i] === byte);
}

/** Whether a partition lies in the image with small sectors only. */
function isLimitedTo(imageBytes: number, runs: readonly SectorRun[]): boolean {
  const ends = runs.map(({ start, sectors }) => start + sectors);
  return ends.some((end) => end * SMALL <= imageBytes && end * LARGE > imageBytes);
}

/**
 * Whether all partitions begin where tools begin them, or the last one ends where the image does,
 * but only with large sectors.
 */
function looksLarge(imageBytes: number, runs: readonly SectorRun[]): boolean {
  const first = Math.min(...runs.map(({ start }) => start));
  if (first === DOS_FIRST_START || first * SMALL === ALIGNMENT_BYTES) return false;
  const isAligned = (sectorBytes: number) =>
    runs.every(({ start }) => start * sectorBytes % ALIGNMENT_BYTES === 0);
  const end = Math.max(...runs.map(({ start, sectors }) => start + sectors)) * LARGE;
  const isFilled = end <= imageBytes && imageBytes - end <= ALIGNMENT_BYTES;
  return (isAligned(LARGE) && !isAligned(SMALL)) || isFilled;
}
