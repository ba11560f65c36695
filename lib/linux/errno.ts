/**
 * Names the values of `errno`, and makes errors and messages of them.
 *
 * @module
 */

import { lastErrno, libc } from "./libc.ts";
import { CodedError, OsError } from "./os_error.ts";
import { printable, quote } from "./printable.ts";

/**
 * errno values that this project tells apart, or that file systems, block devices and their
 * networks give. Source: asm-generic/errno{,-base}.h.
 */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EMLINK: 31,
  EPIPE: 32,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  ETIME: 62,
  ENOLINK: 67,
  EPROTO: 71,
  EBADMSG: 74,
  EOVERFLOW: 75,
  EILSEQ: 84,
  EOPNOTSUPP: 95,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ENETRESET: 102,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS: 105,
  ENOTCONN: 107,
  ESHUTDOWN: 108,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTDOWN: 112,
  EHOSTUNREACH: 113,
  EALREADY: 114,
  EINPROGRESS: 115,
  ESTALE: 116,
  EUCLEAN: 117,
  EREMOTEIO: 121,
  EDQUOT: 122,
  ENOMEDIUM: 123,
  EMEDIUMTYPE: 124,
  ECANCELED: 125,
  ENOKEY: 126,
  EKEYEXPIRED: 127,
  EKEYREVOKED: 128,
  EKEYREJECTED: 129,
} as const;

const names = new Map<number, string>(Object.entries(Errno).map(([name, value]) => [value, name]));

/** Returns the symbolic name of an errno value, "E<number>" for one that is not in the table. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `E${errno}`;
}

/**
 * Returns the C library's text for an errno value and its name, as messages end with them: "No
 * space left on device (ENOSPC)".
 */
export function describeErrno(errno: number): string {
  const pointer = libc.strerror(errno);
  const name = errnoName(errno);
  return pointer === null ? name : `${Deno.UnsafePointerView.getCString(pointer)} (${name})`;
}

/**
 * Builds the error of a failed system call, as `Cannot open "/x": Permission denied (EACCES)`.
 *
 * @param errno Positive errno value.
 * @param fields.syscall Name of the C function.
 * @param fields.path The file concerned; "" if the call names none.
 */
export function osError(errno: number, fields: { syscall: string; path: string }): OsError {
  const subject = fields.path === "" ? "" : ` ${quote(fields.path)}`;
  return new OsError(
    `Cannot ${fields.syscall}${subject}: ${describeErrno(errno)}`,
    { ...fields, errno, errnoName: errnoName(errno) },
  );
}

/**
 * Makes a system call, again while a signal interrupts it.
 *
 * @param call Returns what the C function does, as a number: below 0 if it failed.
 * @returns What the call returned, >= 0.
 * @throws {OsError} On any failure but EINTR; `fields` are those of {@linkcode osError}.
 */
export function retryOnEintr(
  call: () => number,
  fields: { syscall: string; path: string },
): number {
  for (;;) {
    const result = call();
    if (result >= 0) return result;
    const errno = lastErrno();
    if (errno !== Errno.EINTR) throw osError(errno, fields);
  }
}

/** Deno writes "No such file or directory (os error 2): stat '/x'". */
const RUNTIME_ERRNO = /\(os error (\d+)\)/;

/** Whether a system call failed, made by this folder or by the runtime. */
export function isSystemError(error: unknown): boolean {
  if (error instanceof CodedError) return error instanceof OsError;
  return errnoOf(error) !== null;
}

/** Errors that are not about the file, but about this process or the system; and what to do. */
const LACKS: ReadonlyMap<number, string> = new Map([
  [Errno.EMFILE, "raise the limit of open files (ulimit -n)"],
  [Errno.ENFILE, "raise the system's limit of open files (fs.file-max)"],
  [Errno.ENOMEM, "free some memory"],
]);

/**
 * Rethrows an error that means descriptors or memory are short: callers would otherwise call the
 * file missing or bad.
 *
 * @param error What was caught, of `Deno.*` or of this folder.
 * @param path What was to be opened or read.
 * @throws {OsError} In that case; does nothing with other errors.
 */
export function rethrowLack(error: unknown, path: string): void {
  const errno = errnoOf(error);
  const advice = errno === null ? null : adviceForLack(errno);
  if (errno === null || advice === null) return;
  throw new OsError(
    `Cannot read ${quote(path)}: ${describeErrno(errno)}; ${advice}`,
    { errno, errnoName: errnoName(errno), syscall: "read", path },
    { cause: error },
  );
}

/** What to do if descriptors or memory are short; `null` for all other errno values. */
export function adviceForLack(errno: number): string | null {
  return LACKS.get(errno) ?? null;
}

/** The errno of an error of `Deno.*` or of this folder; `null` for all other errors. */
export function errnoOf(error: unknown): number | null {
  if (error instanceof OsError) return error.errno;
  const match = error instanceof Error ? RUNTIME_ERRNO.exec(error.message) : null;
  return match ? Number(match[1]) : null;
}

/** How much of an unknown error's text goes into a message. */
const REASON_MAX_CHARS = 200;

/**
 * Says why the system refused something, without the path (the message around it names the path).
 *
 * @param error An error of `Deno.*` or of this folder.
 * @returns Such as "Permission denied (EACCES)".
 */
export function reasonOf(error: unknown): string {
  const errno = errnoOf(error);
  if (errno !== null) return describeErrno(errno);
  return printable(error instanceof Error ? error.message : String(error), REASON_MAX_CHARS);
}

/**
 * Turns a failed system call of `Deno.*` into an {@linkcode OsError}, which keeps its errno when a
 * worker posts it.
 *
 * @param action What was being done, up to the path: `Cannot open`.
 * @returns The error itself if it is ours already, or not a failed system call.
 */
export function toOsError(error: unknown, action: string, path: string): unknown {
  if (error instanceof CodedError) return error;
  const errno = errnoOf(error);
  if (errno === null) return error;
  return new OsError(
    `${action} ${quote(path)}: ${describeErrno(errno)}`,
    { errno, errnoName: errnoName(errno), syscall: "write", path },
    { cause: error },
  );
}
