/**
 * Foretells whether a file system has the room for what will be written to a file.
 *
 * How much that will be is known within bounds only: chunks are known to hold something else than
 * zeros, but not how many zeros beside it. What cannot fit is refused, what may not fit is warned
 * of.
 *
 * @module
 */

import type { FileStatus } from "../linux/file_status.ts";
import { fileSystemSpace } from "../linux/file_space.ts";
import { isRoot } from "../linux/processes.ts";
import { type PreflightOptions, STAT_BLOCK_BYTES } from "./target.ts";
import { describeBytes } from "./wording.ts";

/** Bytes that will be written. */
export interface Amount {
  /** So many for certain. */
  readonly atLeast: number;
  /** Perhaps as many. */
  readonly atMost: number;
}

/**
 * File systems that store what they are given, so that what is larger than the room that is left
 * cannot fit. Others may compress it, or ask a server that does. ext2 to ext4, XFS, tmpfs, FAT,
 * exFAT, JFS. Source: linux/magic.h.
 */
const STORES_AS_IS: ReadonlySet<number> = new Set([
  0xef53,
  0x58465342,
  0x01021994,
  0x4d44,
  0x2011bab0,
  0x3153464a,
]);

/** What a forecast comes to: phrases for messages, of which one at most is there. */
export interface Forecast {
  /** Why the image cannot fit; `null` if it may. */
  readonly refusal: string | null;
  /** Why it may not fit; `null` if it will. */
  readonly doubt: string | null;
}

/**
 * Compares what will be written with the room that is left. Quotas are not known.
 *
 * @param at Path on the file system, or a descriptor.
 * @param old The file that is written, which holds its room already; `null` if there is none.
 */
export function forecastRoom(
  at: string | number,
  amount: Amount,
  { old, sparse }: { old: FileStatus | null; sparse: PreflightOptions["sparse"] },
): Forecast {
  const { magic, totalBytes, freeBytes, availableBytes } = fileSystemSpace(at);
  if (totalBytes === 0) return { refusal: null, doubt: null };
  const ownBytes = (old?.blocks ?? 0) * STAT_BLOCK_BYTES;
  const roomBytes = ownBytes + (isRoot() ? freeBytes : availableBytes);
  const has = `the file system has room for ${describeBytes(roomBytes)}`;
  // What must be allocated is not compressed.
  const mayRefuse = sparse === "never" || STORES_AS_IS.has(magic);
  if (mayRefuse && amount.atLeast > roomBytes) {
    const step = `make room${
      sparse === "never" ? ", use --sparse=auto" : ""
    } or name another target`;
    const least = amount.atLeast === amount.atMost ? "" : "at least ";
    return {
      refusal: `the image needs ${least}${describeBytes(amount.atLeast)}, ${has}; ${step}`,
      doubt: null,
    };
  }
  if (amount.atMost <= roomBytes) return { refusal: null, doubt: null };
  return { refusal: null, doubt: `it takes up to ${describeBytes(amount.atMost)}, ${has}` };
}

/**
 * How much will be written to a file at any offset: all of it where zeros are, else what is not
 * zeros.
 */
export function amountOfFile({ extent, sparse, data }: PreflightOptions): Amount {
  const allBytes = extent.end - extent.start;
  if (sparse === "never") return { atLeast: allBytes, atMost: allBytes };
  return data ?? { atLeast: 0, atMost: 0 };
}

/** How much will be written to a stream: zeros are written too, unless they are records. */
export function amountOfStream(
  { extent, data, areZerosRecords = false }: PreflightOptions,
): Amount {
  const bytes = areZerosRecords ? data?.atMost ?? 0 : extent.end - extent.start;
  return { atLeast: bytes, atMost: bytes };
}
