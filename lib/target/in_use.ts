/**
 * Finds who uses a block device, or a file that a device is made of.
 *
 * The kernel's own answer is `open` with O_EXCL, which fails with EBUSY when the device, or for a whole disk one of
 * its partitions, is claimed; this module only finds words for it, in what /proc and /sys tell.
 *
 * @module
 */

import { basename, dirname } from "node:path";

import type { FileStatus } from "../ffi/file_status.ts";
import { isSameFile, listNames, readTextOrNull, realPathOrNull, statOrNull } from "./file_info.ts";
import { quote } from "../wording.ts";

/** One mounted file system. */
export interface MountEntry {
  /** "major:minor" of the device; major 0 for file systems without one, and for btrfs. */
  readonly device: string;
  readonly mountPoint: string;
  /** What was mounted: a device path, or any word. */
  readonly source: string;
}

/**
 * Parses the text of /proc/self/mountinfo. Format: proc_pid_mountinfo(5); lines that do not follow it are left out.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseMountinfo } from "./in_use.ts";
 *
 * const line = "36 35 8:1 / /mnt/two\\040words rw,noatime shared:1 - ext4 /dev/sda1 rw\n";
 * assertEquals(parseMountinfo(line), [
 *   { device: "8:1", mountPoint: "/mnt/two words", source: "/dev/sda1" },
 * ]);
 * ```
 */
export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    const separator = fields.indexOf("-", 6);
    const device = fields[2], mountPoint = fields[4], source = fields[separator + 2];
    if (separator < 0 || !device || !mountPoint || !source) continue;
    entries.push({ device, mountPoint: unescapeOctal(mountPoint), source: unescapeOctal(source) });
  }
  return entries;
}

/** Parses the text of /proc/swaps into the paths of what is swapped to. Format: proc_swaps(5). */
export function parseSwaps(text: string): string[] {
  return text.split("\n").slice(1)
    .map((line) => unescapeOctal(line.split(/[ \t]/, 1)[0]!))
    .filter((path) => path.startsWith("/"));
}

/** Undoes the kernel's escapes of blanks, backslashes and the like: `\040` is a space. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits) => String.fromCharCode(parseInt(digits, 8)));
}

/**
 * Splits the number of a device as `stat` returns it. Source: glibc's sys/sysmacros.h.
 *
 * @returns "major:minor" as in /proc and /sys.
 */
export function deviceName(rdev: number): string {
  const number = BigInt(rdev);
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & 0xfffff000n);
  const minor = (number & 0xffn) | ((number >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/**
 * Says what a block device is used for, for a device that the kernel calls busy.
 *
 * @param rdev Number of the device.
 * @param root Folder that stands for "/" where /proc and /sys are looked up.
 * @returns Reasons such as `it is mounted at "/srv"`; empty if the user is not to be found, for example because it is
 *   mounted in another namespace.
 */
export function describeDeviceUse(rdev: number, root = ""): string[] {
  const self = deviceName(rdev);
  const mounts = parseMountinfo(readTextOrNull(`${root}/proc/self/mountinfo`) ?? "");
  const swaps = parseSwaps(readTextOrNull(`${root}/proc/swaps`) ?? "");
  const sys = `${root}/sys`;
  const reasons: string[] = [];
  for (const { device, relation } of relatedDevices(sys, self)) {
    const subject = device === self ? "it" : `its ${relation} ${quote(devicePath(sys, device))}`;
    for (const mount of mounts) {
      if (isMountOf(mount, device)) {
        reasons.push(`${subject} is mounted at ${quote(mount.mountPoint)}`);
      }
    }
    if (swaps.some((path) => blockDeviceAt(path) === device)) {
      reasons.push(`${subject} is swap space`);
    }
    for (const holder of listNames(`${sys}/dev/block/${device}/holders`).sort()) {
      reasons.push(`${subject} is held by ${describeHolder(sys, holder)}`);
    }
  }
  return [...new Set(reasons)];
}

/**
 * Says what a regular file or block device is used for beyond being open: as backing store of a loop device, or as
 * swap space.
 *
 * @param info The file.
 */
export function describeBackingUse(info: FileStatus): string[] {
  const isSelf = (path: string) => {
    const other = statOrNull(path);
    if (other === null) return false;
    if (info.isBlockDevice) return other.isBlockDevice && other.rdev === info.rdev;
    return isSameFile(info, other);
  };
  const reasons: string[] = [];
  for (const name of listNames("/sys/block")) {
    if (!name.startsWith("loop")) continue;
    // The kernel ends the line with a newline; the path is not escaped.
    const backing = readTextOrNull(`/sys/block/${name}/loop/backing_file`)?.replace(/\n$/, "");
    if (backing && isSelf(backing)) reasons.push(`it is behind the loop device "/dev/${name}"`);
  }
  if (info.isFile && parseSwaps(readTextOrNull("/proc/swaps") ?? "").some(isSelf)) {
    reasons.push("it is swap space");
  }
  return reasons;
}

/** The device itself, and those whose use the kernel counts as its use: its partitions, or the disk it is part of. */
function relatedDevices(sys: string, device: string): { device: string; relation: string }[] {
  const related = [{ device, relation: "" }];
  const folder = realPathOrNull(`${sys}/dev/block/${device}`);
  if (folder === null) return related;
  const add = (path: string, relation: string) => {
    const found = readTextOrNull(`${path}/dev`)?.trim();
    if (found) related.push({ device: found, relation });
  };
  const isPartition = (path: string) => statOrNull(`${path}/partition`) !== null;
  if (isPartition(folder)) {
    add(dirname(folder), "disk");
  } else {
    for (const name of listNames(folder).sort()) {
      if (isPartition(`${folder}/${name}`)) add(`${folder}/${name}`, "partition");
    }
  }
  return related;
}

function isMountOf(mount: MountEntry, device: string): boolean {
  if (mount.device === device) return true;
  // btrfs shows a device number of its own making; its source is one of the devices.
  return mount.device.startsWith("0:") && mount.source.startsWith("/dev/") &&
    blockDeviceAt(mount.source) === device;
}

function blockDeviceAt(path: string): string | null {
  const info = statOrNull(path);
  return info?.isBlockDevice && info.rdev !== null ? deviceName(info.rdev) : null;
}

function devicePath(sys: string, device: string): string {
  // The kernel writes the slash of names such as "cciss/c0d0" as "!".
  const name = basename(realPathOrNull(`${sys}/dev/block/${device}`) ?? device);
  return `/dev/${name.replaceAll("!", "/")}`;
}

/** Names a holder as administrators know it: device mapper nodes by their table's name. */
function describeHolder(sys: string, name: string): string {
  const mapperName = readTextOrNull(`${sys}/block/${name}/dm/name`)?.trim();
  return quote(mapperName ? `/dev/mapper/${mapperName}` : `/dev/${name.replaceAll("!", "/")}`);
}
