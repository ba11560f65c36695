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

import { Errno, lastErrno, osError, prepareErrno } from "./errno.ts";

const spliceSymbols = {
  mmap: {
    parameters: [
      "pointer", // void *addr
      "usize", // size_t length
      "i32", // int prot
      "i32", // int flags
      "i32", // int fd
      "i64", // off_t offset
    ],
    result: "usize", // void *, MAP_FAILED is -1
  },
  vmsplice: {
    parameters: [
      "i32", // int fd
      "buffer", // const struct iovec *iov
      "usize", // size_t nr_segs
      "u32", // unsigned int flags
    ],
    result: "isize", // ssize_t
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** Bytes of zeros that one call can give. */
export const SPLICE_MAX_BYTES = 1_048_576;

let symbols: Deno.StaticForeignLibraryInterface<typeof spliceSymbols> | undefined;
/** `struct iovec { void *iov_base; size_t iov_len; }`, source: sys/uio.h. */
const iovec = new BigUint64Array(2);
const iovecBytes = new Uint8Array(iovec.buffer);

/** Maps the zeros of this thread; they are given back when the process ends. */
function open(): Deno.StaticForeignLibraryInterface<typeof spliceSymbols> {
  if (symbols) return symbols;
  const opened = Deno.dlopen("libc.so.6", spliceSymbols).symbols;
  prepareErrno();
  const PROT_READ = 1, MAP_PRIVATE = 2, MAP_ANONYMOUS = 0x20;
  const length = BigInt(SPLICE_MAX_BYTES);
  const address = opened.mmap(null, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
  if (BigInt.asIntN(64, address) === -1n) {
    throw osError(lastErrno(), { syscall: "mmap", path: "" });
  }
  iovec[0] = address;
  return symbols = opened;
}

/**
 * Puts zeros into a pipe, at least one; waits for room unless the pipe is nonblocking.
 *
 * @param bytes How many, >= 1; no more than {@linkcode SPLICE_MAX_BYTES} are put at once.
 * @returns The number put, or the negative errno: EBADF where `fd` is no pipe, EAGAIN, EPIPE.
 * @throws {OsError} If there is no room for the mapping.
 */
export function trySpliceZeros(fd: number, bytes: number): number {
  const { vmsplice } = open();
  iovec[1] = BigInt(Math.min(bytes, SPLICE_MAX_BYTES));
  for (;;) {
    const count = Number(vmsplice(fd, iovecBytes, 1n, 0));
    if (count > 0) return count;
    const errno = count < 0 ? lastErrno() : Errno.EIO;
    if (errno !== Errno.EINTR) return -errno;
  }
}
