/**
 * Flushes a file without blocking the calling thread, and with an error number that can be trusted.
 *
 * Flushing many dirty gigabytes takes minutes, in which the caller's timers and signal handlers
 * must run. A `nonblocking` FFI call of `fdatasync` would lose its errno (it is set on another
 * thread), and asking again does not help: the kernel reports a write-back error once for each open
 * file. POSIX AIO fits: the C library calls `fdatasync` on a thread of its own, all signals blocked
 * and EINTR retried, and `aio_error` hands over the error number as its result.
 *
 * @module
 */

import { Errno, osError } from "./errno.ts";
import { fdatasyncFd } from "./files.ts";
import { lastErrno, libc } from "./libc.ts";

/**
 * Byte offsets in `struct aiocb` of glibc for 64-bit machines (aio.h, bits/types/sigevent_t.h),
 * checked against the compiler's in a test.
 */
export const AIOCB_LAYOUT = {
  aio_fildes: 0,
  aio_buf: 16,
  aio_nbytes: 24,
  sigev_notify: 44,
  aio_offset: 128,
  bytes: 168,
} as const;

/** Value of `sigev_notify`: the end is asked for. Source: bits/sigevent-consts.h. */
export const SIGEV_NONE = 1;

/** Operation of `aio_fsync`. Source: asm-generic/fcntl.h. */
const O_DSYNC = 0o10000;

/** Longest pause between two looks at a running flush, so the longest delay of noticing its end. */
const MAX_POLL_MS = 20;

/** Control blocks of running flushes, which the C library writes to: kept from collection here. */
const pinned = new Set<Uint8Array<ArrayBuffer>>();

/**
 * Flushes a file's data to its device, as `fdatasync` does, while the event loop goes on.
 *
 * @param fd Descriptor that is open for writing; it must stay open until the promise settles.
 * @throws {OsError} If write-back failed, now or earlier.
 */
export async function flushFd(fd: number, path = ""): Promise<void> {
  const block = new Uint8Array(new ArrayBuffer(AIOCB_LAYOUT.bytes));
  const fields = new DataView(block.buffer);
  fields.setInt32(AIOCB_LAYOUT.aio_fildes, fd, true);
  fields.setInt32(AIOCB_LAYOUT.sigev_notify, SIGEV_NONE, true);
  const pointer = Deno.UnsafePointer.of(block);
  if (libc.aio_fsync(O_DSYNC, pointer) !== 0) {
    const errno = lastErrno();
    // No thread can be started for it: a flush that blocks is better than none.
    if (errno === Errno.EAGAIN || errno === Errno.ENOSYS) return fdatasyncFd(fd, path);
    throw osError(errno, { syscall: "flush", path });
  }
  pinned.add(block);
  let pollMs = 1;
  let errno = libc.aio_error(pointer);
  while (errno === Errno.EINPROGRESS) {
    await new Promise((resolve) => setTimeout(resolve, pollMs));
    pollMs = Math.min(pollMs * 2, MAX_POLL_MS);
    errno = libc.aio_error(pointer);
  }
  libc.aio_return(pointer);
  pinned.delete(block);
  if (errno !== 0) throw osError(errno, { syscall: "flush", path });
}
