/**
 * Finds out who uses a mount that is busy, from /proc and /sys, so that a person knows what to end first.
 *
 * It is a help and no more: processes of other users may not be looked at, and users may come and go meanwhile. Only links
 * are read, never the mount itself, which this thread serves. Nothing here throws.
 *
 * @module
 */

import { describeProcess } from "../store/lock_holder.ts";
import { listNames, readTextOrNull } from "../target/file_info.ts";
import { parseMountinfo } from "../target/in_use.ts";
import { quote } from "../wording.ts";

/** More users than this are counted, not listed. */
const LISTED_USERS = 8;

/**
 * Says who uses a mount.
 *
 * @param mountpoint Absolute path without symbolic links.
 * @param root Folder that stands for "/" where /proc and /sys are looked up.
 * @returns Users such as `/dev/loop0 (mounted at "/mnt/restore")` and `pid 17 (bash)`; empty if none is to be found.
 */
export function describeMountUsers(mountpoint: string, root = ""): string[] {
  const users = [...loopUsers(mountpoint, root), ...processUsers(mountpoint, root)];
  const more = users.length - LISTED_USERS;
  return more > 0 ? [...users.slice(0, LISTED_USERS), `${more} more`] : users;
}

/** Whether an absolute path without symbolic links is a directory or lies in it. */
export function isInside(path: string, dir: string): boolean {
  return path === dir || path.startsWith(dir === "/" ? dir : `${dir}/`);
}

/** Loop devices on files of the mount, with where they are mounted in turn. */
function* loopUsers(mountpoint: string, root: string): Generator<string> {
  const mounts = parseMountinfo(readTextOrNull(`${root}/proc/self/mountinfo`) ?? "");
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
