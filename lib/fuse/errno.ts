/**
 * What a failure is to the program that reads or writes a mounted image: the one table from errors
 * to errno values.
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { Errno } from "../linux/errno.ts";

/** A file system may answer with these; others speak of files that the caller knows nothing of. */
const PASSED_ON: ReadonlySet<number> = new Set([
  Errno.ENOSPC,
  Errno.EROFS,
  Errno.EDQUOT,
  Errno.ENOMEM,
]);

/** Where writing is forbidden, whatever forbids it, the place is as good as read-only. */
const READ_ONLY: ReadonlySet<number> = new Set([Errno.EACCES, Errno.EPERM]);

/**
 * Returns the errno value for any failure: that of a system call if it tells the caller something,
 * else EIO.
 *
 * @param error Anything that was thrown.
 * @param options.isWrite Whether the caller was writing; only then a place that may not be written
 *   to is the cause.
 */
export function errnoFor(error: unknown, options: { isWrite?: boolean } = {}): number {
  if (!(error instanceof OsError)) return Errno.EIO;
  if (PASSED_ON.has(error.errno)) return error.errno;
  return options.isWrite && READ_ONLY.has(error.errno) ? Errno.EROFS : Errno.EIO;
}
