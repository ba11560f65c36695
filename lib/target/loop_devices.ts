/**
 * What loop devices stand on, as they tell by `ioctl`; where they may not be opened, as /sys tells.
 *
 * @module
 */

import { basename } from "node:path";

import { loopBacking } from "../linux/block_device.ts";
import { openFd, OpenFlag, releaseFd } from "../linux/libc.ts";
import { listNames, readTextOrNull, statOrNull } from "../linux/file_info.ts";
import { parsePartitions } from "./in_use.ts";
import type { FileIdentity } from "./open_files.ts";

/** A file or device that a loop device stands on. */
export interface Backing {
  /**
   * Finds the path that leads to it; `null` if none does any more. Looks at the file, which may
   * take for ever if a server is dead: for those that matter only.
   */
  readonly findPath: () => string | null;
  readonly info: FileIdentity;
}

/** The loop devices on which something stands. */
export interface LoopDevices {
  readonly devices: readonly { readonly path: string; readonly backing: Backing }[];
  /** Whether there may be others, which could not be looked at. */
  readonly isComplete: boolean;
}

/** Lists the loop devices that stand on something. */
export function listLoopDevices(): LoopDevices {
  const { names, areAll } = namesOfLoops();
  const devices: { path: string; backing: Backing }[] = [];
  let isComplete = areAll;
  for (const name of names) {
    const path = `/dev/${name}`;
    const backing = backingOf(path);
    if (backing === "unknown") isComplete = false;
    else if (backing !== null) devices.push({ path, backing });
  }
  return { devices, isComplete };
}

/** The names of all loop devices that may stand on something, as far as they are known. */
function namesOfLoops(): { names: string[]; areAll: boolean } {
  if (statOrNull("/sys/block") !== null) {
    const isInUse = (name: string) => statOrNull(`/sys/block/${name}/loop`) !== null;
    return {
      names: listNames("/sys/block").filter((name) => isLoop(name) && isInUse(name)),
      areAll: true,
    };
  }
  // The kernel lists those that have a length; without its list there are the nodes.
  const partitions = readTextOrNull("/proc/partitions");
  const names = partitions === null
    ? listNames("/dev")
    : parsePartitions(partitions).map(({ name }) => name);
  return { names: names.filter(isLoop), areAll: partitions !== null || names.some(isLoop) };
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
    // Of a long name the ioctl gives the beginning only; either may be the name of something else
    // by now.
    const names = [backingName(path), found.name];
    const isSelf = (name: string | null) => {
      const info = name === null ? null : statOrNull(name);
      return info !== null && info.dev === found.dev && info.ino === found.ino;
    };
    return {
      findPath: () => names.find(isSelf) ?? null,
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
  return info && { findPath: () => name, info };
}

/** The kernel ends the line with a newline; the path is not escaped. */
function backingName(device: string): string | null {
  const file = `/sys/block/${basename(device)}/loop/backing_file`;
  return readTextOrNull(file)?.replace(/\n$/, "") ?? null;
}

function isLoop(name: string): boolean {
  return /^loop\d+$/.test(name);
}
