/**
 * What block devices tell of themselves by `ioctl`, which needs neither /sys nor /proc.
 *
 * @module
 */

import { lastErrno, osError } from "./errno.ts";
import { libc } from "./libc_symbols.ts";

/** Requests of `ioctl`. Source: linux/fs.h, linux/loop.h. */
const BLKROGET = 0x125en, LOOP_GET_STATUS64 = 0x4c05n;

/** Byte offsets in `struct loop_info64` (linux/loop.h), which is the same on all machines. */
export const LOOP_INFO64 = {
  lo_device: 0,
  lo_inode: 8,
  lo_rdevice: 16,
  lo_file_name: 56,
  bytes: 232,
} as const;

/** Length of `lo_file_name`, with the NUL at its end. */
const FILE_NAME_BYTES = 64;

/** What a loop device stands on. Device numbers are as `stat` returns them. */
export interface LoopBacking {
  /** The file's file system and inode, as `dev` and `ino` of its status. */
  readonly dev: number;
  readonly ino: number;
  /** The device's number if it is a device itself, else 0. */
  readonly rdev: number;
  /** As it was named when the loop device was made, at most 63 bytes of it. */
  readonly name: string;
}

/** Tells whether a block device is read-only. @throws {OsError} If `fd` is not a block device. */
export function isReadOnlyDevice(fd: number, path = ""): boolean {
  const result = new Int32Array(1);
  if (libc().ioctl(fd, BLKROGET, new Uint8Array(result.buffer)) < 0) {
    throw osError(lastErrno(), { syscall: "ioctl", path });
  }
  return result[0] !== 0;
}

/** Says what a loop device stands on; `null` if it stands on nothing, or is not a loop device. */
export function loopBacking(fd: number): LoopBacking | null {
  const result = new Uint8Array(new ArrayBuffer(LOOP_INFO64.bytes));
  if (libc().ioctl(fd, LOOP_GET_STATUS64, result) < 0) return null;
  const fields = new DataView(result.buffer);
  const number = (offset: number) => Number(fields.getBigUint64(offset, true));
  const name = result.subarray(
    LOOP_INFO64.lo_file_name,
    LOOP_INFO64.lo_file_name + FILE_NAME_BYTES,
  );
  const end = name.indexOf(0);
  return {
    dev: number(LOOP_INFO64.lo_device),
    ino: number(LOOP_INFO64.lo_inode),
    rdev: number(LOOP_INFO64.lo_rdevice),
    name: new TextDecoder().decode(name.subarray(0, end < 0 ? FILE_NAME_BYTES : end)),
  };
}
