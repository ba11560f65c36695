/**
 * Locks on files: taking a `flock`, and finding out who else has a claim on a file by `flock`,
 * byte-range lock or a descriptor that is open for writing.
 *
 * Holders are named as far as possible: one may be outside this PID namespace, or end while it is
 * looked up.
 *
 * @module
 */

import { Errno, osError } from "./errno.ts";
import { FileSystemMagic, fileSystemSpace } from "./file_space.ts";
import { type FileIdentity, majorMinor, statOrNull } from "./file_status.ts";
import { openFd, OpenFlag, releaseFd } from "./files.ts";
import { lastErrno, libc } from "./libc.ts";
import { OsError } from "./os_error.ts";
import { readTextOrNull } from "./paths.ts";
import { describeProcess } from "./processes.ts";
import { SignalNumber } from "./signals.ts";

/** Operations of `flock`. Source: asm-generic/fcntl.h. */
export const FlockOperation = { LOCK_SH: 1, LOCK_EX: 2, LOCK_NB: 4, LOCK_UN: 8 } as const;

/**
 * Tries to take or drop a `flock` without waiting.
 *
 * @param operation One of {@linkcode FlockOperation}; LOCK_NB is added.
 * @returns `false` if another process holds a conflicting lock.
 * @throws {OsError} On any other failure.
 */
export function tryFlock(fd: number, operation: number, path = ""): boolean {
  for (;;) {
    if (libc.flock(fd, operation | FlockOperation.LOCK_NB) === 0) return true;
    const errno = lastErrno();
    if (errno === Errno.EAGAIN) return false;
    if (errno !== Errno.EINTR) throw osError(errno, { syscall: "lock", path });
  }
}

/**
 * Says who holds an exclusive `flock` on a file. Throws nothing.
 *
 * @param path Path of the file.
 * @returns `pid 17 (backy purge)`, several with commas between, or "another process". One line.
 */
export function describeHolders(path: string): string {
  const file = statOrNull(path);
  const pids = file === null ? [] : listFlockHolders(file);
  return pids.length === 0 ? "another process" : pids.map(describeProcess).join(", ");
}

/**
 * Lists who holds a `flock` on a file; nobody if /proc/locks cannot be read.
 *
 * @param file Device and inode as stat(2) gives them.
 * @param options As {@linkcode findFlockHolders} takes them.
 * @returns Process ids, ascending.
 */
export function listFlockHolders(
  file: Pick<FileIdentity, "dev" | "ino">,
  options: { isShared?: boolean } = {},
): number[] {
  return findFlockHolders(readTextOrNull("/proc/locks") ?? "", file, options);
}

/**
 * Finds who holds a `flock` on a file in the text of /proc/locks (proc_locks(5)), whose lines read
 * `1: FLOCK ADVISORY WRITE 3548 08:01:3557 0 EOF`; those of waiting processes have `->` after the
 * number.
 *
 * @param locks Content of /proc/locks.
 * @param file Device and inode as stat(2) gives them.
 * @param options.isShared Whether shared locks count too; default: exclusive ones only.
 * @returns Process ids, ascending.
 */
export function findFlockHolders(
  locks: string,
  file: Pick<FileIdentity, "dev" | "ino">,
  { isShared = false }: { isShared?: boolean } = {},
): number[] {
  const { major, minor } = majorMinor(file.dev);
  const onDevice: number[] = [];
  const onInode: number[] = [];
  for (const line of locks.split("\n")) {
    // Major and minor number are hexadecimal.
    const match = /^\d+: FLOCK +\S+ +(READ|WRITE) +(\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) /.exec(line);
    if (!match || Number(match[5]) !== file.ino || (match[1] === "READ" && !isShared)) continue;
    const pid = Number(match[2]);
    onInode.push(pid);
    if (parseInt(match[3]!, 16) === major && parseInt(match[4]!, 16) === minor) onDevice.push(pid);
  }
  // On btrfs, stat gives each subvolume a device number of its own and /proc/locks the file
  // system's: then go by the inode.
  const pids = onDevice.length > 0 ? onDevice : onInode;
  return [...new Set(pids)].filter((pid) => pid > 0).sort((a, b) => a - b);
}

/** Commands of `fcntl`. Source: asm-generic/fcntl.h, linux/fcntl.h. */
const F_SETSIG = 10, F_OFD_GETLK = 36, F_SETLEASE = 1024;

/** Kinds of locks and leases. Source: asm-generic/fcntl.h. */
const F_RDLCK = 0, F_WRLCK = 1, F_UNLCK = 2;

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
 * @returns `null` if nobody holds one, or the file system has no locks.
 */
export function findForeignLock(fd: number): ForeignLock | null {
  const lock = new Uint8Array(new ArrayBuffer(FLOCK.bytes));
  const fields = new DataView(lock.buffer);
  // From the file's start (SEEK_SET is 0); a length of 0 means to the end, wherever that is. A
  // write lock would conflict with any.
  fields.setInt16(FLOCK.l_type, F_WRLCK, true);
  if (libc.fcntlLock(fd, F_OFD_GETLK, lock) < 0) return null;
  if (fields.getInt16(FLOCK.l_type, true) === F_UNLCK) return null;
  const pid = fields.getInt32(FLOCK.l_pid, true);
  return { pid: pid > 0 ? pid : null };
}

/** File systems that refuse a lease with EAGAIN also if their server has not granted them one. */
const LEASES_OF_SERVERS: ReadonlySet<number> = new Set([
  FileSystemMagic.NFS,
  FileSystemMagic.SMB,
  FileSystemMagic.CIFS,
  FileSystemMagic.SMB2,
]);

/**
 * Tells whether anybody has a regular file open for writing, or mapped after that, in whatever
 * namespace. The kernel grants a lease for reading only if nobody has (F_SETLEASE, fcntl(2)); it is
 * given back at once.
 *
 * @returns `null` if that cannot be told: only the file's owner and root get leases, and not all
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
    // Should somebody open the file at this very moment, the kernel sends a signal: without this,
    // SIGIO, which ends the process. SIGURG is ignored unless it is listened to (signal(7)).
    if (libc.fcntl(fd, F_SETSIG, BigInt(SignalNumber.SIGURG)) < 0) return null;
    if (libc.fcntl(fd, F_SETLEASE, BigInt(F_RDLCK)) < 0) {
      const isConflict = lastErrno() === Errno.EAGAIN;
      return isConflict && !LEASES_OF_SERVERS.has(fileSystemSpace(fd).magic) ? true : null;
    }
    libc.fcntl(fd, F_SETLEASE, BigInt(F_UNLCK));
    return false;
  } finally {
    releaseFd(fd);
  }
}
