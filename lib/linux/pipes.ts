/**
 * Pipes: making and reading them, their capacity, and zeros that go into them without being copied.
 *
 * `vmsplice` puts references to pages into a pipe. Such a page must not change until it was read,
 * and nobody can tell when that is (a reader may pass the reference on). The pages spliced here
 * cannot change: their mapping is read-only, never written before and never unmapped, so that all
 * of it is the kernel's one page of zeros. Nothing else is ever spliced.
 *
 * @module
 */

import { Errno, osError, retryOnEintr } from "./errno.ts";
import { OpenFlag } from "./files.ts";
import { lastErrno, libc } from "./libc.ts";
import { readTextOrNull } from "./paths.ts";

/** Commands of `fcntl`. Source: linux/fcntl.h. */
const F_SETPIPE_SZ = 1031, F_GETPIPE_SZ = 1032;

/**
 * Enlarges a pipe's capacity as far as allowed; never makes it smaller. Does nothing to what is not
 * a pipe.
 *
 * @param bytes Wanted capacity.
 */
export function enlargePipe(fd: number, bytes: number): void {
  const before = tryPipeBytes(fd);
  if (before < 0 || before >= bytes) return;
  if (trySetPipeBytes(fd, bytes) !== -Errno.EPERM) return;
  const limit = Number(readTextOrNull("/proc/sys/fs/pipe-max-size") ?? 0);
  if (limit > before && limit < bytes) trySetPipeBytes(fd, limit);
}

/**
 * Asks for a pipe's capacity to be set.
 *
 * @param bytes Wanted capacity; an unprivileged process may not exceed /proc/sys/fs/pipe-max-size.
 * @returns The capacity that was set, or the negative errno (EBADF: not a pipe, EPERM: too large).
 */
export function trySetPipeBytes(fd: number, bytes: number): number {
  const result = libc.fcntl(fd, F_SETPIPE_SZ, BigInt(bytes));
  return result >= 0 ? result : -lastErrno();
}

/** Returns a pipe's capacity in bytes, or the negative errno (EBADF: not a pipe). */
export function tryPipeBytes(fd: number): number {
  const result = libc.fcntl(fd, F_GETPIPE_SZ, 0n);
  return result >= 0 ? result : -lastErrno();
}

/**
 * Makes a pipe whose ends do not block, and are not passed on to other programs.
 *
 * @returns Its ends, owned by the caller.
 * @throws {OsError} If there are no descriptors left.
 */
export function openPipe(): { readFd: number; writeFd: number } {
  const ends = new Int32Array(2);
  const flags = OpenFlag.O_CLOEXEC | OpenFlag.O_NONBLOCK;
  const call = { syscall: "pipe2", path: "" };
  retryOnEintr(() => libc.pipe2(new Uint8Array(ends.buffer), flags), call);
  return { readFd: ends[0]!, writeFd: ends[1]! };
}

/**
 * Reads what there is from a pipe that does not block.
 *
 * @param view Where to; owned by the caller.
 * @returns Number of bytes; 0 if all writers are gone, -1 if there is nothing to read now.
 * @throws {OsError} On any other failure.
 */
export function tryRead(fd: number, view: Uint8Array<ArrayBuffer>): number {
  const count = Number(libc.read(fd, view, BigInt(view.length)));
  if (count >= 0) return count;
  const errno = lastErrno();
  if (errno === Errno.EAGAIN || errno === Errno.EINTR) return -1;
  throw osError(errno, { syscall: "read", path: "" });
}

/**
 * Writes to a pipe that does not block.
 *
 * @returns Number of bytes written, of up to 4096 all or none; or the negative errno: EAGAIN if
 *   there is no room now, EPIPE if all readers are gone.
 */
export function tryWrite(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  const count = Number(libc.write(fd, bytes, BigInt(bytes.length)));
  return count >= 0 ? count : -lastErrno();
}

/** Bytes of zeros that one call can give. */
export const SPLICE_MAX_BYTES = 1_048_576;

/** `struct iovec { void *iov_base; size_t iov_len; }`, source: sys/uio.h. */
const iovec = new BigUint64Array(2);
const iovecBytes = new Uint8Array(iovec.buffer);

let isMapped = false;

/** Maps this thread's zeros; the mapping ends with the process. */
function mapZeros(): void {
  if (isMapped) return;
  const PROT_READ = 1, MAP_PRIVATE = 2, MAP_ANONYMOUS = 0x20;
  const length = BigInt(SPLICE_MAX_BYTES);
  const address = libc.mmap(null, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
  if (BigInt.asIntN(64, address) === -1n) {
    throw osError(lastErrno(), { syscall: "mmap", path: "" });
  }
  iovec[0] = address;
  isMapped = true;
}

/**
 * Puts zeros into a pipe, at least one; waits for room unless the pipe is nonblocking.
 *
 * @param bytes How many, >= 1; one call puts {@linkcode SPLICE_MAX_BYTES} at most.
 * @returns The number put, or the negative errno: EBADF if `fd` is not a pipe, EAGAIN, EPIPE.
 * @throws {OsError} If there is no room for the mapping.
 */
export function trySpliceZeros(fd: number, bytes: number): number {
  mapZeros();
  iovec[1] = BigInt(Math.min(bytes, SPLICE_MAX_BYTES));
  for (;;) {
    const count = Number(libc.vmsplice(fd, iovecBytes, 1n, 0));
    if (count > 0) return count;
    const errno = count < 0 ? lastErrno() : Errno.EIO;
    if (errno !== Errno.EINTR) return -errno;
  }
}
