/**
 * Says what a block device that the kernel calls busy is used for.
 *
 * The kernel's own answer is `open` with O_EXCL, which fails with EBUSY when the device, or for a
 * whole disk one of its partitions, is claimed; this module only finds words for it, in what /proc
 * and /sys tell.
 *
 * @module
 */

import { basename, dirname } from "node:path";

import { listNames, readTextOrNull, realPathOrNull, statOrNull } from "../linux/file_info.ts";
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
 * Parses the text of /proc/self/mountinfo. Format: proc_pid_mountinfo(5); lines that do not follow
 * it are left out.
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
 * @returns Reasons such as `it is mounted at "/srv"`; empty if the user is not to be found, for
 *   example because it is mounted in another namespace.
 */
export function describeDeviceUse(rdev: number, root = ""): string[] {
  const sys = `${root}/sys`;
  const self = deviceName(rdev);
  const reasons: string[] = [];
  for (const { device, relation, name } of relatedDevices(root, self)) {
    const subject = device === self ? "it" : `its ${relation} ${quote(name)}`;
    reasons.push(...describeMounts(device, { root, subject }));
    for (const holder of listNames(`${sys}/dev/block/${device}/holders`).sort()) {
      reasons.push(`${subject} is held by ${describeHolder(sys, holder)}`);
    }
  }
  return [...new Set(reasons)];
}

/**
 * Says where a device is mounted, and whether it is swapped to.
 *
 * @param device Its number, or that as "major:minor".
 */
export function describeMounts(
  device: number | string,
  { root = "", subject = "it" }: { root?: string; subject?: string } = {},
): string[] {
  const name = typeof device === "number" ? deviceName(device) : device;
  const mounts = parseMountinfo(readTextOrNull(`${root}/proc/self/mountinfo`) ?? "");
  const reasons = mounts.filter((mount) => isMountOf(mount, name))
    .map(({ mountPoint }) => `${subject} is mounted at ${quote(mountPoint)}`);
  const swaps = parseSwaps(readTextOrNull(`${root}/proc/swaps`) ?? "");
  if (swaps.some((path) => blockDeviceAt(path) === name)) reasons.push(`${subject} is swap space`);
  return reasons;
}

/** A device whose use counts as another's. */
interface RelatedDevice {
  /** "major:minor". */
  readonly device: string;
  /** "partition", "disk", or "" for the device itself. */
  readonly relation: string;
  /** Path of its node. */
  readonly name: string;
}

/**
 * The device itself, and those whose use the kernel counts as its use: its partitions, or the disk
 * it is part of.
 */
function relatedDevices(root: string, device: string): RelatedDevice[] {
  const self = { device, relation: "", name: "" };
  const sys = `${root}/sys`;
  const folder = realPathOrNull(`${sys}/dev/block/${device}`);
  if (folder === null) return [self, ...relatedByName(root, device)];
  const related: RelatedDevice[] = [self];
  const add = (path: string, relation: string) => {
    const found = readTextOrNull(`${path}/dev`)?.trim();
    if (found) related.push({ device: found, relation, name: devicePath(basename(path)) });
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

/**
 * Without /sys, tells disks and partitions by the names in /proc/partitions: sda1 is part of sda,
 * nvme0n1p1 of nvme0n1.
 */
function relatedByName(root: string, device: string): RelatedDevice[] {
  const devices = parsePartitions(readTextOrNull(`${root}/proc/partitions`) ?? "");
  const self = devices.find((found) => found.device === device);
  if (self === undefined) return [];
  const isPartOf = (part: string, disk: string) =>
    part.startsWith(disk) && /^\d+$/.test(part.slice(disk.length).replace(/^p(?=\d)/, "")) &&
    /\d$/.test(disk) === /^p/.test(part.slice(disk.length));
  return devices.flatMap(({ device, name }): RelatedDevice[] => {
    if (isPartOf(name, self.name)) {
      return [{ device, relation: "partition", name: devicePath(name) }];
    }
    return isPartOf(self.name, name) ? [{ device, relation: "disk", name: devicePath(name) }] : [];
  });
}

/**
 * Parses the text of /proc/partitions: major, minor, blocks and name. Format: proc_partitions(5).
 */
export function parsePartitions(text: string): { device: string; name: string }[] {
  return [...text.matchAll(/^\s*(\d+)\s+(\d+)\s+\d+\s+(\S+)$/gm)]
    .map(([, major, minor, name]) => ({ device: `${major}:${minor}`, name: name! }));
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

/** The kernel writes the slash of names such as "cciss/c0d0" as "!". */
function devicePath(name: string): string {
  return `/dev/${name.replaceAll("!", "/")}`;
}

/** Names a holder as administrators know it: device mapper nodes by their table's name. */
function describeHolder(sys: string, name: string): string {
  const mapperName = readTextOrNull(`${sys}/block/${name}/dm/name`)?.trim();
  return quote(mapperName ? `/dev/mapper/${mapperName}` : devicePath(name));
}
