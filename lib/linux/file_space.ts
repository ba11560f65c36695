/**
 * How long a file is, which ranges of it hold data, and how much room its file system has.
 *
 * {@linkcode resizeFd} and {@linkcode allocateFd} can take long on some file systems, so they run
 * on another thread while the event loop goes on. The descriptor must stay open until the promise
 * settles, because its number could be another file's by the time of the call. A nonblocking call
 * loses its errno, so a call that failed is made once more on this thread: it fails again at once
 * for the same reason, or does what was left to do.
 *
 * @module
 */

import { Errno, osError, retryOnEintr } from "./errno.ts";
import { cString, lastErrno, libc, requireOffset } from "./libc.ts";

/** Modes of `fallocate`; 0 allocates. Source: linux/falloc.h. */
export const FallocateMode = {
  KEEP_SIZE: 0x01,
  PUNCH_HOLE: 0x02,
  ZERO_RANGE: 0x10,
} as const;

/** Values of `whence`. Source: unistd.h of glibc. */
export const Whence = { SEEK_SET: 0, SEEK_END: 2, SEEK_DATA: 3, SEEK_HOLE: 4 } as const;

/** Sets a file's size in bytes. @throws {OsError} On any failure but EINTR. */
export function truncateFd(fd: number, size: number, path = ""): void {
  requireOffset("size", size);
  retryOnEintr(() => libc.ftruncate(fd, BigInt(size)), { syscall: "truncate", path });
}

/** {@linkcode truncateFd} on another thread. @throws {OsError} On any failure but EINTR. */
export async function resizeFd(fd: number, size: number, path = ""): Promise<void> {
  requireOffset("size", size);
  if (await libc.ftruncateAsync(fd, BigInt(size)) !== 0) truncateFd(fd, size, path);
}

/**
 * Allocates, punches or zeroes a range, by mode.
 *
 * @param mode Or-ed {@linkcode FallocateMode}s.
 * @param range.offset First byte.
 * @param range.length Number of bytes, > 0.
 * @returns 0, or the positive errno: callers fall back on EOPNOTSUPP and the like.
 */
export function tryFallocate(
  fd: number,
  mode: number,
  range: { offset: number; length: number },
): number {
  requireOffset("offset", range.offset);
  requireOffset("length", range.length);
  for (;;) {
    if (libc.fallocate(fd, mode, BigInt(range.offset), BigInt(range.length)) === 0) return 0;
    const errno = lastErrno();
    if (errno !== Errno.EINTR) return errno;
  }
}

/**
 * Allocates a range of a file on another thread; the file grows if the range ends beyond its end.
 *
 * @param range.length Number of bytes, > 0.
 * @returns 0, or the positive errno: callers fall back on EOPNOTSUPP and the like.
 */
export async function allocateFd(
  fd: number,
  range: { offset: number; length: number },
): Promise<number> {
  requireOffset("offset", range.offset);
  requireOffset("length", range.length);
  const { offset, length } = range;
  const result = await libc.fallocateAsync(fd, 0, BigInt(offset), BigInt(length));
  return result === 0 ? 0 : tryFallocate(fd, 0, range);
}

/**
 * Returns the length of what is open, in bytes. @throws {OsError} If it has no length, such as a
 * FIFO (ESPIPE).
 */
export function lengthOfFd(fd: number, path = ""): number {
  const end = seek(fd, 0, Whence.SEEK_END);
  if (end < 0) throw osError(-end, { syscall: "lseek", path });
  return end;
}

/**
 * Tells whether a file may be that long, as far as the kernel knows: it moves no descriptor beyond
 * the longest file that the file system allows (`generic_file_llseek_size` in fs/read_write.c).
 */
export function canSeekTo(fd: number, offset: number): boolean {
  return seek(fd, offset, Whence.SEEK_SET) !== -Errno.EINVAL;
}

/**
 * Finds the next range that may hold data.
 *
 * @param end First byte behind the range of interest.
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
  const result = Number(libc.lseek(fd, BigInt(offset), whence));
  return result < 0 ? -lastErrno() : result;
}

/** Byte offsets in `struct statfs` of 64-bit machines (asm-generic/statfs.h), all of 8 bytes. */
export const STATFS = {
  f_type: 0,
  f_bsize: 8,
  f_blocks: 16,
  f_bfree: 24,
  f_bavail: 32,
  f_frsize: 72,
  bytes: 120,
} as const;

/** Kinds of file systems. Source: linux/magic.h, for JFS statfs(2). */
export const FileSystemMagic = {
  EXT2_TO_4: 0xef53,
  XFS: 0x58465342,
  TMPFS: 0x01021994,
  FAT: 0x4d44,
  EXFAT: 0x2011bab0,
  JFS: 0x3153464a,
  NFS: 0x6969,
  SMB: 0x517b,
  CIFS: 0xff534d42,
  SMB2: 0xfe534d42,
} as const;

/** What `statfs` tells of a file system. */
export interface FileSystemSpace {
  /** Its kind: one of {@linkcode FileSystemMagic} or another number. */
  readonly magic: number;
  /** Its blocks in bytes; network file systems give the size that they prefer to transfer. */
  readonly blockBytes: number;
  /** Its size in bytes; 0 on file systems that keep no count, such as a tmpfs without a limit. */
  readonly totalBytes: number;
  /** What root may still allocate, in bytes: some file systems keep a reserve. */
  readonly freeBytes: number;
  /** What all others may still allocate, in bytes. */
  readonly availableBytes: number;
}

/**
 * Asks how full a file system is.
 *
 * @param at Path of any file or directory on it, or a descriptor.
 * @throws {OsError} On any failure but EINTR.
 */
export function fileSystemSpace(at: string | number): FileSystemSpace {
  const result = new Uint8Array(new ArrayBuffer(STATFS.bytes));
  const name = typeof at === "string" ? cString(at) : null;
  retryOnEintr(
    () => name === null ? libc.fstatfs(at as number, result) : libc.statfs(name, result),
    { syscall: "statfs", path: typeof at === "string" ? at : "" },
  );
  const fields = new DataView(result.buffer);
  const field = (offset: number) => fields.getBigUint64(offset, true);
  const unitBytes = field(STATFS.f_frsize) || field(STATFS.f_bsize);
  const bytes = (offset: number) => Number(field(offset) * unitBytes);
  return {
    magic: Number(BigInt.asUintN(32, field(STATFS.f_type))),
    blockBytes: Number(field(STATFS.f_bsize)),
    totalBytes: bytes(STATFS.f_blocks),
    freeBytes: bytes(STATFS.f_bfree),
    availableBytes: bytes(STATFS.f_bavail),
  };
}
