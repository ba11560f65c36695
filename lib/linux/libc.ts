/**
 * The C library's file calls, opened on first use. Every wrapper checks what FFI does not (lengths,
 * signs, short transfers, EINTR), returns plain numbers and throws {@linkcode OsError}.
 *
 * All calls are synchronous and block the calling thread; each thread (isolate) has its own symbol
 * objects, file descriptors are the process's. Constants and struct layouts are those of x86_64 and
 * aarch64 Linux with glibc (asm-generic headers); where the two differ it is said.
 *
 * @module
 */

import { Errno, lastErrno, osError } from "./errno.ts";
import { libc } from "./libc_symbols.ts";
import { cString } from "./memory.ts";

/** Flags of `open`. Source: asm-generic/fcntl.h; aarch64's asm/fcntl.h has another O_DIRECT. */
export const OpenFlag = {
  O_RDONLY: 0,
  O_WRONLY: 0o1,
  O_RDWR: 0o2,
  O_CREAT: 0o100,
  O_EXCL: 0o200,
  O_NOCTTY: 0o400,
  O_TRUNC: 0o1000,
  O_NONBLOCK: 0o4000,
  O_DIRECT: Deno.build.arch === "aarch64" ? 0o200000 : 0o40000,
  O_CLOEXEC: 0o2000000,
} as const;

/** Modes of `fallocate`; 0 allocates. Source: linux/falloc.h. */
export const FallocateMode = {
  KEEP_SIZE: 0x01,
  PUNCH_HOLE: 0x02,
  ZERO_RANGE: 0x10,
} as const;

/** Advice of `posix_fadvise`. Source: linux/fadvise.h. */
export const FileAdvice = { WILLNEED: 3, DONTNEED: 4 } as const;

/** Operations of `flock`. Source: asm-generic/fcntl.h. */
export const FlockOperation = { LOCK_SH: 1, LOCK_EX: 2, LOCK_NB: 4, LOCK_UN: 8 } as const;

/** Requests of `ioctl`. Source: linux/fs.h. */
export const Ioctl = {
  /** Size of a block device in bytes, into a u64. */
  BLKGETSIZE64: 0x80081272,
  /** Logical sector size in bytes, into an int. */
  BLKSSZGET: 0x1268,
} as const;

/** Modes of `access`. Source: unistd.h. */
export const AccessMode = { W_OK: 2 } as const;

/**
 * Opens the C library for the calling thread, which the first call does otherwise: what that lacks
 * is to show early.
 */
export function openLibc(): void {
  libc();
}

/** Throws unless the number is a whole one that C can take as a non-negative `off_t`. */
export function requireOffset(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`Cannot pass ${name} to C: it must be a whole number >= 0, not ${value}`);
  }
}

/**
 * Opens a file; the descriptor is close-on-exec.
 *
 * @param flags Or-ed {@linkcode OpenFlag}s.
 * @param mode Permission bits of a file that is created.
 * @returns A file descriptor, owned by the caller; {@linkcode closeFd} ends it.
 * @throws {OsError} On any failure.
 */
export function openFd(path: string, flags: number, mode = 0o666): number {
  const name = cString(path);
  for (;;) {
    const fd = libc().open(name, flags | OpenFlag.O_CLOEXEC, mode);
    if (fd >= 0) return fd;
    const errno = lastErrno();
    if (errno !== Errno.EINTR) throw osError(errno, { syscall: "open", path });
  }
}

/**
 * Closes a descriptor.
 *
 * @throws {OsError} If the file system reports a late write error, or the descriptor is not open.
 *   The descriptor is gone in either case (Linux frees it first), so there is nothing to retry on
 *   EINTR.
 */
export function closeFd(fd: number, path = ""): void {
  if (libc().close(fd) >= 0) return;
  const errno = lastErrno();
  if (errno !== Errno.EINTR) throw osError(errno, { syscall: "close", path });
}

/**
 * Closes a descriptor by which nothing was written, or after another failure. What the file system
 * has to say to that (one whose server is gone fails each close) is of no use, and would hide the
 * failure that is.
 */
export function releaseFd(fd: number): void {
  libc().close(fd);
}

/**
 * Reads until the buffer is full or the file ends.
 *
 * @param view Where to; may be a view of wasm or shared memory, but not a detached one.
 * @returns Number of bytes read; less than `view.length` only at the end of the file.
 * @throws {OsError} On any failure but EINTR.
 */
export function readFull(fd: number, view: Uint8Array<ArrayBuffer>, path = ""): number {
  return fill(view, path, (rest) => libc().read(fd, rest, BigInt(rest.length)));
}

