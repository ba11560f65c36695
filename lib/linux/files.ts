/**
 * Opens, reads, writes and flushes files by descriptor.
 *
 * @module
 */

import { cString, lastErrno, libc, requireOffset } from "./libc.ts";
import { Errno, osError, retryOnEintr } from "./errno.ts";

/** Flags of `open`. Source: asm-generic/fcntl.h; aarch64's asm/fcntl.h has another O_DIRECT. */
export const OpenFlag = {
  O_RDONLY: 0,
  O_WRONLY: 0o1,
  O_RDWR: 0o2,
  /** Mask of the three above. */
  O_ACCMODE: 0o3,
  O_CREAT: 0o100,
  O_EXCL: 0o200,
  O_NOCTTY: 0o400,
  O_TRUNC: 0o1000,
  O_APPEND: 0o2000,
  O_NONBLOCK: 0o4000,
  O_DIRECT: Deno.build.arch === "aarch64" ? 0o200000 : 0o40000,
  O_CLOEXEC: 0o2000000,
} as const;

/** Parameter of `sysconf`. Source: bits/confname.h of glibc. */
const _SC_PAGESIZE = 30;

/** Bytes of a page of memory, and so of the page cache: 4096, or up to 64 KiB on aarch64. */
export function pageBytes(): number {
  return Number(libc.sysconf(_SC_PAGESIZE));
}

/** Pages of WebAssembly memory. */
const WASM_PAGE_BYTES = 65_536;

/**
 * Makes a buffer that begins on a page boundary, as direct reads and writes (O_DIRECT) require; an
 * ArrayBuffer begins wherever `malloc` has room.
 *
 * @param bytes Least length.
 * @returns Zeros, rounded up to 64 KiB. Without a maximum, V8 would reserve 4 GiB of address space.
 */
export function directBuffer(bytes: number): Uint8Array<ArrayBuffer> {
  const pages = Math.ceil(bytes / WASM_PAGE_BYTES);
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages });
  return new Uint8Array(buffer as ArrayBuffer);
}

const ZERO_BUFFER_BYTES = 1_048_576;

let zeroBuffer: Uint8Array<ArrayBuffer> | undefined;

/**
 * Returns zeros to write, directly too: at most `limit` bytes, and at most 1 MiB. They are shared:
 * read only.
 *
 * @param offset Where in a file they go: they lie as far behind a page boundary in memory.
 */
export function zeroBytes(limit: number, offset = 0): Uint8Array<ArrayBuffer> {
  zeroBuffer ??= directBuffer(ZERO_BUFFER_BYTES);
  const start = offset % WASM_PAGE_BYTES;
  return zeroBuffer.subarray(start, Math.min(start + limit, ZERO_BUFFER_BYTES));
}

/** Advice of `posix_fadvise`. Source: linux/fadvise.h. */
export const FileAdvice = { WILLNEED: 3, DONTNEED: 4 } as const;

/**
 * Opens a file; the descriptor is close-on-exec.
 *
 * @param flags Or-ed {@linkcode OpenFlag}s.
 * @param mode Permission bits of a file that is created.
 * @returns A file descriptor, owned by the caller; {@linkcode closeFd} ends it.
 * @throws {OsError} On any failure but EINTR.
 */
export function openFd(path: string, flags: number, mode = 0o666): number {
  const name = cString(path);
  return retryOnEintr(
    () => libc.open(name, flags | OpenFlag.O_CLOEXEC, mode),
    { syscall: "open", path },
  );
}

/**
 * Closes a descriptor.
 *
 * @throws {OsError} If the file system reports a late write error, or the descriptor is not open.
 *   The descriptor is gone in either case (Linux frees it first), so there is nothing to retry on
 *   EINTR.
 */
export function closeFd(fd: number, path = ""): void {
  if (libc.close(fd) >= 0) return;
  const errno = lastErrno();
  if (errno !== Errno.EINTR) throw osError(errno, { syscall: "close", path });
}

/**
 * Closes a descriptor and ignores errors: for descriptors that nothing was written to, and for
 * cleanup, where an error of `close` would hide the one that matters. (With a server gone, each
 * `close` fails.)
 */
export function releaseFd(fd: number): void {
  libc.close(fd);
}

