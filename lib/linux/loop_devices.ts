/**
 * Loop devices, and what they stand on: as they tell by `ioctl`, and where they may not be opened,
 * as /sys tells.
 *
 * @module
 */

import { basename } from "node:path";

import { listPartitions } from "./block_devices.ts";
import { type FileIdentity, statOrNull } from "./file_status.ts";
import { openFd, OpenFlag, releaseFd } from "./files.ts";
import { libc } from "./libc.ts";
import { listNames, readTextOrNull } from "./paths.ts";

/** The loop devices that may stand on something. */
export interface LoopDevices {
  /** Paths of their nodes. */
  readonly paths: readonly string[];
  /** Whether these are all; there may be others if neither /sys nor /proc tells. */
  readonly isComplete: boolean;
}

/**
 * Lists the loop devices that may stand on something, without opening them.
 *
 * @param root Folder that stands for "/" where /proc and /sys are looked up.
 */
export function listLoopDevices(root = ""): LoopDevices {
  const listed = (names: readonly string[], isComplete: boolean) => ({
    paths: names.filter((name) => /^loop\d+$/.test(name)).map((name) => `/dev/${name}`),
    isComplete,
  });
  if (statOrNull(`${root}/sys/block`) !== null) {
    const isInUse = (name: string) => statOrNull(`${root}/sys/block/${name}/loop`) !== null;
    return listed(listNames(`${root}/sys/block`).filter(isInUse), true);
  }
  // The kernel lists those that have a length; without its list there are the nodes.
  const partitions = listPartitions(root);
  if (partitions !== null) return listed(partitions.map(({ name }) => name), true);
  const nodes = listed(listNames(`${root}/dev`), true);
  return { ...nodes, isComplete: nodes.paths.length > 0 };
}

/**
 * The path of what a loop device stands on, as it was when the kernel was told of it; `null` if
 * /sys does not say. Touches neither the device nor that file, so a FUSE process may ask about its
 * own.
 */
export function backingName(device: string, root = ""): string | null {
  const file = `${root}/sys/block/${basename(device)}/loop/backing_file`;
  // The kernel ends the line with a newline; the path is not escaped.
  return readTextOrNull(file)?.replace(/\n$/, "") ?? null;
}

/** A file or device that a loop device stands on. */
export interface Backing {
  /**
   * Finds the path that leads to it; `null` if none does any more. Looks at the file, which may
   * take forever if a server is dead: for files that matter only.
   */
  readonly findPath: () => string | null;
  readonly info: FileIdentity;
}

/** What a device stands on; `null` if it is not a loop device, or stands on nothing. */
export function backingOf(device: string): Backing | null | "unknown" {
  let fd: number;
  try {
    fd = openFd(device, OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK);
  } catch {
    return backingByName(device) ?? "unknown";
  }
  try {
    const found = loopStatus(fd);
    if (found === null) return null;
    const { dev, ino, rdev } = found;
    // The ioctl cuts long names; either name may be something else's by now.
    const names = [backingName(device), found.name];
    const isSelf = (name: string | null) => {
      const info = name === null ? null : statOrNull(name);
      return info !== null && info.dev === dev && info.ino === ino;
    };
    return {
      findPath: () => names.find(isSelf) ?? null,
      info: { dev, ino, rdev, isBlockDevice: rdev !== 0 },
    };
  } finally {
    releaseFd(fd);
  }
}

function backingByName(device: string): Backing | null {
  const name = backingName(device);
  const info = name === null ? null : statOrNull(name);
  return info && { findPath: () => name, info };
}

/** Request of `ioctl`. Source: linux/loop.h. */
const LOOP_GET_STATUS64 = 0x4c05n;

/** Byte offsets in `struct loop_info64` (linux/loop.h), which is the same on all machines. */
export const LOOP_INFO64 = {
  lo_device: 0,
  lo_inode: 8,
  lo_rdevice: 16,
  lo_offset: 24,
  lo_sizelimit: 32,
  lo_flags: 52,
  lo_file_name: 56,
  bytes: 232,
} as const;

/** Length of `lo_file_name`, with the NUL at its end. */
export const LOOP_NAME_BYTES = 64;

/**
 * Asks a loop device what it stands on; `null` if that is nothing, or it is not a loop device.
 *
 * @returns Device and inode number of the file, as `stat` returns them; the device's own number if
 *   it is a device, else 0; at most 63 bytes of its name when the loop device was made.
 */
function loopStatus(fd: number): { dev: number; ino: number; rdev: number; name: string } | null {
  const result = new Uint8Array(new ArrayBuffer(LOOP_INFO64.bytes));
  if (libc.ioctl(fd, LOOP_GET_STATUS64, result) < 0) return null;
  const fields = new DataView(result.buffer);
  const number = (offset: number) => Number(fields.getBigUint64(offset, true));
  const name = result.subarray(
    LOOP_INFO64.lo_file_name,
    LOOP_INFO64.lo_file_name + LOOP_NAME_BYTES,
  );
  const end = name.indexOf(0);
  return {
    dev: number(LOOP_INFO64.lo_device),
    ino: number(LOOP_INFO64.lo_inode),
    rdev: number(LOOP_INFO64.lo_rdevice),
    name: new TextDecoder().decode(name.subarray(0, end < 0 ? LOOP_NAME_BYTES : end)),
  };
}