/**
 * Calls a function that reads until the buffer is full or nothing more comes.
 *
 * @param read Reads into the rest of the buffer, of which `done` bytes are full; returns the number
 *   of bytes, or -1 with errno.
 * @returns Number of bytes read.
 * @throws {OsError} On any failure but EINTR.
 */
export function fill(
  view: Uint8Array<ArrayBuffer>,
  path: string,
  read: (rest: Uint8Array<ArrayBuffer>, done: number) => number | bigint,
): number {
  let done = 0;
  while (done < view.length) {
    const rest = done === 0 ? view : view.subarray(done);
    const count = Number(read(rest, done));
    if (count < 0) {
      const errno = lastErrno();
      if (errno === Errno.EINTR) continue;
      throw osError(errno, { syscall: "read", path });
    }
    if (count === 0) break;
    done += count;
  }
  return done;
}

/**
 * Writes some bytes at the descriptor's position, at least one.
 *
 * @returns Number of bytes written, 1 to `view.length`.
 * @throws {OsError} On any failure but EINTR.
 */
export function writeSome(fd: number, view: Uint8Array<ArrayBuffer>, path = ""): number {
  for (;;) {
    const count = Number(libc().write(fd, view, BigInt(view.length)));
    if (count > 0 || view.length === 0) return count;
    const errno = count < 0 ? lastErrno() : Errno.EIO;
    if (errno !== Errno.EINTR) throw osError(errno, { syscall: "write", path });
  }
}

/**
 * Writes some bytes at an offset, at least one; the descriptor's own position stays.
 *
 * @returns Number of bytes written, 1 to `view.length`.
 * @throws {OsError} On any failure but EINTR.
 */
export function pwriteSome(
  fd: number,
  view: Uint8Array<ArrayBuffer>,
  offset: number,
  path = "",
): number {
  requireOffset("offset", offset);
  for (;;) {
    const count = Number(libc().pwrite(fd, view, BigInt(view.length), BigInt(offset)));
    if (count > 0 || view.length === 0) return count;
    const errno = count < 0 ? lastErrno() : Errno.EIO;
    if (errno !== Errno.EINTR) throw osError(errno, { syscall: "write", path });
  }
}

/** Sets a file's size in bytes. @throws {OsError} On any failure but EINTR. */
export function truncateFd(fd: number, size: number, path = ""): void {
  requireOffset("size", size);
  retryOnEintr(() => libc().ftruncate(fd, BigInt(size)), { syscall: "truncate", path });
}

/**
 * Allocates, punches or zeroes a byte range, by mode.
 *
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
    if (libc().fallocate(fd, mode, BigInt(range.offset), BigInt(range.length)) === 0) return 0;
    const errno = lastErrno();
    if (errno !== Errno.EINTR) return errno;
  }
}

/**
 * Advises the kernel about a whole file's pages. Advice that is not taken is no error: it changes
 * speed only.
 *
 * @param advice One of {@linkcode FileAdvice}.
 */
export function adviseFd(fd: number, advice: number): void {
  libc().posix_fadvise(fd, 0n, 0n, advice);
}

/**
 * Asks for huge pages behind memory that was not touched yet: they take one fault where others take
 * 512. Advice that is not taken is no error.
 *
 * @param view Begins on a page boundary.
 */
export function adviseHugePages(view: Uint8Array): void {
  const MADV_HUGEPAGE = 14; // asm-generic/mman-common.h
  libc().madvise(view as Uint8Array<ArrayBuffer>, BigInt(view.length), MADV_HUGEPAGE);
}

/** Flushes a file, or a directory's entries, to its device. @throws {OsError} If that failed. */
export function fsyncFd(fd: number, path = ""): void {
  retryOnEintr(() => libc().fsync(fd), { syscall: "flush", path });
}

/** Flushes a file's data to its device. @throws {OsError} If write-back failed, now or earlier. */
export function fdatasyncFd(fd: number, path = ""): void {
  retryOnEintr(() => libc().fdatasync(fd), { syscall: "flush", path });
}

/**
 * Tries to take or drop a `flock` without waiting.
 *
 * @param operation One of {@linkcode FlockOperation}; LOCK_NB is added.
 * @returns `false` if another process holds a conflicting lock.
 * @throws {OsError} On any other failure.
 */
export function tryFlock(fd: number, operation: number, path = ""): boolean {
  for (;;) {
    if (libc().flock(fd, operation | FlockOperation.LOCK_NB) === 0) return true;
    const errno = lastErrno();
    if (errno === Errno.EAGAIN) return false;
    if (errno !== Errno.EINTR) throw osError(errno, { syscall: "lock", path });
  }
}

/** Size of a block device in bytes. @throws {OsError} If `fd` is no block device. */
export function blockDeviceBytes(fd: number, path = ""): number {
  const result = new BigUint64Array(1);
  const argument = new Uint8Array(result.buffer);
  const request = BigInt(Ioctl.BLKGETSIZE64);
  retryOnEintr(() => libc().ioctl(fd, request, argument), { syscall: "ioctl", path });
  return Number(result[0]);
}

