/**
 * Gives zeros to a pipe without copying: `vmsplice` puts references to pages into it.
 *
 * A page that a pipe refers to must not change until it was read, and nobody can tell when that is
 * (a reader may pass the reference on). These pages cannot change: the mapping is read-only, never
 * written before and never unmapped, so that all of it is the kernel's one page of zeros. Nothing
 * else is ever spliced.
 *
 * @module
 */

import { Errno, lastErrno, osError } from "./errno.ts";
import { libc } from "./libc_symbols.ts";

/** Bytes of zeros that one call can give. */
export const SPLICE_MAX_BYTES = 1_048_576;

/** `struct iovec { void *iov_base; size_t iov_len; }`, source: sys/uio.h. */
const iovec = new BigUint64Array(2);
const iovecBytes = new Uint8Array(iovec.buffer);

let isMapped = false;

/** Maps the zeros of this thread; they are given back when the process ends. */
function mapZeros(): void {
  if (isMapped) return;
  const PROT_READ = 1, MAP_PRIVATE = 2, MAP_ANONYMOUS = 0x20;
  const length = BigInt(SPLICE_MAX_BYTES);
  const address = libc().mmap(null, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
  if (BigInt.asIntN(64, address) === -1n) {
    throw osError(lastErrno(), { syscall: "mmap", path: "" });
  }
  iovec[0] = address;
  isMapped = true;
}

/**
 * Puts zeros into a pipe, at least one; waits for room unless the pipe is nonblocking.
 *
 * @param bytes How many, >= 1; no more than {@linkcode SPLICE_MAX_BYTES} are put at once.
 * @returns The number put, or the negative errno: EBADF where `fd` is no pipe, EAGAIN, EPIPE.
 * @throws {OsError} If there is no room for the mapping.
 */
export function trySpliceZeros(fd: number, bytes: number): number {
  mapZeros();
  iovec[1] = BigInt(Math.min(bytes, SPLICE_MAX_BYTES));
  for (;;) {
    const count = Number(libc().vmsplice(fd, iovecBytes, 1n, 0));
    if (count > 0) return count;
    const errno = count < 0 ? lastErrno() : Errno.EIO;
    if (errno !== Errno.EINTR) return -errno;
  }
}
