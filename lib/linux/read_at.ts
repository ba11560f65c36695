/**
 * Reading a file or device at any offset, and finding out where it has data at all. The
 * descriptor's own position means nothing here: it is never read from, so that threads can share
 * the descriptor.
 *
 * @module
 */

import { Errno, lastErrno, osError } from "./errno.ts";
import { FileAdvice, fill, requireOffset } from "./libc.ts";
import { libc } from "./libc_symbols.ts";

/** Values of `whence`. Source: unistd.h of glibc. */
const Whence = { SEEK_SET: 0, SEEK_END: 2, SEEK_DATA: 3, SEEK_HOLE: 4 } as const;

/**
 * Reads at an offset until the buffer is full or the file ends.
 *
 * @param view Where to; may be a view of wasm memory.
 * @returns Number of bytes read; less than `view.length` only at the end of the file.
 * @throws {OsError} On any failure but EINTR.
 */
export function readAt(
  fd: number,
  view: Uint8Array<ArrayBuffer>,
  offset: number,
  path = "",
): number {
  requireOffset("offset", offset);
  return fill(
    view,
    path,
    (rest, done) => libc().pread(fd, rest, BigInt(rest.length), BigInt(offset + done)),
  );
}

/**
 * Pages are kept in folios of up to this size (x86_64 and aarch64 with pages of 4 KiB); also a
 * multiple of a page of 64 KiB.
 */
const FOLIO_BYTES = 2_097_152;

/**
 * Drops a range's clean pages from the page cache, so that it is read from the storage the next
 * time. Some that lie beside it go too.
 */
export function dropCachedPages(fd: number, offset: number, length: number): void {
  // The kernel keeps pages and folios that lie in the range in part only (posix_fadvise(2)).
  const start = Math.floor(offset / FOLIO_BYTES) * FOLIO_BYTES;
  const end = Math.ceil((offset + length) / FOLIO_BYTES) * FOLIO_BYTES;
  libc().posix_fadvise(fd, BigInt(start), BigInt(end - start), FileAdvice.DONTNEED);
}

/**
 * Returns the length of what is open, in bytes. @throws {OsError} If it has none, as a FIFO
 * (ESPIPE).
 */
export function lengthOfFd(fd: number, path = ""): number {
  const end = seek(fd, 0, Whence.SEEK_END);
  if (end < 0) throw osError(-end, { syscall: "lseek", path });
  return end;
}

/**
 * Tells whether a file may be so long, as far as the kernel knows: it lets no descriptor be moved
 * beyond the longest file that the file system allows (`generic_file_llseek_size` in
 * fs/read_write.c).
 */
export function canSeekTo(fd: number, offset: number): boolean {
  return seek(fd, offset, Whence.SEEK_SET) !== -Errno.EINVAL;
}

/**
 * Finds the next range that may hold data.
 *
 * @param end Byte behind the last one that is of interest.
 * @returns `null` if all from `offset` to `end` is a hole, which reads as zeros. Where holes cannot
 *   be told from data, as on devices, everything is data.
 */
export function nextDataRange(
  fd: number,
  offset: number,
  end: number,
): { start: number; end: number } | null {
  const start = seek(fd, offset, Whence.SEEK_DATA);
  if (start === -Errno.ENXIO || start >= end) return null;
  if (start < 0) return { start: offset, end };
  const hole = seek(fd, start, Whence.SEEK_HOLE);
  return { start, end: hole < 0 ? end : Math.min(hole, end) };
}

/** @returns The offset, or the negative errno. */
function seek(fd: number, offset: number, whence: number): number {
  const result = Number(libc().lseek(fd, BigInt(offset), whence));
  return result < 0 ? -lastErrno() : result;
}