/** Logical block size of a block device in bytes. @throws {OsError} If `fd` is no block device. */
export function logicalBlockBytes(fd: number, path = ""): number {
  const result = new Int32Array(1);
  const argument = new Uint8Array(result.buffer);
  const request = BigInt(Ioctl.BLKSSZGET);
  retryOnEintr(() => libc().ioctl(fd, request, argument), { syscall: "ioctl", path });
  return result[0]!;
}

/**
 * Asks for a pipe's capacity to be set. Source: F_SETPIPE_SZ, fcntl(2).
 *
 * @param bytes Wanted capacity; an unprivileged process may not exceed /proc/sys/fs/pipe-max-size.
 * @returns The capacity that was set, or the negative errno (EBADF: not a pipe, EPERM: too large).
 */
export function trySetPipeBytes(fd: number, bytes: number): number {
  const F_SETPIPE_SZ = 1031;
  const result = libc().fcntl(fd, F_SETPIPE_SZ, BigInt(bytes));
  return result >= 0 ? result : -lastErrno();
}

/** Returns a pipe's capacity in bytes, or the negative errno (EBADF: not a pipe). */
export function tryPipeBytes(fd: number): number {
  const F_GETPIPE_SZ = 1032;
  const result = libc().fcntl(fd, F_GETPIPE_SZ, 0n);
  return result >= 0 ? result : -lastErrno();
}

/** Tells whether a descriptor was opened for writing. @throws {OsError} If it is not open. */
export function isWritableFd(fd: number, path = ""): boolean {
  return accessModeOf(fd, path) !== OpenFlag.O_RDONLY;
}

/** Tells whether a descriptor was opened for reading. @throws {OsError} If it is not open. */
export function isReadableFd(fd: number, path = ""): boolean {
  return accessModeOf(fd, path) !== OpenFlag.O_WRONLY;
}

function accessModeOf(fd: number, path: string): number {
  const F_GETFL = 3, O_ACCMODE = 0o3;
  const flags = retryOnEintr(() => libc().fcntl(fd, F_GETFL, 0n), { syscall: "fcntl", path });
  return flags & O_ACCMODE;
}

/** Tells whether a descriptor is a terminal. */
export function isTerminalFd(fd: number): boolean {
  return libc().isatty(fd) === 1;
}

/**
 * Asks whether this process may access a path.
 *
 * @param mode One of {@linkcode AccessMode}.
 * @returns 0, or the positive errno: EACCES, EROFS, ENOENT and so on.
 */
export function tryAccess(path: string, mode: number): number {
  const name = cString(path);
  return libc().access(name, mode) === 0 ? 0 : lastErrno();
}

/** Clears or sets O_NONBLOCK on a descriptor. @throws {OsError} On any failure. */
export function setNonblocking(fd: number, nonblocking: boolean, path = ""): void {
  const F_GETFL = 3, F_SETFL = 4;
  const flags = retryOnEintr(() => libc().fcntl(fd, F_GETFL, 0n), { syscall: "fcntl", path });
  const wanted = nonblocking ? flags | OpenFlag.O_NONBLOCK : flags & ~OpenFlag.O_NONBLOCK;
  if (wanted === flags) return;
  retryOnEintr(() => libc().fcntl(fd, F_SETFL, BigInt(wanted)), { syscall: "fcntl", path });
}

/**
 * Asks for the path of the working directory.
 *
 * @returns `null` if it was removed, lies outside of the root directory, or its name is not UTF-8;
 *   then the runtime cannot use it either.
 * @throws {OsError} On any other failure.
 */
export function tryWorkingDirectory(): string | null {
  // Longer than PATH_MAX, the longest that the kernel tells. Source: getcwd(2).
  const path = new Uint8Array(8192);
  if (libc().getcwd(path, BigInt(path.length)) === null) {
    const errno = lastErrno();
    if (errno === Errno.ENOENT) return null;
    throw osError(errno, { syscall: "find working directory", path: "" });
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return text.decode(path.subarray(0, path.indexOf(0)));
  } catch {
    return null;
  }
}

/** Enters a directory, with all threads. @throws {OsError} On any failure. */
export function changeDirectory(path: string): void {
  const name = cString(path);
  retryOnEintr(() => libc().chdir(name), { syscall: "enter directory", path });
}

function retryOnEintr(call: () => number, fields: { syscall: string; path: string }): number {
  for (;;) {
    const result = call();
    if (result >= 0) return result;
    const errno = lastErrno();
    if (errno !== Errno.EINTR) throw osError(errno, fields);
  }
}
