/**
 * Turns failures into the errno values that programs get for reads and writes of a mounted image.
 *
 * @module
 */

import { FuseError } from "deno-fuse";
import { BackyError, OsError } from "../errors.ts";
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

/**
 * Runs a function, for whose failures the caller gets an errno value.
 *
 * @throws {FuseError} If it throws a {BackyError}. Any other error is a bug and thrown as it is.
 */
export function withErrno<T>(run: () => T, request: FailedRequest = {}): T {
  try {
    return run();
  } catch (error) {
    return failWithErrno(error, request);
  }
}

/** Throws what {@linkcode withErrno} throws for an error. */
export function failWithErrno(error: unknown, request: FailedRequest = {}): never {
  if (!(error instanceof BackyError)) throw error;
  throw new FuseError(errnoFor(error, request), { cause: error });
}
