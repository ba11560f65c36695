/**
 * Forecasts whether a file system has room for what will be written to a file.
 *
 * Only bounds of the amount are known: a chunk that is not all zeros may still have many of them. A
 * restore that cannot fit is refused; if it may not fit, there is a warning.
 *
 * @module
 */

import type { FileStatus } from "../linux/file_status.ts";
import { FileSystemMagic, fileSystemSpace } from "../linux/file_space.ts";
import { isRoot } from "../linux/processes.ts";
import { type PreflightOptions, STAT_BLOCK_BYTES } from "./target.ts";
import { describeBytes, nameTarget, refusal } from "./wording.ts";

/** Bytes that will be written. */
export interface Amount {
  /** Certainly this many. */
  readonly atLeast: number;
  /** Possibly this many. */
  readonly atMost: number;
}

/**
 * File systems that store bytes as they are, so that more than the free room cannot fit. Others may
 * compress, or leave it to a server that does.
 */
const STORES_AS_IS: ReadonlySet<number> = new Set([
  FileSystemMagic.EXT2_TO_4,
  FileSystemMagic.XFS,
  FileSystemMagic.TMPFS,
  FileSystemMagic.FAT,
  FileSystemMagic.EXFAT,
  FileSystemMagic.JFS,
]);

/** The result of a forecast: phrases for messages. At most one of them is not `null`. */
export interface Forecast {
  /** Why the image cannot fit; `null` if it may. */
  readonly refusal: string | null;
  /** Why it may not fit; `null` if it will, or cannot. */
  readonly doubt: string | null;
}

/**
 * Compares what will be written with the free room. Quotas are not considered.
 *
 * @param at Path on the file system, or a descriptor.
 * @param options.old The file that is written, whose own room can be used; `null` if it is new.
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
  // Storage that is allocated in advance is not compressed.
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
 * Makes sure that what will be written to a file may fit.
 *
 * @param path The target, for messages.
 * @param options.at, options.old As {@linkcode forecastRoom} takes them.
 * @returns Warnings if the file system may lack the room.
 * @throws {TargetError} If it certainly does.
 */
export function requireRoom(
  path: string,
  amount: Amount,
  options: {
    at: string | number;
    old: FileStatus | null;
    sparse: PreflightOptions["sparse"];
  },
): string[] {
  const { at, ...file } = options;
  const { refusal: reason, doubt } = forecastRoom(at, amount, file);
  if (reason !== null) throw refusal(path, reason);
  if (doubt === null) return [];
  return [`${nameTarget(path)} may become too large for its file system: ${doubt}`];
}

/** How much room a file needs: for all bytes with `--sparse=never`, else for those with data. */
export function amountOfFile({ extent, sparse, data }: PreflightOptions): Amount {
  const allBytes = extent.end - extent.start;
  if (sparse === "never") return { atLeast: allBytes, atMost: allBytes };
  return data ?? { atLeast: 0, atMost: 0 };
}

/** How much is written to a stream: zeros too, unless they are records. */
export function amountOfStream(
  { extent, data, areZerosRecords = false }: PreflightOptions,
): Amount {
  const bytes = areZerosRecords ? data?.atMost ?? 0 : extent.end - extent.start;
  return { atLeast: bytes, atMost: bytes };
}
