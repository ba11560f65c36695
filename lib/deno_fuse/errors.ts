/**
 * The errors of this package: of a mount, of its options, and of a single request.
 *
 * A failed system call is an `OsError` of `lib/linux`.
 *
 * @module
 */

import { describeErrno } from "../linux/errno.ts";

/**
 * A file system cannot be mounted, served or unmounted. The message says what to do about it where
 * that is known; it may hold text of libfuse and names of files as they are.
 */
export class MountError extends Error {
  /**
   * Creates the error. @param message One line without a final period: the action, a colon, the
   * reason.
   */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A mount option has a value that is not allowed. */
export class MountOptionError extends MountError {}

/** The failure of a request, as the caller's system call reports it. Handlers throw it. */
export class FuseError extends Error {
  /** Positive errno value. */
  readonly errno: number;

  /** Creates the error. @param errno Positive errno value, such as `Errno.ENOENT`. */
  constructor(errno: number, options?: ErrorOptions) {
    super(describeErrno(errno), options);
    this.name = "FuseError";
    this.errno = errno;
  }
}
