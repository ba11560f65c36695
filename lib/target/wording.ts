/**
 * The words of target errors, so that all of them read alike.
 *
 * @module
 */

import { OsError, TargetError } from "../errors.ts";
import { describeErrno } from "../ffi/errno.ts";
import { STDOUT_FD, type TargetHandle } from "./target.ts";

/** How standard output is called in messages. */
export const STDOUT_NAME = "standard output";

/** Characters that JSON leaves as they are and a terminal or reader may obey: DEL, C1, line and bidi controls. */
const UNSAFE_CHARACTERS = /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** Quotes a path for a message, control characters escaped as in JSON. */
export function quotePath(path: string): string {
  return JSON.stringify(path).replace(
    UNSAFE_CHARACTERS,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Names a target in a message: a quoted path, or `standard output`. */
export function nameTarget(handle: Pick<TargetHandle, "fd" | "path">): string {
  return handle.fd === STDOUT_FD ? STDOUT_NAME : quotePath(handle.path);
}

/** Renders a size for a message: `4294967296 bytes (4 GiB)`. */
export function describeBytes(bytes: number): string {
  const units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  if (bytes < 1024) return `${bytes} bytes`;
  let value = bytes, unit = -1;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${bytes} bytes (${Number(value.toFixed(2))} ${units[unit]})`;
}

/** Renders what a failed call of the C library or of the runtime says, without its own subject. */
export function describeFailure(error: unknown): string {
  if (error instanceof OsError) return describeErrno(error.errno);
  const message = error instanceof Error ? error.message : String(error);
  const match = /\(os error (\d+)\)/.exec(message);
  return match ? describeErrno(Number(match[1])) : message;
}

/** Builds the error of a target that is not written to, as `Cannot restore to "/x": it is a directory`. */
export function refusal(path: string, reason: string, cause?: unknown): TargetError {
  return refusalOf(quotePath(path), { path, reason, cause });
}

/** Like {@linkcode refusal}, for standard output. */
export function stdoutRefusal(reason: string, cause?: unknown): TargetError {
  return refusalOf(STDOUT_NAME, { path: STDOUT_NAME, reason, cause });
}

function refusalOf(
  subject: string,
  fields: { path: string; reason: string; cause: unknown },
): TargetError {
  return new TargetError(
    `Cannot restore to ${subject}: ${fields.reason}`,
    { path: fields.path, offset: null },
    fields.cause === undefined ? undefined : { cause: fields.cause },
  );
}

/**
 * Builds the error of a failed write to a target, as `Cannot write "/x" at byte 4096: No space left on device (ENOSPC)`.
 *
 * @param cause What was caught; anything but an {@linkcode OsError} is our own bug and returned as it is.
 */
export function writeFailure(handle: TargetHandle, offset: number, cause: unknown): unknown {
  if (!(cause instanceof OsError)) return cause;
  return new TargetError(
    `Cannot write ${nameTarget(handle)} at byte ${offset}: ${describeErrno(cause.errno)}`,
    { path: handle.path, offset },
    { cause },
  );
}
