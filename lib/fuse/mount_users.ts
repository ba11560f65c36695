/**
 * Finds out who uses a mount that is busy, from /proc and /sys, so that people know what to end
 * first.
 *
 * The answer may be incomplete: other users' processes may be hidden, and processes come and go.
 * Nothing here throws.
 *
 * Whoever serves the mount must not search on the thread that serves it (`user_search.ts` has one
 * of its own). The kernel does not tell of a process in the middle of exec(2) or of a page fault,
 * and that process may wait for the mount: exec closes files, which asks their file system.
 *
 * @module
 */

import { backingName, listLoopDevices } from "../linux/loop_devices.ts";
import { listMounts, type Mount } from "../linux/mounts.ts";
import { isInside } from "../linux/paths.ts";
import {
  describeProcess,
  hasOpenOnMount,
  isProcessInside,
  listPids,
  mountNamespace,
} from "../linux/processes.ts";
import { quote } from "../wording.ts";

/** More users than this are counted, not listed. */
const LISTED_USERS = 8;

/** How a search goes on. */
export interface SearchOptions {
  /** Folder that stands for "/" where /proc and /sys are looked up. */
  readonly root?: string;
  /** Called with the id of each process before it is looked at. */
  readonly onLook?: (pid: number) => void;
}

/**
 * Says who uses a mount.
 *
 * @param mount The path that leads to it, absolute and without symbolic links, and its device, see
 *   mountinfo(5).
 * @returns Users such as `/dev/loop0 (mounted at "/mnt/restore")` and `pid 17 (bash)`; empty if
 *   none is found.
 */
export function describeMountUsers(
  { mountpoint, device }: { readonly mountpoint: string; readonly device: string },
  { root = "", onLook = () => {} }: SearchOptions = {},
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
    ...listPids(root).filter((pid) => {
      onLook(pid);
      return isProcessInside(pid, mountpoint, root);
    }).map(describeProcess),
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
 * @returns Such as `pid 17 (bash) in another mount namespace`; empty if nothing is found.
 */
export function describeKeepers(
  { device, id }: { readonly device: string; readonly id: number },
  { root = "", onLook = () => {} }: SearchOptions = {},
): string[] {
  const mountsHere = listMounts({ root });
  const keepers = mountsHere.filter((mount) => mount.device === device)
    .map(({ mountpoint }) => `the mount at ${quote(mountpoint)}`);
  const namespaces = new Set([null, mountNamespace("self", root)]);
  // The kernel reuses a mount's number once it is gone: users of the next mount do not keep ours.
  const isNumberOfAnother = mountsHere.some((mount) => mount.id === id);
  for (const pid of listPids(root).sort((a, b) => a - b)) {
    onLook(pid);
    const namespace = mountNamespace(pid, root);
    if (namespaces.has(namespace)) {
      if (!isNumberOfAnother && hasOpenOnMount(pid, id, root)) keepers.push(describeProcess(pid));
      continue;
    }
    // One process stands for all of its namespace.
    namespaces.add(namespace);
    if (!listMounts({ process: pid, root }).some((mount) => mount.device === device)) continue;
    keepers.push(`${describeProcess(pid)} in another mount namespace`);
  }
  return shorten(keepers);
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
