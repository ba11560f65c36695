/**
 * Finds out who uses a mount that is busy, from /proc and /sys, so that people know what to end
 * first.
 *
 * The answer may be incomplete: other users' processes may be hidden, and processes come and go.
 * Only links are read, never the mount itself, which this thread serves. Nothing here throws.
 *
 * @module
 */

import { backingName, listLoopDevices } from "../linux/loop_devices.ts";
import { listMounts, type Mount } from "../linux/mounts.ts";
import { isInside, linkOrNull, listNames, readTextOrNull } from "../linux/paths.ts";
import { describeProcess, listPids } from "../linux/processes.ts";
import { quote } from "../wording.ts";

/** More users than this are counted, not listed. */
const LISTED_USERS = 8;

/**
 * Says who uses a mount.
 *
 * @param mount The path that leads to it, absolute and without symbolic links, and its device, see
 *   mountinfo(5).
 * @param root Folder that stands for "/" where /proc and /sys are looked up.
 * @returns Users such as `/dev/loop0 (mounted at "/mnt/restore")` and `pid 17 (bash)`; empty if
 *   none is found.
 */
export function describeMountUsers(
  { mountpoint, device }: { readonly mountpoint: string; readonly device: string },
  root = "",
): string[] {
  const mounts = listMounts({ root });
  const own = mounts.findLast((mount) => mount.device === device);
  const others = own ? mounts.slice(mounts.indexOf(own) + 1) : [];
  return shorten([
    ...others.filter((mount) => isInside(mount.mountpoint, mountpoint)).map((mount) =>
      mount.mountpoint === mountpoint
        ? "another mount over it"
        : `the mount at ${quote(mount.mountpoint)}`
    ),
    ...loopUsers(mountpoint, mounts, root),
    ...processUsers(mountpoint, root),
  ]);
}

function shorten(users: readonly string[]): string[] {
  const more = users.length - LISTED_USERS;
  return more > 0 ? [...users.slice(0, LISTED_USERS), `${more} more`] : [...users];
}

/**
 * Says what keeps a mount alive that was removed from its place: other places, mount namespaces of
 * other processes (containers, services with PrivateTmp), files that are open.
 *
 * @param mount Device and number of the mount, see mountinfo(5).
 * @param root Folder that stands for "/" where /proc is looked up.
 * @returns Such as `pid 17 (bash) in another mount namespace`; empty if nothing is found.
 */
export function describeKeepers(
  { device, id }: { readonly device: string; readonly id: number },
  root = "",
): string[] {
  const mountsHere = listMounts({ root });
  const keepers = mountsHere.filter((mount) => mount.device === device)
    .map(({ mountpoint }) => `the mount at ${quote(mountpoint)}`);
  const namespaces = new Set([null, linkOrNull(`${root}/proc/self/ns/mnt`)]);
  // The kernel reuses a mount's number once it is gone: users of the next mount do not keep ours.
  const isNumberOfAnother = mountsHere.some((mount) => mount.id === id);
  for (const pid of listPids(root).sort((a, b) => a - b)) {
    const namespace = linkOrNull(`${root}/proc/${pid}/ns/mnt`);
    if (namespaces.has(namespace)) {
      const isKeeper = !isNumberOfAnother && hasOpen(`${root}/proc/${pid}`, id);
      if (isKeeper) keepers.push(describeProcess(pid));
      continue;
    }
    // One process stands for all of its namespace.
    namespaces.add(namespace);
    if (!listMounts({ process: pid, root }).some((mount) => mount.device === device)) continue;
    keepers.push(`${describeProcess(pid)} in another mount namespace`);
  }
  return shorten(keepers);
}

/**
 * Whether a process has files of a mount open. Links of descriptors do not tell: they lose the
 * path once the mount is detached.
 */
function hasOpen(process: string, mountId: number): boolean {
  const line = new RegExp(`^mnt_id:\\s*${mountId}$`, "m");
  return listNames(`${process}/fdinfo`)
    .some((fd) => line.test(readTextOrNull(`${process}/fdinfo/${fd}`) ?? ""));
}

/** Loop devices on files of the mount, and where those are mounted. */
function* loopUsers(mountpoint: string, mounts: readonly Mount[], root: string): Generator<string> {
  for (const device of listLoopDevices(root).paths) {
    const backing = backingName(device, root);
    if (backing === null || !isInside(backing, mountpoint)) continue;
    // Partitions are /dev/loop0p1 and so on.
    const places = mounts
      .filter(({ source }) => source === device || source.startsWith(`${device}p`))
      .map(({ mountpoint }) => quote(mountpoint));
    yield places.length > 0 ? `${device} (mounted at ${places.join(", ")})` : device;
  }
}

/** Processes with a file of the mount open, or with their working or root directory inside. */
function* processUsers(mountpoint: string, root: string): Generator<string> {
  for (const pid of listPids(root)) {
    const base = `${root}/proc/${pid}`;
    const links = [`${base}/cwd`, `${base}/root`];
    for (const fd of listNames(`${base}/fd`)) links.push(`${base}/fd/${fd}`);
    if (links.some((link) => isInside(linkOrNull(link) ?? "", mountpoint))) {
      yield describeProcess(pid);
    }
  }
}
