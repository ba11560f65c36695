/**
 * Descriptors: how one was opened, whether it is a terminal, and waiting until it is ready.
 *
 * @module
 */

import { Errno, osError, retryOnEintr } from "./errno.ts";
import { openFd, OpenFlag, releaseFd } from "./files.ts";
import { fdPath, linkOrNull, listNames } from "./paths.ts";
import { lastErrno, libc } from "./libc.ts";

/** Commands of `fcntl`. Source: asm-generic/fcntl.h. */
const F_SETFD = 2, F_GETFL = 3, F_SETFL = 4;

/** Tells whether a descriptor was opened for writing. @throws {OsError} If it is not open. */
export function isWritableFd(fd: number, path = ""): boolean {
  return accessModeOf(fd, path) !== OpenFlag.O_RDONLY;
}

/** Tells whether a descriptor was opened for reading. @throws {OsError} If it is not open. */
export function isReadableFd(fd: number, path = ""): boolean {
  return accessModeOf(fd, path) !== OpenFlag.O_WRONLY;
}

function accessModeOf(fd: number, path: string): number {
  return flagsOf(fd, path) & OpenFlag.O_ACCMODE;
}

function flagsOf(fd: number, path: string): number {
  return retryOnEintr(() => libc.fcntl(fd, F_GETFL, 0n), { syscall: "fcntl", path });
}

/** Clears or sets O_NONBLOCK on a descriptor. @throws {OsError} On any failure. */
export function setNonblocking(fd: number, nonblocking: boolean, path = ""): void {
  const flags = flagsOf(fd, path);
  const wanted = nonblocking ? flags | OpenFlag.O_NONBLOCK : flags & ~OpenFlag.O_NONBLOCK;
  if (wanted === flags) return;
  retryOnEintr(() => libc.fcntl(fd, F_SETFL, BigInt(wanted)), { syscall: "fcntl", path });
}

/** Makes another descriptor that leads to where `fd` does; `null` if the system gives none. */
export function duplicateFd(fd: number): number | null {
  const F_DUPFD_CLOEXEC = 1030; // linux/fcntl.h
  const duplicate = libc.fcntl(fd, F_DUPFD_CLOEXEC, 0n);
  return duplicate < 0 ? null : duplicate;
}

/** Makes `fd` lead to where `to` leads, for programs that are started too. @throws {OsError} */
export function redirectFd(fd: number, to: number): void {
  retryOnEintr(() => libc.dup2(to, fd), { syscall: "redirect descriptor", path: `${fd}` });
}

/**
 * Lets go of standard output, so that whoever reads it finds its end. Does nothing if standard
 * error leads to the same place. @throws {OsError} On any failure.
 */
export function giveUpStdout(): void {
  const placeOf = (fd: number) => linkOrNull(fdPath(fd));
  const place = placeOf(1);
  if (place === null || place === placeOf(2)) return;
  const nothing = openFd("/dev/null", OpenFlag.O_WRONLY);
  // The runtime has copies of what it was started with.
  for (const fd of listNames("/proc/self/fd").map(Number)) {
    if (fd !== 0 && placeOf(fd) === place) redirectFd(fd, nothing);
  }
  releaseFd(nothing);
}

/** Keeps a descriptor from programs that are started. @throws {OsError} If it is not open. */
export function setCloseOnExec(fd: number): void {
  const FD_CLOEXEC = 1n;
  retryOnEintr(() => libc.fcntl(fd, F_SETFD, FD_CLOEXEC), { syscall: "fcntl", path: "" });
}

/** Tells whether a descriptor is a terminal. */
export function isTerminalFd(fd: number): boolean {
  return libc.isatty(fd) === 1;
}

/**
 * Byte offsets in the kernel's `struct pollfd` (asm-generic/poll.h), checked against the compiler's
 * in a test.
 */
export const POLLFD = { fd: 0, events: 4, revents: 6, bytes: 8 } as const;

/** Events of `poll`. Source: asm-generic/poll.h. */
const POLLIN = 1, POLLOUT = 4;

/**
 * Waits until a descriptor takes bytes, or has failed in a way that the next write reports.
 *
 * @param timeoutMs Longest wait, >= 0.
 * @returns `false` if the time ran out.
 * @throws {OsError} On any failure but EINTR, which counts as a wait that ran out.
 */
export function pollWritable(fd: number, timeoutMs: number, path = ""): boolean {
  const ready = libc.poll(pollfd(fd, POLLOUT), 1n, timeoutMs);
  if (ready >= 0) return ready > 0;
  const errno = lastErrno();
  if (errno !== Errno.EINTR) throw osError(errno, { syscall: "poll", path });
  return false;
}

/**
 * Arguments of calls under way: Deno 2.6 does not keep those of a nonblocking call from collection.
 */
const polled = new Set<Uint8Array>();

/**
 * Waits, on another thread, until a descriptor can be read from or has failed. May wake spuriously;
 * the read tells.
 */
export async function waitReadable(fd: number): Promise<void> {
  const argument = pollfd(fd, POLLIN);
  polled.add(argument);
  try {
    await libc.pollAsync(argument, 1n, -1);
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
