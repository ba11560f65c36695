/**
 * Checks what speaks against a mount before the purge lock is taken. `deno-fuse` checks the mount
 * point itself.
 *
 * @module
 */

import { MountError } from "../errors.ts";
import { reasonOf } from "../linux/errno.ts";
import { listMounts } from "../linux/mounts.ts";
import { isInside, nearestFolder, realPathOrNull } from "../linux/paths.ts";
import { quote } from "../wording.ts";

/**
 * What follows "fuse." in a mount's type: the program's name, as fstab(5) has it, so that
 * `umount -a -t` and `findmnt -t` know it by the type that it was mounted by.
 */
export const SUBTYPE = "backy-fuse";

/**
 * Requires that changes can be stored, and that the mount hides nothing that it reads or writes,
 * nor another mount of ours.
 *
 * @throws {MountError} If the spill directory is not a directory, the mount point is inside one of
 *   the two directories or above it, or a backup is mounted there.
 */
export async function requireMountable(
  mountpoint: string,
  { basedir, spillDir }: { basedir: string; spillDir: string },
): Promise<void> {
  requireSpillDirectory(mountpoint, spillDir);
  requireApart(mountpoint, [basedir, spillDir]);
  await requireFree(mountpoint);
}

function requireSpillDirectory(mountpoint: string, spillDir: string): void {
  let why = "it is not a directory";
  try {
    if (Deno.statSync(spillDir).isDirectory) return;
  } catch (error) {
    why = reasonOf(error);
  }
  const place = quote(mountpoint);
  throw new MountError(`Cannot mount at ${place}: spill directory ${quote(spillDir)}: ${why}`);
}

/**
 * Refuses a mount point inside one of the directories or above it: the mount would hide the files
 * that it serves, and wait for itself when it opens one.
 */
function requireApart(mountpoint: string, dirs: readonly string[]): void {
  const at = realPathOrNull(mountpoint);
  // If the mount point is missing: where would it be created?
  const place = at ?? nearestFolder(mountpoint);
  if (place === null) return; // mounting will say what is wrong with it
  for (const dir of dirs) {
    const real = Deno.realPathSync(dir);
    if (isInside(place, real)) refusePlace(mountpoint, `it lies in ${quote(dir)}`);
    if (at !== null && isInside(real, at)) {
      refusePlace(mountpoint, `it would hide ${quote(dir)}`);
    }
  }
}

/**
 * Refuses a mount point of another mount of ours, which the kernel would accept: the first would be
 * hidden with what was written to it, and go on holding the purge lock. Over other file systems one
 * may want to mount.
 *
 * @throws {MountError} If a backup is mounted there.
 */
export async function requireFree(mountpoint: string): Promise<void> {
  const at = realPathOrNull(mountpoint);
  const mount = listMounts().findLast((mount) => mount.mountpoint === at);
  if (mount?.type !== `fuse.${SUBTYPE}` || !await isServed(mountpoint)) return;
  throw new MountError(
    `Cannot mount at ${quote(mountpoint)}: ${quote(mount.source)} is mounted there already; ` +
      "use it, or unmount it first",
  );
}

/** A server that has not answered by then is there all the same: it is stopped, or hangs. */
const ANSWER_MS = 1000;

/**
 * Whether a mount still has a server. Of one that has none, mounting says how to clear it away.
 * This thread must not block until it is known: it could hear no signal, and may be the server.
 */
async function isServed(mountpoint: string): Promise<boolean> {
  const isTimeUp = Promise.withResolvers<true>();
  const timer = setTimeout(isTimeUp.resolve, ANSWER_MS, true);
  const answers = Deno.stat(mountpoint).then(() => true, () => false);
  const isServed = await Promise.race([answers, isTimeUp.promise]);
  clearTimeout(timer);
  return isServed;
}

function refusePlace(mountpoint: string, reason: string): never {
  throw new MountError(
    `Cannot mount at ${quote(mountpoint)}: ${reason}; use an empty directory elsewhere`,
  );
}
