/**
 * What a descriptor or path leads to, by `statx`: the runtime cannot ask about descriptors that it
 * did not open, and /proc/self/fd, by which it could, is not there in every chroot. Also device
 * numbers, and whether two answers are about one file.
 *
 * @module
 */

import { Errno, osError } from "./errno.ts";
import { cString, lastErrno, libc } from "./libc.ts";
import { fdPath } from "./paths.ts";

/** Facts about a file; the part of `Deno.FileInfo` that this project asks for. */
export type FileStatus = Pick<
  Deno.FileInfo,
  | "isFile"
  | "isDirectory"
  | "isBlockDevice"
  | "isCharDevice"
  | "isFifo"
  | "isSocket"
  | "size"
  | "mtime"
  | "dev"
  | "ino"
  | "nlink"
  | "rdev"
  | "blocks"
>;

/** Byte offsets in `struct statx` (linux/stat.h), which is the same on all machines. */
export const STATX = {
  stx_mask: 0,
  stx_attributes: 8,
  stx_nlink: 16,
  stx_mode: 28,
  stx_ino: 32,
  stx_size: 40,
  stx_blocks: 48,
  stx_ctime: 96,
  stx_mtime: 112,
  stx_rdev_major: 128,
  stx_dev_major: 136,
  stx_dio_mem_align: 152,
  stx_dio_offset_align: 156,
  bytes: 256,
} as const;

/**
 * Number of the system call (asm/unistd_64.h, asm-generic/unistd.h): glibc has a function of its
 * own only from 2.28 on, and 2.27 is supported.
 */
const SYS_STATX = Deno.build.arch === "aarch64" ? 291n : 332n;

/** Source: linux/fcntl.h, linux/stat.h. */
const AT_FDCWD = -100, AT_EMPTY_PATH = 0x1000, AT_STATX_DONT_SYNC = 0x4000;
const STATX_BASIC_STATS = 0x7ff, STATX_DIOALIGN = 0x2000;
const STATX_ATTR_IMMUTABLE = 0x10n, STATX_ATTR_APPEND = 0x20n;

/** Bits of `st_mode` that tell the kind. Source: inode(7). */
const S_IFMT = 0o170000;
const S_IFSOCK = 0o140000, S_IFREG = 0o100000, S_IFBLK = 0o060000;
const S_IFDIR = 0o040000, S_IFCHR = 0o020000, S_IFIFO = 0o010000;

/**
 * Asks what a descriptor leads to.
 *
 * @throws {OsError} If it is not open.
 */
export function statFd(fd: number): FileStatus {
  const fields = statxOf(fd);
  if (typeof fields !== "number") return statusOf(fields);
  if (!isStatxMissing(fields)) throw osError(fields, { syscall: "fstat", path: "" });
  return Deno.statSync(fdPath(fd));
}

/**
 * Whether an errno of `statx` says that there is no such call: in kernels before 4.11, and in
 * containers whose seccomp filter does not know it.
 */
export function isStatxMissing(errno: number): boolean {
  return errno === Errno.ENOSYS || errno === Errno.EPERM;
}

/** What a descriptor leads to; `null` if it is not open. */
export function statFdOrNull(fd: number): FileStatus | null {
  try {
    return statFd(fd);
  } catch {
    return null;
  }
}

/** What a path leads to, symbolic links followed; `null` where that cannot be told. */
export function statOrNull(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch {
    return null;
  }
}

/** Whether a path leads to a regular file. */
export function isFileAt(path: string): boolean {
  return statOrNull(path)?.isFile === true;
}

/**
 * Asks what a path leads to without asking a server, which may never answer: a cached answer will
 * do. For files that others have open, which may lie anywhere.
 *
 * @returns `null` if it leads nowhere.
 */
export function statUnsynced(path: string): FileStatus | null {
  const fields = statxOf(path, AT_STATX_DONT_SYNC);
  return typeof fields === "number" ? null : statusOf(fields);
}

/**
 * Which of `chattr`'s attributes keep a file or directory from being written; both `false` if that
 * is not known.
 */
export function writeBarriers(path: string): { isImmutable: boolean; isAppendOnly: boolean } {
  const fields = statxOf(path);
  const attributes = typeof fields === "number"
    ? 0n
    : fields.getBigUint64(STATX.stx_attributes, true);
  return {
    isImmutable: (attributes & STATX_ATTR_IMMUTABLE) !== 0n,
    isAppendOnly: (attributes & STATX_ATTR_APPEND) !== 0n,
  };
}

/**
 * Calls `statx` on a path, symbolic links followed, or a descriptor.
 *
 * @param moreFlags Such as AT_STATX_DONT_SYNC.
 * @returns The structure, or the positive errno.
 */
