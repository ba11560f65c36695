/**
 * Says what a block device that the kernel calls busy is used for.
 *
 * The kernel's own answer is `open` with O_EXCL, which fails with EBUSY when the device, or for a
 * whole disk one of its partitions, is claimed; this module only finds words for it, in what /proc
 * and /sys tell.
 *
 * @module
 */

import { blockDeviceAt, listHolders, relatedDevices } from "../linux/block_devices.ts";
import { deviceName } from "../linux/file_status.ts";
import { listMounts, listSwaps, type Mount } from "../linux/mounts.ts";
import { quote } from "../wording.ts";

/**
 * Says what a block device is used for, for a device that the kernel calls busy.
 *
 * @param rdev Number of the device.
 * @param root Folder that stands for "/" where /proc and /sys are looked up.
 * @returns Reasons such as `it is mounted at "/srv"`; empty if no user is found, for example
 *   because the device is mounted in another namespace.
 */
export function describeDeviceUse(rdev: number, root = ""): string[] {
  const reasons: string[] = [];
  for (const { device, relation, path } of relatedDevices(deviceName(rdev), root)) {
    const subject = relation === "" ? "it" : `its ${relation} ${quote(path)}`;
    reasons.push(...describeMounts(device, { root, subject }));
    for (const holder of listHolders(device, root)) {
      reasons.push(`${subject} is held by ${quote(holder)}`);
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
  const reasons = listMounts({ root }).filter((mount) => isMountOf(mount, name))
    .map(({ mountpoint }) => `${subject} is mounted at ${quote(mountpoint)}`);
  const isSwap = listSwaps(root).some((path) => blockDeviceAt(path) === name);
  return isSwap ? [...reasons, `${subject} is swap space`] : reasons;
}

function isMountOf(mount: Mount, device: string): boolean {
  if (mount.device === device) return true;
  // btrfs shows a device number of its own making; its source is one of the devices.
  return mount.device.startsWith("0:") && mount.source.startsWith("/dev/") &&
    blockDeviceAt(mount.source) === device;
}
