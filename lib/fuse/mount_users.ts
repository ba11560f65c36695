/**
 * Finds out who uses a mount that is busy, from /proc and /sys, so that a person knows what to end
 * first.
 *
 * It is a help and no more: processes of other users may not be looked at, and users may come and
 * go meanwhile. Only links are read, never the mount itself, which this thread serves. Nothing here
 * throws.
 *
 * @module
 */

import { describeProcess } from "../store/lock_holder.ts";
import { listNames, readTextOrNull } from "../linux/file_info.ts";
import { type MountEntry, parseMountinfo } from "../target/in_use.ts";
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
 *   none is to be found.
 */
export function describeMountUsers(
  { mountpoint, device }: { readonly mountpoint: string; readonly device: string },
  root = "",
): string[] {
  const mounts = parseMountinfo(readTextOrNull(`${root}/proc/self/mountinfo`) ?? "");
  const own = mounts.findLast((mount) => mount.device === device);
  const others = own ? mounts.slice(mounts.indexOf(own) + 1) : [];
  return shorten([
    ...others.filter(({ mountPoint }) => isInside(mountPoint, mountpoint)).map(({ mountPoint }) =>
      mountPoint === mountpoint ? "another mount over it" : `the mount at ${quote(mountPoint)}`
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
 * Says what keeps a mount alive that is no longer where it was: other places, mount namespaces of
 * other processes (containers, services with PrivateTmp), files that are open.
 *
 * @param mount Device and number of the mount, see mountinfo(5).
 * @param root Folder that stands for "/" where /proc is looked up.
 * @returns Such as `pid 17 (bash) in another mount namespace`; empty if nothing is to be found.
 */
export function describeKeepers(
  { device, id }: { readonly device: string; readonly id: number },
  root = "",
): string[] {
  const placesIn = (process: string) =>
    parseMountinfo(readTextOrNull(`${root}/proc/${process}/mountinfo`) ?? "")
      .filter((mount) => mount.device === device);
  const keepers = placesIn("self").map(({ mountPoint }) => `the mount at ${quote(mountPoint)}`);
  const namespaces = new Set(["", readLink(`${root}/proc/self/ns/mnt`)]);
  // The kernel gives the number of a mount that has gone to the next one, whose users are none of
  // ours.
  const isNumberOfAnother = mountNumbers(root).has(id);
  const pids = listNames(`${root}/proc`).filter((name) => /^\d+$/.test(name));
  for (const pid of pids.sort((a, b) => Number(a) - Number(b))) {
    const namespace = readLink(`${root}/proc/${pid}/ns/mnt`);
    if (namespaces.has(namespace)) {
      const isKeeper = !isNumberOfAnother && hasOpen(`${root}/proc/${pid}`, id);
      if (isKeeper) keepers.push(describeProcess(Number(pid)));
      continue;
    }
    // One process stands for all of its namespace.
    namespaces.add(namespace);
    if (placesIn(pid).length === 0) continue;
    keepers.push(`${describeProcess(Number(pid))} in another mount namespace`);
  }
  return shorten(keepers);
}

/** The numbers of the mounts that there are in this process's mount namespace. */
function mountNumbers(root: string): Set<number> {
  const lines = (readTextOrNull(`${root}/proc/self/mountinfo`) ?? "").split("\n");
  return new Set(lines.map((line) => parseInt(line, 10)));
}

/**
 * Whether a process has files of a mount open; a descriptor's link tells no path of a mount that
 * was detached.
 */
function hasOpen(process: string, mountId: number): boolean {
  const line = new RegExp(`^mnt_id:\\s*${mountId}$`, "m");
  return listNames(`${process}/fdinfo`)
    .some((fd) => line.test(readTextOrNull(`${process}/fdinfo/${fd}`) ?? ""));
}

/** Whether an absolute path without symbolic links is a directory or lies in it. */
export function isInside(path: string, dir: string): boolean {
  return path === dir || path.startsWith(dir === "/" ? dir : `${dir}/`);
}

/** Loop devices on files of the mount, with where they are mounted in turn. */
function* loopUsers(
  mountpoint: string,
  mounts: readonly MountEntry[],
  root: string,
): Generator<string> {
  for (const name of listNames(`${root}/sys/block`)) {
    if (!name.startsWith("loop")) continue;
    const backing = readTextOrNull(`${root}/sys/block/${name}/loop/backing_file`);
    if (backing === null || !isInside(backing.trimEnd(), mountpoint)) continue;
    const device = `/dev/${name}`;
    // Partitions are /dev/loop0p1 and so on.
    const places = mounts
      .filter(({ source }) => source === device || source.startsWith(`${device}p`))
      .map(({ mountPoint }) => quote(mountPoint));
    yield places.length > 0 ? `${device} (mounted at ${places.join(", ")})` : device;
  }
}

/** Processes with a file of the mount open, or that are inside. */
function* processUsers(mountpoint: string, root: string): Generator<string> {
  for (const pid of listNames(`${root}/proc`)) {
    if (!/^\d+$/.test(pid)) continue;
    const base = `${root}/proc/${pid}`;
    const links = [`${base}/cwd`, `${base}/root`];
    for (const fd of listNames(`${base}/fd`)) links.push(`${base}/fd/${fd}`);
    if (links.some((link) => isInside(readLink(link), mountpoint))) {
      yield describeProcess(Number(pid));
    }
  }
}

/** Where a link leads, as text; "" if that cannot be told. */
function readLink(path: string): string {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return "";
  }
}
