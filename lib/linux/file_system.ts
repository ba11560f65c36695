/**
 * How full a file system is, and of which kind.
 *
 * @module
 */

import { Errno, lastErrno, osError } from "./errno.ts";
import { libc } from "./libc_symbols.ts";
import { cString } from "./memory.ts";

/** Byte offsets in `struct statfs` of 64-bit machines (asm-generic/statfs.h), all of 8 bytes. */
export const STATFS = {
  f_type: 0,
  f_bsize: 8,
  f_blocks: 16,
  f_bfree: 24,
  f_bavail: 32,
  f_frsize: 72,
  bytes: 120,
} as const;

/** What `statfs` tells of a file system. */
export interface FileSystemSpace {
  /** Which kind it is, one of linux/magic.h or a file system's own. */
  readonly magic: number;
  /** Its size in bytes; 0 on file systems that keep no count, such as a tmpfs without a limit. */
  readonly totalBytes: number;
  /** What root may still allocate, in bytes: some file systems keep a reserve. */
  readonly freeBytes: number;
  /** What all others may still allocate, in bytes. */
  readonly availableBytes: number;
}

/** Whether this process acts as root, for whom file systems keep a reserve. */
export function isRoot(): boolean {
  return libc().geteuid() === 0;
}

/**
 * Asks how full a file system is.
 *
 * @param at Path of any file or directory on it, or a descriptor.
 * @throws {OsError} On any failure but EINTR.
 */
export function fileSystemSpace(at: string | number): FileSystemSpace {
  const result = new Uint8Array(new ArrayBuffer(STATFS.bytes));
  const name = typeof at === "string" ? cString(at) : null;
  for (;;) {
    const outcome = name === null
      ? libc().fstatfs(at as number, result)
      : libc().statfs(name, result);
    if (outcome === 0) break;
    const errno = lastErrno();
    const path = typeof at === "string" ? at : "";
    if (errno !== Errno.EINTR) throw osError(errno, { syscall: "statfs", path });
  }
  const fields = new DataView(result.buffer);
  const field = (offset: number) => fields.getBigUint64(offset, true);
  const unitBytes = field(STATFS.f_frsize) || field(STATFS.f_bsize);
  const bytes = (offset: number) => Number(field(offset) * unitBytes);
  return {
    magic: Number(BigInt.asUintN(32, field(STATFS.f_type))),
    totalBytes: bytes(STATFS.f_blocks),
    freeBytes: bytes(STATFS.f_bfree),
    availableBytes: bytes(STATFS.f_bavail),
  };
}
