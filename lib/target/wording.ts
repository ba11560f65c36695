/**
 * The wording of errors and warnings about targets, so that all of them read alike.
 *
 * @module
 */

import { OsError, TargetError } from "../errors.ts";
import { describeErrno, Errno } from "../linux/errno.ts";
import { quote } from "../wording.ts";
import type { TargetHandle } from "./target.ts";

/** What messages call standard output, and its `path` in handles and errors. */
export const STDOUT_NAME = "standard output";

/** Names a target in a message: quotes its path, but not `standard output`. */
export function nameTarget(path: string): string {
  return path === STDOUT_NAME ? path : quote(path);
}

/** What a message says of EFBIG, behind the error. */
export const TOO_LARGE_STEP = "; its file system or a limit (ulimit -f) does not allow it";

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

/** Builds the error that refuses a target, as `Cannot restore to "/x": it is a directory`. */
export function refusal(path: string, reason: string, cause?: unknown): TargetError {
  return new TargetError(
    `Cannot restore to ${nameTarget(path)}: ${reason}`,
    { path, offset: null },
    { cause },
  );
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
  throw refusal(path, `${reasons.join(", ")} (--force overrides this)`, cause);
}

/** Warnings about the reasons against a target that `--force` has overridden. */
export function overriddenWarnings(path: string, reasons: readonly string[]): string[] {
  return reasons.map((reason) => `${nameTarget(path)} is written although ${reason}`);
}

/** Warns that a target may be in use; no warning if there is no doubt that it is not. */
export function doubtWarnings(path: string, doubt: string | null): string[] {
  if (doubt === null) return [];
  return [`whether ${nameTarget(path)} is in use cannot be told for certain: ${doubt}`];
}

/**
 * Builds the error of a failed write to a target, as `Cannot write "/x" at byte 4096: No space left
 * on device (ENOSPC)`.
 *
 * @param cause What was caught. Anything but an {@linkcode OsError} is a bug of ours and returned
 *   unchanged.
 */
export function writeFailure(handle: TargetHandle, offset: number, cause: unknown): unknown {
  return accessFailure("write", handle, { offset, cause });
}

/** Like {@linkcode writeFailure}, for a failed read. */
export function readFailure(handle: TargetHandle, offset: number, cause: unknown): unknown {
  return accessFailure("read", handle, { offset, cause });
}

function accessFailure(
  verb: "read" | "write",
  { path }: TargetHandle,
  { offset, cause }: { offset: number; cause: unknown },
): unknown {
  if (!(cause instanceof OsError)) return cause;
  const step = cause.errno === Errno.EFBIG ? TOO_LARGE_STEP : "";
  return new TargetError(
    `Cannot ${verb} ${nameTarget(path)} at byte ${offset}: ${describeErrno(cause.errno)}${step}`,
    { path, offset },
    { cause },
  );
}
