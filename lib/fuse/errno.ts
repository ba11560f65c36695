/**
 * Turns failures into the errno values that programs get for reads and writes of a mounted image.
 *
 * @module
 */

import { FuseError } from "../deno_fuse/mod.ts";
import { BackyError } from "../errors.ts";
import { errnoFor, type FailedRequest } from "../image_access/errno.ts";

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