export function statxOf(file: string | number, moreFlags = 0): DataView<ArrayBuffer> | number {
  const [dirFd, path, flags] = typeof file === "string"
    ? [AT_FDCWD, file, 0]
    : [file, "", AT_EMPTY_PATH];
  const name = cString(path);
  const result = new Uint8Array(STATX.bytes);
  const outcome = libc.statx(
    SYS_STATX,
    dirFd,
    name,
    flags | moreFlags,
    STATX_BASIC_STATS | STATX_DIOALIGN,
    result,
  );
  return outcome === 0n ? new DataView(result.buffer) : lastErrno();
}

/** What direct reads and writes (O_DIRECT) of a file or device must be aligned to, in bytes. */
export interface DirectAlignment {
  /** For memory; 0 if direct reads and writes are not possible. */
  readonly memoryBytes: number;
  /** For offsets and lengths; 0 likewise. */
  readonly offsetBytes: number;
}

/** The alignment that the kernel asks for; `null` if it does not tell, as before Linux 6.1. */
export function directAlignmentOf(fd: number): DirectAlignment | null {
  const fields = statxOf(fd);
  if (typeof fields === "number") return null;
  if ((fields.getUint32(STATX.stx_mask, true) & STATX_DIOALIGN) === 0) return null;
  return {
    memoryBytes: fields.getUint32(STATX.stx_dio_mem_align, true),
    offsetBytes: fields.getUint32(STATX.stx_dio_offset_align, true),
  };
}

/** Whether an `st_mode` is that of a regular file. */
export function isRegularMode(mode: number): boolean {
  return (mode & S_IFMT) === S_IFREG;
}

function statusOf(fields: DataView): FileStatus {
  const kind = fields.getUint16(STATX.stx_mode, true) & S_IFMT;
  const number = (offset: number) => Number(fields.getBigUint64(offset, true));
  const seconds = Number(fields.getBigInt64(STATX.stx_mtime, true));
  const nanoseconds = fields.getUint32(STATX.stx_mtime + 8, true);
  return {
    isFile: kind === S_IFREG,
    isDirectory: kind === S_IFDIR,
    isBlockDevice: kind === S_IFBLK,
    isCharDevice: kind === S_IFCHR,
    isFifo: kind === S_IFIFO,
    isSocket: kind === S_IFSOCK,
    size: number(STATX.stx_size),
    mtime: new Date(seconds * 1000 + Math.floor(nanoseconds / 1_000_000)),
    dev: deviceNumber(fields, STATX.stx_dev_major),
    ino: number(STATX.stx_ino),
    nlink: fields.getUint32(STATX.stx_nlink, true),
    rdev: deviceNumber(fields, STATX.stx_rdev_major),
    blocks: number(STATX.stx_blocks),
  };
}

/**
 * Tells whether two answers are about one file, whatever its names.
 *
 * Inode numbers arrive as doubles, so neighbours above 2^53 (overlay file systems make such) look
 * alike; size and time tell those apart.
 */
export function isSameFile(a: FileStatus, b: FileStatus): boolean {
  if (a.dev !== b.dev || a.ino !== b.ino) return false;
  return Number.isSafeInteger(a.ino) ||
    (a.size === b.size && a.mtime?.getTime() === b.mtime?.getTime());
}

/** The part of a file's status that identifies a file or device. */
export type FileIdentity = Pick<FileStatus, "dev" | "ino" | "rdev" | "isBlockDevice">;

/** Whether two answers are about one file, or about one device by whatever nodes. */
export function isSameIdentity(a: FileIdentity, b: FileIdentity): boolean {
  if (a.isBlockDevice) return b.isBlockDevice === true && a.rdev === b.rdev;
  return a.dev === b.dev && a.ino === b.ino;
}

/**
 * Puts major and minor number together as `stat` returns them. Source: gnu_dev_makedev,
 * sysmacros.h.
 */
function deviceNumber(fields: DataView, offset: number): number {
  const major = BigInt(fields.getUint32(offset, true));
  const minor = BigInt(fields.getUint32(offset + 4, true));
  return Number(
    (major & 0xfffff000n) << 32n | (major & 0xfffn) << 8n | (minor & 0xffffff00n) << 12n |
      minor & 0xffn,
  );
}

/** Splits a device number as `stat` returns it. Source: gnu_dev_major, sysmacros.h. */
export function majorMinor(device: number): { major: number; minor: number } {
  const bits = BigInt(device);
  return {
    major: Number((bits >> 8n & 0xfffn) | (bits >> 32n & 0xfffff000n)),
    minor: Number((bits & 0xffn) | (bits >> 12n & 0xffffff00n)),
  };
}

/** A device's number as /proc and /sys write it: "major:minor". */
export function deviceName(device: number): string {
  const { major, minor } = majorMinor(device);
  return `${major}:${minor}`;
}
