/**
 * Finds out what the output that a user named is, and refuses what cannot or must not be written,
 * before anything is written, truncated or created. `file.ts`, `device.ts`, `stream.ts` and
 * `rbd_image.ts` have the checks.
 *
 * @module
 */

import { checkDevice } from "./device.ts";
import { checkExistingFile, checkNewFile } from "./file.ts";
import { checkRbdImage } from "./rbd_image.ts";
import { isRbdName } from "./rbd_name.ts";
import { checkCharDevice, checkFifo, checkStdout } from "./stream.ts";
import type { CheckedTarget, PreflightOptions } from "./target.ts";
import { isSystemError, reasonOf } from "../linux/errno.ts";
import { refusal, STDOUT_NAME } from "./wording.ts";
import { checkWritable } from "./writable.ts";

/** An output, as a user or a program names it. */
export type Output = string | WritableStream<Uint8Array<ArrayBuffer>>;

/** A kind of output that is not reached through the file system. */
export interface NamedOutput {
  /** Whether this is the name of such an output. */
  isNamedBy(output: string): boolean;
  /** Checks it, as {@linkcode preflightOutput} does. */
  check(output: string, options: PreflightOptions): CheckedTarget | Promise<CheckedTarget>;
}

/** All outputs that are not reached through the file system. Tests add their own. */
export const NAMED_OUTPUTS: NamedOutput[] = [{ isNamedBy: isRbdName, check: checkRbdImage }];

/**
 * Checks an output of any kind.
 *
 * @param output As {@linkcode preflightTarget} takes it, or a name that {@linkcode NAMED_OUTPUTS}
 *   knows, such as "rbd:POOL/IMAGE".
 * @returns The target, unchanged so far; dispose it if it is not opened.
 * @throws {TargetError} With the reason, if the output is refused.
 * @throws The reason of `options.signal`, if that is aborted while a server is asked.
 */
export async function preflightOutput(
  output: Output,
  options: PreflightOptions,
): Promise<CheckedTarget> {
  const named = typeof output === "string"
    ? NAMED_OUTPUTS.find((kind) => kind.isNamedBy(output))
    : undefined;
  return named ? await named.check(output as string, options) : preflightTarget(output, options);
}

/**
 * Checks an output that the kernel knows. Existing ones are opened here, without truncation, and
 * that descriptor is the one written to later.
 *
 * @param output Path of a file, device or FIFO; "-" for standard output; or a stream.
 * @returns The target, unchanged so far; dispose it if it is not opened.
 * @throws {TargetError} With the reason, if the output is refused.
 */
export function preflightTarget(output: Output, options: PreflightOptions): CheckedTarget {
  if (typeof output !== "string") return checkWritable(output, options);
  try {
    if (output === "-") return checkStdout(options);
    // A file of this name must not be taken for standard output in messages.
    return checkPath(output === STDOUT_NAME ? `./${output}` : output, options);
  } catch (error) {
    if (isSystemError(error)) throw refusal(output, reasonOf(error), error);
    throw error;
  }
}

function checkPath(path: string, options: PreflightOptions): CheckedTarget {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return checkNewFile(path, options);
    throw error;
  }
  if (info.isDirectory) throw refusal(path, "it is a directory");
  if (info.isBlockDevice) return checkDevice(path, options);
  if (info.isCharDevice) return checkCharDevice(path, options);
  if (info.isFifo) return checkFifo(path, options);
  if (info.isFile) return checkExistingFile(path, options);
  throw refusal(path, "it is neither a file, a device nor a pipe");
}
