/**
 * Asks the kernel who else has a claim on a file: byte-range locks, and descriptors open for
 * writing.
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { Errno, lastErrno } from "./errno.ts";
import { fileSystemSpace } from "./file_system.ts";
import { openFd, OpenFlag, releaseFd } from "./libc.ts";
import { libc } from "./libc_symbols.ts";

/** Commands of `fcntl`. Source: asm-generic/fcntl.h, linux/fcntl.h. */
const F_SETSIG = 10, F_OFD_GETLK = 36, F_SETLEASE = 1024;

/** Kinds of locks and leases. Source: asm-generic/fcntl.h. */
const F_RDLCK = 0, F_WRLCK = 1, F_UNLCK = 2;

/**
 * Network file systems refuse a lease with EAGAIN as well if the server has not granted them one.
 * NFS, and the three of SMB. Source: linux/magic.h.
 */
const LEASES_OF_SERVERS: ReadonlySet<number> = new Set([0x6969, 0x517b, 0xff534d42, 0xfe534d42]);

/** Ignored unless it is listened to. Source: signal(7), the same number on x86_64 and aarch64. */
const SIGURG = 23;

/** Byte offsets in `struct flock` of 64-bit machines (asm-generic/fcntl.h). */
export const FLOCK = {
  l_type: 0,
  l_whence: 2,
  l_start: 8,
  l_len: 16,
  l_pid: 24,
  bytes: 32,
} as const;

/** A byte-range lock that somebody else holds. */
export interface ForeignLock {
  /** `null` for locks of an open file description, which belong to no process (qemu's do). */
  readonly pid: number | null;
}

/**
 * Looks for a lock by `fcntl`, of a process or an open file description, on any byte of a file.
 *
 * @param fd However it was opened.
 * @returns `null` if there is none, or the file system knows no locks.
 */
export function findForeignLock(fd: number): ForeignLock | null {
  const lock = new Uint8Array(new ArrayBuffer(FLOCK.bytes));
  const fields = new DataView(lock.buffer);
  // From the file's start (SEEK_SET is 0), with length 0, which means: to whatever end. A write
  // lock would conflict with any.
  fields.setInt16(FLOCK.l_type, F_WRLCK, true);
  if (libc().fcntlLock(fd, F_OFD_GETLK, lock) < 0) return null;
  if (fields.getInt16(FLOCK.l_type, true) === F_UNLCK) return null;
  const pid = fields.getInt32(FLOCK.l_pid, true);
  return { pid: pid > 0 ? pid : null };
}

/**
 * Tells whether anybody has a regular file open for writing, or mapped after that, in whatever
 * namespace. The kernel grants a lease for reading only if nobody has (F_SETLEASE, fcntl(2)); it is
 * given back at once.
 *
 * @returns `null` if that cannot be told: leases are for the file's owner and root, and not all
 *   file systems have them.
 */
export function hasWriters(path: string): boolean | null {
  let fd: number;
  try {
    fd = openFd(path, OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK | OpenFlag.O_NOCTTY);
  } catch (error) {
    if (error instanceof OsError) return null;
    throw error;
  }
  try {
    // Somebody might open the file this very moment: the signal that tells us then is SIGIO
    // otherwise, which is deadly.
    if (libc().fcntl(fd, F_SETSIG, BigInt(SIGURG)) < 0) return null;
    if (libc().fcntl(fd, F_SETLEASE, BigInt(F_RDLCK)) < 0) {
      const isConflict = lastErrno() === Errno.EAGAIN;
      return isConflict && !LEASES_OF_SERVERS.has(fileSystemSpace(fd).magic) ? true : null;
    }
    libc().fcntl(fd, F_SETLEASE, BigInt(F_UNLCK));
    return false;
  } finally {
    releaseFd(fd);
  }
}
