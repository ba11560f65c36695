/**
 * Finds the sector size in which an MBR counts, because the MBR does not state it. Pure.
 *
 * Virtual disks have sectors of 512 bytes, disks copied from hardware may have 4096. A wrong guess
 * yields bytes from elsewhere in the image, so a guess is always reported as one. The evidence is
 * where the file systems of the partitions start, and where the image ends; where partitioning
 * tools put partitions is only a hint.
 *
 * @module
 */

import { isChunkFault } from "../errors.ts";
import { type ImageSource, SECTOR_SIZES, type SectorBytes } from "./partition.ts";
import {
  BOOT_RECORD_BYTES,
  findSignature,
  hasBootSignature,
  SIGNATURE_BYTES,
} from "./signatures.ts";

/** The sectors of a partition. */
export interface SectorRun {
  /** Number of the first sector. */
  readonly start: number;
  /** Number of sectors, > 0. */
  readonly sectors: number;
  /** What is at its start if it is used: a file system and so on, or the first boot record. */
  readonly beginsWith: "signature" | "boot record";
}

/** A sector size, and how certain it is. */
export interface SectorSize {
  readonly sectorBytes: SectorBytes;
  /** Why it is only the likelier one: a phrase; `null` if it is certain. */
  readonly doubt: string | null;
}

const [SMALL, LARGE] = SECTOR_SIZES;

/** Partitioning tools start partitions at multiples of this, and the first at this offset. */
const ALIGNMENT_BYTES = 1_048_576;

/** Where the first partition started when disks had cylinders, heads and 63 sectors. */
const DOS_FIRST_START = 63;

/**
 * Finds the sector size of an image by the partitions of its MBR.
 *
 * Reads at most two pieces of {@linkcode SIGNATURE_BYTES} per run; unreadable chunks count as
 * inconclusive.
 *
 * @param runs The used ones of the four entries.
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

/** Whether the image has at an offset what the partition should start with. */
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
  return run.beginsWith === "signature" ? findSignature(bytes) !== null : hasBootSignature(bytes);
}

/** Whether some partition fits into the image only with small sectors. */
function isLimitedTo(imageBytes: number, runs: readonly SectorRun[]): boolean {
  const ends = runs.map(({ start, sectors }) => start + sectors);
  return ends.some((end) => end * SMALL <= imageBytes && end * LARGE > imageBytes);
}

/**
 * Whether, only with large sectors, all partitions start where tools start them, or the last one
 * ends where the image does.
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
