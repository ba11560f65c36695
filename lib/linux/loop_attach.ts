/**
 * Attaches a loop device to a range of a file, by `ioctl`: no partition nodes are needed, and
 * nobody sees the device before it has its range. `loop_devices.ts` tells of those that exist.
 *
 * @module
 */

import { Errno, osError, retryOnEintr } from "./errno.ts";
import { openFd, OpenFlag, releaseFd } from "./files.ts";
import { cString, lastErrno, libc, requireOffset } from "./libc.ts";
import { LOOP_INFO64, LOOP_NAME_BYTES } from "./loop_devices.ts";
import { OsError } from "./os_error.ts";

/** Requests of `ioctl`. Source: linux/loop.h. */
const LOOP_CONFIGURE = 0x4c0an, LOOP_CTL_GET_FREE = 0x4c82n;

/** Flag of a loop device: it is detached when the last user closes it. Source: linux/loop.h. */
const LO_FLAGS_AUTOCLEAR = 4;

/** Byte offsets in `struct loop_config` (linux/loop.h), which is the same on all machines. */
export const LOOP_CONFIG = { fd: 0, block_size: 4, info: 8, bytes: 304 } as const;

const CONTROL = "/dev/loop-control";

/** Others may take the device that is free now; more losses in a row have another reason. */
const ATTEMPTS = 256;

/** The part of a file that a loop device shows. */
export interface LoopRange {
  /** First byte, >= 0. */
  readonly offset: number;
  /** Number of bytes; a rest of less than 512 bytes is left out. */
  readonly length: number;
  /** Logical block size of the device: 512 or 4096. */
  readonly sectorBytes: number;
}

/**
 * A loop device, held by a descriptor. Whatever is mounted from it keeps it as well; it is detached
 * when nobody has it any more, however they end.
 */
export interface AttachedLoop extends Disposable {
  /** Path of its node. */
  readonly path: string;
}

/**
 * Attaches a free loop device, which can be written to, to a range of a file.
 *
 * @param file Path of the file.
 * @throws {OsError} If the file or the device cannot be opened, or the kernel is older than 5.8.
 */
export function attachLoop(file: string, range: LoopRange): AttachedLoop {
  using opened = openDescriptor(file);
  using control = openDescriptor(CONTROL);
  const config = loopConfig(opened.fd, file, range);
  for (let attempt = 1;; attempt++) {
    const path = `/dev/loop${freeNumber(control.fd)}`;
    const device = openDescriptor(path);
    if (libc.ioctl(device.fd, LOOP_CONFIGURE, config) >= 0) {
      return { path, [Symbol.dispose]: () => device[Symbol.dispose]() };
    }
    const errno = lastErrno();
    device[Symbol.dispose]();
    if (errno === Errno.EBUSY && attempt < ATTEMPTS) continue;
    throw explain(osError(errno, { syscall: "attach", path }));
  }
}

/** `struct loop_config`, which names the file as `losetup` shows it. */
function loopConfig(fd: number, file: string, range: LoopRange): Uint8Array<ArrayBuffer> {
  requireOffset("offset", range.offset);
  requireOffset("length", range.length);
  const struct = new Uint8Array(new ArrayBuffer(LOOP_CONFIG.bytes));
  const fields = new DataView(struct.buffer);
  fields.setUint32(LOOP_CONFIG.fd, fd, true);
  fields.setUint32(LOOP_CONFIG.block_size, range.sectorBytes, true);
  const { info } = LOOP_CONFIG;
  fields.setBigUint64(info + LOOP_INFO64.lo_offset, BigInt(range.offset), true);
  fields.setBigUint64(info + LOOP_INFO64.lo_sizelimit, BigInt(range.length), true);
  fields.setUint32(info + LOOP_INFO64.lo_flags, LO_FLAGS_AUTOCLEAR, true);
  const name = cString(file).subarray(0, LOOP_NAME_BYTES - 1);
  struct.set(name, info + LOOP_INFO64.lo_file_name);
  return struct;
}

/** The number of a loop device that stands on nothing; the kernel makes one if there is none. */
function freeNumber(control: number): number {
  return retryOnEintr(
    () => libc.ioctl(control, LOOP_CTL_GET_FREE, null),
    { syscall: "find a free loop device by", path: CONTROL },
  );
}

function openDescriptor(path: string): Disposable & { readonly fd: number } {
  try {
    const fd = openFd(path, OpenFlag.O_RDWR);
    return { fd, [Symbol.dispose]: () => releaseFd(fd) };
  } catch (error) {
    throw error instanceof OsError ? explain(error) : error;
  }
}

/** Adds what to do about an error, where that is known. */
function explain(error: OsError): OsError {
  const number = /^\/dev\/loop(\d+)$/.exec(error.path)?.[1];
  const { errno, errnoName, syscall, path } = error;
  let advice: string | null = null;
  if (path === CONTROL && errno === Errno.ENOENT) {
    advice = "the kernel has no loop devices: modprobe loop";
  } else if (number !== undefined && errno === Errno.ENOENT) {
    advice = `make it: mknod ${path} b 7 ${number}`;
  } else if (syscall === "attach" && errno === Errno.EINVAL) {
    advice = "Linux 5.8 or newer is needed";
  } else if (path.startsWith("/dev/") && errno === Errno.EPERM) {
    advice = "in a container, its devices must be allowed";
  }
  if (advice === null) return error;
  const message = `${error.message}; ${advice}`;
  return new OsError(message, { errno, errnoName, syscall, path }, { cause: error });
}
