/**
 * Turns failures of reads and writes of an image into errno values, for clients that get no more
 * than a number.
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { Errno } from "../linux/errno.ts";

/** Passed on as they are; other values concern files that the caller knows nothing of. */
const PASSED_ON: ReadonlySet<number> = new Set([
  Errno.ENOSPC,
  Errno.EROFS,
  Errno.EDQUOT,
  Errno.ENOMEM,
]);

/** To someone who writes, a directory that must not be written to is read-only. */
const READ_ONLY: ReadonlySet<number> = new Set([Errno.EACCES, Errno.EPERM]);

/** What was being done when something failed. */
export interface FailedRequest {
  /** Whether the caller was writing: then missing permissions become EROFS. */
  readonly isWrite?: boolean;
}

/**
 * Returns the errno value for any failure: that of the system call if it tells the caller
 * something, else EIO.
 */
export function errnoFor(error: unknown, { isWrite = false }: FailedRequest = {}): number {
  if (!(error instanceof OsError)) return Errno.EIO;
  if (PASSED_ON.has(error.errno)) return error.errno;
  return isWrite && READ_ONLY.has(error.errno) ? Errno.EROFS : Errno.EIO;
}
