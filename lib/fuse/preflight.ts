/**
 * Checks what speaks against a mount before the purge lock is taken. `deno-fuse` checks the mount
 * point itself.
 *
 * @module
 */

import { MountError } from "../errors.ts";
import { reasonOf } from "../linux/errno.ts";
import { isInside, nearestFolder, realPathOrNull } from "../linux/paths.ts";
import { quote } from "../wording.ts";

/**
 * Requires that changes can be stored, and that the mount hides nothing that it reads or writes.
 *
 * @throws {MountError} If the spill directory is not a directory, or the mount point is inside one
 *   of the two directories or above it.
 */
export function requireMountable(
  mountpoint: string,
  { basedir, spillDir }: { basedir: string; spillDir: string },
): void {
  requireSpillDirectory(mountpoint, spillDir);
  requireApart(mountpoint, [basedir, spillDir]);
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

function refusePlace(mountpoint: string, reason: string): never {
  throw new MountError(
    `Cannot mount at ${quote(mountpoint)}: ${reason}; use an empty directory elsewhere`,
  );
}
