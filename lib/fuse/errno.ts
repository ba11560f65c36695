/**
 * What a failure is to the program that reads or writes a mounted image: the one table from errors
 * to errno values.
 *
 * @module
 */

import { BackyError, OsError } from "../errors.ts";
import { describeErrno, Errno, errnoName } from "../ffi/errno.ts";
import { quote } from "../wording.ts";

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

/**
 * Makes a failed system call of `Deno.*` an {@linkcode OsError}, which keeps its errno on the way
 * out of a worker.
 *
 * @param action What was being done, up to the path: `Cannot open`.
 * @returns The error itself if it is one of ours or no failed system call.
 */
export function toOsError(error: unknown, action: string, path: string): unknown {
  if (error instanceof BackyError || !(error instanceof Error)) return error;
  const match = /\(os error (\d+)\)/.exec(error.message);
  if (!match) return error;
  const errno = Number(match[1]);
  return new OsError(
    `${action} ${quote(path)}: ${describeErrno(errno)}`,
    { errno, errnoName: errnoName(errno), syscall: "write", path },
    { cause: error },
  );
}
