/**
 * What loop devices stand on, as they tell by `ioctl`; where they may not be opened, as /sys tells.
 *
 * @module
 */

import { basename } from "node:path";

import { loopBacking } from "../ffi/block_device.ts";
import type { FileStatus } from "../ffi/file_status.ts";
import { openFd, OpenFlag, releaseFd } from "../ffi/libc.ts";
import { listNames, readTextOrNull, statOrNull } from "./file_info.ts";

/** A file or device that a loop device stands on. */
export interface Backing {
  /** By which it can be found; `null` if that leads elsewhere now, or nowhere. */
  readonly path: string | null;
  /** As much of its status as identifies it. */
  readonly info: Pick<FileStatus, "dev" | "ino" | "rdev" | "isBlockDevice">;
}

/** The loop devices on which something stands. */
export interface LoopDevices {
  readonly devices: readonly { readonly path: string; readonly backing: Backing }[];
  /** Whether there may be others, which could not be looked at. */
  readonly isComplete: boolean;
}

/** Lists the loop devices that stand on something. */
export function listLoopDevices(): LoopDevices {
  // /sys has all, and tells which are in use; else there are the nodes.
  const inUse = listNames("/sys/block").filter((name) =>
    isLoop(name) && statOrNull(`/sys/block/${name}/loop`) !== null
  );
  const hasSys = statOrNull("/sys/block") !== null;
  const names = hasSys ? inUse : listNames("/dev").filter(isLoop);
  const devices: { path: string; backing: Backing }[] = [];
  let isComplete = true;
  for (const name of names) {
    const path = `/dev/${name}`;
    const backing = backingOf(path);
    if (backing === "unknown") isComplete = false;
    else if (backing !== null) devices.push({ path, backing });
  }
  return { devices, isComplete };
}

/** What a device stands on; `null` if it is not a loop device, or stands on nothing. */
export function backingOf(path: string): Backing | null | "unknown" {
  let fd: number;
  try {
    fd = openFd(path, OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK);
  } catch {
    return backingByName(path) ?? "unknown";
  }
  try {
    const found = loopBacking(fd);
    if (found === null) return null;
    // Of a long name the ioctl gives the beginning only; either may be the name of something else by now.
    const names = [backingName(path), found.name];
    const isSelf = (name: string | null) => {
      const info = name === null ? null : statOrNull(name);
      return info !== null && info.dev === found.dev && info.ino === found.ino;
    };
    return {
      path: names.find(isSelf) ?? null,
      info: {
        dev: found.dev,
        ino: found.ino,
        rdev: found.rdev,
        isBlockDevice: found.rdev !== 0,
      },
    };
  } finally {
    releaseFd(fd);
  }
}

function backingByName(path: string): Backing | null {
  const name = backingName(path);
  const info = name === null ? null : statOrNull(name);
  return info && { path: name, info };
}

/** The kernel ends the line with a newline; the path is not escaped. */
function backingName(device: string): string | null {
  const file = `/sys/block/${basename(device)}/loop/backing_file`;
  return readTextOrNull(file)?.replace(/\n$/, "") ?? null;
}

function isLoop(name: string): boolean {
  return /^loop\d+$/.test(name);
}
