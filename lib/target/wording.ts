/**
 * The words of target errors, so that all of them read alike.
 *
 * @module
 */

import { OsError, TargetError } from "../errors.ts";
import { describeErrno } from "../linux/errno.ts";
import { quote } from "../wording.ts";
import { STDOUT_FD, type TargetHandle } from "./target.ts";

/** How standard output is called in messages. */
export const STDOUT_NAME = "standard output";

/** Names a target in a message: a quoted path, or `standard output`. */
export function nameTarget(handle: TargetHandle): string {
  const isStdout = handle.access === "stream" && handle.fd === STDOUT_FD;
  return isStdout ? STDOUT_NAME : quote(handle.path);
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

/**
 * Builds the error of a target that is not written to, as `Cannot restore to "/x": it is a
 * directory`.
 */
export function refusal(path: string, reason: string, cause?: unknown): TargetError {
  return refusalOf(quote(path), { path, reason, cause });
}

/**
 * Refuses a target for reasons that `--force` overrides.
 *
 * @param reasons Clauses such as `it is mounted at "/srv"`.
 * @throws {TargetError} If there are any, unless they are overridden.
 */
export function requireHarmless(
  path: string,
  reasons: readonly string[],
  { force }: { readonly force: boolean },
  cause?: unknown,
): void {
  if (force || reasons.length === 0) return;
  const reason = `${reasons.join(", ")} (--force overrides this)`;
  throw path === STDOUT_NAME ? stdoutRefusal(reason, cause) : refusal(path, reason, cause);
}

/** What to warn of where `--force` has overridden reasons against a target. */
export function overriddenWarnings(path: string, reasons: readonly string[]): string[] {
  const subject = path === STDOUT_NAME ? STDOUT_NAME : quote(path);
  return reasons.map((reason) => `${subject} is written although ${reason}`);
}

/**
 * What to warn of where it cannot be told whether a target is in use; nothing if there is no doubt.
 */
export function doubtWarnings(path: string, doubt: string | null): string[] {
  if (doubt === null) return [];
  const subject = path === STDOUT_NAME ? STDOUT_NAME : quote(path);
  return [`whether ${subject} is in use cannot be told for certain: ${doubt}`];
}

/** What to warn of where a target may not have the room; nothing if there is no doubt. */
export function roomWarnings(path: string, doubt: string | null): string[] {
  if (doubt === null) return [];
  const subject = path === STDOUT_NAME ? STDOUT_NAME : quote(path);
  return [`${subject} may become too large for its file system: ${doubt}`];
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
 * Builds the error of a failed write to a target, as `Cannot write "/x" at byte 4096: No space left
 * on device (ENOSPC)`.
 *
 * @param cause What was caught; anything but an {@linkcode OsError} is our own bug and returned as
 *   it is.
 */
export function writeFailure(handle: TargetHandle, offset: number, cause: unknown): unknown {
  return accessFailure("write", handle, { offset, cause });
}

/** Like {@linkcode writeFailure}, of a failed read. */
export function readFailure(handle: TargetHandle, offset: number, cause: unknown): unknown {
  return accessFailure("read", handle, { offset, cause });
}

function accessFailure(
  verb: "read" | "write",
  handle: TargetHandle,
  { offset, cause }: { offset: number; cause: unknown },
): unknown {
  if (!(cause instanceof OsError)) return cause;
  return new TargetError(
    `Cannot ${verb} ${nameTarget(handle)} at byte ${offset}: ${describeErrno(cause.errno)}`,
    { path: handle.path, offset },
    { cause },
  );
}
