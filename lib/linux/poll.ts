/**
 * Waits for descriptors: on this thread for a limited time, or on another one for as long as it
 * takes.
 *
 * @module
 */

import { Errno, lastErrno, osError } from "./errno.ts";
import { libc } from "./libc_symbols.ts";

/**
 * Byte offsets in the kernel's `struct pollfd` (asm-generic/poll.h), checked against the compiler's
 * in a test.
 */
export const POLLFD = { fd: 0, events: 4, revents: 6, bytes: 8 } as const;

/**
 * Waits until a descriptor takes bytes, or has failed in a way that the next write reports.
 *
 * @param timeoutMs Longest wait, >= 0.
 * @returns `false` if the time ran out.
 * @throws {OsError} On any failure but EINTR, which counts as a wait that ran out.
 */
export function pollWritable(fd: number, timeoutMs: number, path = ""): boolean {
  const POLLOUT = 4;
  const ready = libc().poll(pollfd(fd, POLLOUT), 1n, timeoutMs);
  if (ready >= 0) return ready > 0;
  const errno = lastErrno();
  if (errno !== Errno.EINTR) throw osError(errno, { syscall: "poll", path });
  return false;
}

/** Arguments of calls under way: Deno 2.6 keeps none of a nonblocking call from collection. */
const polled = new Set<Uint8Array>();

/**
 * Waits, on another thread, until a descriptor can be read from or has failed, or for no reason at
 * all: reading tells.
 */
export async function waitReadable(fd: number): Promise<void> {
  const POLLIN = 1;
  const argument = pollfd(fd, POLLIN);
  polled.add(argument);
  try {
    await libc().pollAsync(argument, 1n, -1);
  } finally {
    polled.delete(argument);
  }
}

/** A `struct pollfd`. */
function pollfd(fd: number, events: number): Uint8Array<ArrayBuffer> {
  const struct = new Uint8Array(new ArrayBuffer(POLLFD.bytes));
  const fields = new DataView(struct.buffer);
  fields.setInt32(POLLFD.fd, fd, true);
  fields.setInt16(POLLFD.events, events, true);
  return struct;
}
