/**
 * The error of a failed system call, and the base of all errors that are raised on purpose. Pure;
 * imports nothing.
 *
 * @module
 */

/** An error that is raised on purpose and told from others by its code. */
export abstract class CodedError extends Error {
  /** Stable machine-readable name of the class; also its tag between workers. */
  abstract readonly code: string;

  /**
   * Creates the error, named for its class.
   *
   * @param options A `cause` that is `undefined` is left out.
   */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options?.cause === undefined ? undefined : options);
    this.name = new.target.name;
  }
}

/** A system call failed. */
export class OsError extends CodedError {
  /** Always "os". */
  override readonly code = "os";
  /** Positive errno value. */
  readonly errno: number;
  /** Symbolic name such as "ENOSPC"; "E<number>" for one that is not in the table. */
  readonly errnoName: string;
  /** Name of the C function, or what it was to do. */
  readonly syscall: string;
  /** The file concerned; "" where the call names none. */
  readonly path: string;

  /** Creates the error; `message` has the form of `osError()` in errno.ts. */
  constructor(
    message: string,
    fields: { errno: number; errnoName: string; syscall: string; path: string },
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.errno = fields.errno;
    this.errnoName = fields.errnoName;
    this.syscall = fields.syscall;
    this.path = fields.path;
  }
}
