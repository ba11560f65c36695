/**
 * Checks that a target's name still leads to the open file or device. A file can be deleted,
 * renamed or replaced while it is written, and then the image is not where the user will look for
 * it.
 *
 * @module
 */

import { TargetError } from "../errors.ts";
import { isSameFile, statFd, statOrNull } from "../linux/file_status.ts";
import { quote } from "../wording.ts";
import { fdPath, linkOrNull, realPathOrNull } from "../linux/paths.ts";

/** Whether a path leads to the file or device that a descriptor has open. */
export function isNamedBy(fd: number, path: string): boolean {
  const opened = statFd(fd), named = statOrNull(path);
  if (named === null) return false;
  // The same device may have got a new node.
  if (opened.isBlockDevice) return named.isBlockDevice === true && named.rdev === opened.rdev;
  if (isSameFile(opened, named)) return true;
  // Some network file systems give a file another inode number each time.
  return opened.dev === named.dev && opened.size === named.size &&
    opened.mtime?.getTime() === named.mtime?.getTime() &&
    linkOfFd(fd) === realPathOrNull(path);
}

/** Whether two descriptors lead to one file or device. */
export function isSameOpened(fd: number, otherFd: number): boolean {
  const opened = statFd(fd), other = statFd(otherFd);
  if (opened.isBlockDevice) return other.isBlockDevice === true && other.rdev === opened.rdev;
  return isSameFile(opened, other);
}

/**
 * Requires that a path leads to the file or device that a descriptor has open.
 *
 * @throws {TargetError} If not; the message says where the image is.
 */
export function requireNamedBy(fd: number, path: string): void {
  if (isNamedBy(fd, path)) return;
  const what = statOrNull(path) === null
    ? "it was deleted or renamed while it was written"
    : "something else has taken its name while it was written";
  throw new TargetError(
    `Cannot finish ${quote(path)}: ${what}; ${whereItIs(fd)}`,
    { path, offset: null, isDisplaced: true },
  );
}

function whereItIs(fd: number): string {
  const opened = statFd(fd);
  if (opened.isBlockDevice) return "the image is complete on the device that had it";
  const link = linkOfFd(fd);
  if (link !== null && isNamedBy(fd, link)) return `the image is complete in ${quote(link)}`;
  if (opened.nlink === 0) return "what was written is gone, restore it once more";
  return `the image is complete in the file that has inode ${opened.ino} there`;
}

/** The path by which the kernel knows the file; " (deleted)" is added to a name that is gone. */
function linkOfFd(fd: number): string | null {
  return linkOrNull(fdPath(fd));
}
