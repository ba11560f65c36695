/**
 * What block devices tell by `ioctl`, which needs neither /sys nor /proc, and how they belong
 * together: a disk and its partitions, a device and what is stacked on it.
 *
 * A device is known by its number as /proc and /sys write it, "major:minor". `root` is a folder
 * that stands for "/" where /proc and /sys are looked up.
 *
 * @module
 */

import { basename, dirname } from "node:path";

import { retryOnEintr } from "./errno.ts";
import { deviceName, statOrNull } from "./file_status.ts";
import { openFd, OpenFlag, releaseFd } from "./files.ts";
import { libc } from "./libc.ts";
import { listNames, readTextOrNull, realPathOrNull } from "./paths.ts";

/** Requests of `ioctl`. Source: linux/fs.h. */
const BLKROGET = 0x125en, BLKSSZGET = 0x1268n, BLKGETSIZE64 = 0x80081272n;

/** Size of a block device in bytes. @throws {OsError} If `fd` is not a block device. */
export function blockDeviceBytes(fd: number, path = ""): number {
  return Number(ask(fd, BLKGETSIZE64, { into: new BigUint64Array(1), path })[0]);
}

/** Logical block size of a block device in bytes. @throws {OsError} If `fd` is not one. */
export function logicalBlockBytes(fd: number, path = ""): number {
  return ask(fd, BLKSSZGET, { into: new Int32Array(1), path })[0]!;
}

/**
 * Tells whether a block device is read-only, which the kernel may call "Permission denied" or let
 * pass when it is opened for writing.
 *
 * @param rdev Number of the device, to ask /sys if it may not be opened.
 */
export function isReadOnlyDevice(path: string, rdev: number): boolean {
  try {
    const fd = openFd(path, OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK);
    try {
      return ask(fd, BLKROGET, { into: new Int32Array(1), path })[0] !== 0;
    } finally {
      releaseFd(fd);
    }
  } catch {
    return readTextOrNull(`/sys/dev/block/${deviceName(rdev)}/ro`)?.trim() === "1";
  }
}

/** Makes an `ioctl` that writes one number. */
function ask<T extends Int32Array | BigUint64Array>(
  fd: number,
  request: bigint,
  { into, path }: { into: T; path: string },
): T {
  const argument = new Uint8Array(into.buffer as ArrayBuffer);
  retryOnEintr(() => libc.ioctl(fd, request, argument), { syscall: "ioctl", path });
  return into;
}

/** The number of the block device that a path leads to; `null` if it does not lead to one. */
export function blockDeviceAt(path: string): string | null {
  const info = statOrNull(path);
  return info?.isBlockDevice && info.rdev !== null ? deviceName(info.rdev) : null;
}

/** A device whose use the kernel counts as another's. */
export interface RelatedDevice {
  /** "major:minor". */
  readonly device: string;
  /** What it is to the other: "partition" or "disk"; "" for the device itself. */
  readonly relation: "" | "partition" | "disk";
  /** Path of its node; "" for the device itself. */
  readonly path: string;
}

/** Lists a device, and its partitions or the disk that it is part of. */
export function relatedDevices(device: string, root = ""): RelatedDevice[] {
  const related: RelatedDevice[] = [{ device, relation: "", path: "" }];
  const folder = realPathOrNull(`${root}/sys/dev/block/${device}`);
  if (folder === null) return [...related, ...relatedByName(device, root)];
  const add = (path: string, relation: "partition" | "disk") => {
    const found = readTextOrNull(`${path}/dev`)?.trim();
    if (found) related.push({ device: found, relation, path: nodePath(basename(path)) });
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
function relatedByName(device: string, root: string): RelatedDevice[] {
  const devices = listPartitions(root) ?? [];
  const self = devices.find((found) => found.device === device);
  if (self === undefined) return [];
  const isPartOf = (part: string, disk: string) =>
    part.startsWith(disk) && /^\d+$/.test(part.slice(disk.length).replace(/^p(?=\d)/, "")) &&
    /\d$/.test(disk) === /^p/.test(part.slice(disk.length));
  return devices.flatMap(({ device, name }): RelatedDevice[] => {
    const path = nodePath(name);
    if (isPartOf(name, self.name)) return [{ device, relation: "partition", path }];
    return isPartOf(self.name, name) ? [{ device, relation: "disk", path }] : [];
  });
}

/**
 * Lists the block devices in /proc/partitions, which has those with a length (proc_partitions(5));
 * `null` if it cannot be read.
 */
export function listPartitions(root = ""): { device: string; name: string }[] | null {
  const text = readTextOrNull(`${root}/proc/partitions`);
  // Major and minor number, blocks, name.
  return text === null ? null : [...text.matchAll(/^\s*(\d+)\s+(\d+)\s+\d+\s+(\S+)$/gm)]
    .map(([, major, minor, name]) => ({ device: `${major}:${minor}`, name: name! }));
}

/**
 * Lists what is stacked on a device, such as "/dev/mapper/vg-root": device mapper nodes by their
 * table's name, as administrators know them.
 */
export function listHolders(device: string, root = ""): string[] {
  return listNames(`${root}/sys/dev/block/${device}/holders`).sort().map((name) => {
    const mapperName = readTextOrNull(`${root}/sys/block/${name}/dm/name`)?.trim();
    return mapperName ? `/dev/mapper/${mapperName}` : nodePath(name);
  });
}

/** The kernel writes the slash of names such as "cciss/c0d0" as "!". */
function nodePath(name: string): string {
  return `/dev/${name.replaceAll("!", "/")}`;
}