/**
 * Reads at the descriptor's position until the buffer is full or the file ends.
 *
 * @param view Where to; may be a view of wasm or shared memory, but not a detached one.
 * @returns Number of bytes read; less than `view.length` only at the end of the file.
 * @throws {OsError} On any failure but EINTR.
 */
export function readFull(fd: number, view: Uint8Array<ArrayBuffer>, path = ""): number {
  return fill(view, path, (rest) => libc.read(fd, rest, BigInt(rest.length)));
}

/**
 * Reads at an offset until the buffer is full or the file ends. The descriptor's position is
 * neither used nor moved, so threads can share the descriptor.
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
    (rest, done) => libc.pread(fd, rest, BigInt(rest.length), BigInt(offset + done)),
  );
}

/** @param read Reads into the rest of the buffer, behind the `done` bytes that are full already. */
function fill(
  view: Uint8Array<ArrayBuffer>,
  path: string,
  read: (rest: Uint8Array<ArrayBuffer>, done: number) => bigint,
): number {
  let done = 0;
  while (done < view.length) {
    const rest = done === 0 ? view : view.subarray(done);
    const count = retryOnEintr(() => Number(read(rest, done)), { syscall: "read", path });
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
  return countWritten(() => libc.write(fd, view, BigInt(view.length)), view, path);
}

/**
 * Writes some bytes at an offset, at least one; the descriptor's position stays.
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
  return countWritten(
    () => libc.pwrite(fd, view, BigInt(view.length), BigInt(offset)),
    view,
    path,
  );
}

function countWritten(write: () => bigint, view: Uint8Array, path: string): number {
  const count = retryOnEintr(() => Number(write()), { syscall: "write", path });
  if (count === 0 && view.length > 0) throw osError(Errno.EIO, { syscall: "write", path });
  return count;
}

/** Writes all bytes at the descriptor's position. @throws {OsError} On any failure but EINTR. */
export function writeAll(fd: number, bytes: Uint8Array<ArrayBuffer>, path: string): void {
  for (let done = 0; done < bytes.length;) done += writeSome(fd, bytes.subarray(done), path);
}

/** Flushes a file, or a directory's entries, to its device. @throws {OsError} If that failed. */
export function fsyncFd(fd: number, path = ""): void {
  retryOnEintr(() => libc.fsync(fd), { syscall: "flush", path });
}

/** Flushes a file's data to its device. @throws {OsError} If write-back failed, now or earlier. */
export function fdatasyncFd(fd: number, path = ""): void {
  retryOnEintr(() => libc.fdatasync(fd), { syscall: "flush", path });
}

/**
 * Advises the kernel about a whole file's pages. Advice affects speed only, so errors are ignored.
 *
 * @param advice One of {@linkcode FileAdvice}.
 */
export function adviseFd(fd: number, advice: number): void {
  libc.posix_fadvise(fd, 0n, 0n, advice);
}

/**
 * Pages are kept in folios of up to this size (x86_64 and aarch64 with pages of 4 KiB); also a
 * multiple of a page of 64 KiB.
 */
const FOLIO_BYTES = 2_097_152;

/**
 * Drops a range's clean pages from the page cache, so that it is read from the storage the next
 * time. Some pages beside it go too.
 */
export function dropCachedPages(fd: number, offset: number, length: number): void {
  // The kernel keeps pages and folios that lie in the range only in part (posix_fadvise(2)).
  const start = Math.floor(offset / FOLIO_BYTES) * FOLIO_BYTES;
  const end = Math.ceil((offset + length) / FOLIO_BYTES) * FOLIO_BYTES;
  libc.posix_fadvise(fd, BigInt(start), BigInt(end - start), FileAdvice.DONTNEED);
}

/**
 * Asks for huge pages behind memory that was not touched yet: each takes one fault instead of 512.
 * Advice affects speed only, so errors are ignored.
 *
 * @param view Begins on a page boundary.
 */
export function adviseHugePages(view: Uint8Array): void {
  const MADV_HUGEPAGE = 14; // asm-generic/mman-common.h
  libc.madvise(view as Uint8Array<ArrayBuffer>, BigInt(view.length), MADV_HUGEPAGE);
}

/**
 * Runs a function while files that the process makes get no mode bits of a mask. The mask is the
 * process's, so no other thread should make files meanwhile.
 */
export function withUmask<T>(mask: number, run: () => T): T {
  const before = libc.umask(mask);
  try {
    return run();
  } finally {
    libc.umask(before);
  }
}
