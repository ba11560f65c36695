/**
 * Keeps messages out of the image: standard error must not go where the image is written, as it
 * does after `>image 2>&1`.
 *
 * @module
 */

import type { TargetError } from "../errors.ts";
import { type FileStatus, isSameFile, statFdOrNull, statOrNull } from "../linux/file_status.ts";
import { openFd, OpenFlag, releaseFd, writeAll } from "../linux/files.ts";
import { isRbdName } from "../target/rbd_name.ts";
import { refusal, STDOUT_NAME } from "../target/wording.ts";
import type { Sink } from "./terminal.ts";

const STDOUT_FD = 1, STDERR_FD = 2;

/** A target that standard error goes to as well. */
export interface OutputClash {
  readonly error: TargetError;
  /** Prints the message where it does no harm, or drops it. */
  readonly sink: Sink;
}

/**
 * Finds out whether messages would be written into the image.
 *
 * @param output A target as the user named it; "-" for standard output.
 * @param write Writes to standard error.
 * @returns `null` if not.
 */
export function findOutputClash(output: string, write: Sink): OutputClash | null {
  if (isRbdName(output)) return null;
  const messages = statFdOrNull(STDERR_FD);
  const image = output === "-" ? statFdOrNull(STDOUT_FD) : statOrNull(output);
  if (messages === null || image === null || !isSameOutput(image, messages)) return null;
  const reason = "standard error goes to it too, and messages would end up in the image; " +
    "send them elsewhere (2>FILE)";
  return {
    error: refusal(output === "-" ? STDOUT_NAME : output, reason),
    sink: mayTakeMessage(messages) ? write : writeToTerminal,
  };
}

/**
 * Whether two files are one. Character devices do not count: they keep nothing, so /dev/null may be
 * both, and terminals are refused as targets anyway.
 */
function isSameOutput(image: FileStatus, messages: FileStatus): boolean {
  if (image.isCharDevice || messages.isCharDevice) return false;
  if (image.isBlockDevice) return messages.isBlockDevice === true && image.rdev === messages.rdev;
  return isSameFile(image, messages);
}

/**
 * Whether the message may be written there. A refused target must stay as it was, but an empty file
 * has nothing to lose, and whoever reads a pipe had better be told.
 */
function mayTakeMessage(messages: FileStatus): boolean {
  return Boolean(messages.isFifo || messages.isSocket) || (messages.isFile && messages.size === 0);
}

/**
 * Writes to the controlling terminal, wherever the descriptors lead; drops the text if there is
 * none.
 */
function writeToTerminal(text: string): void {
  try {
    const fd = openFd("/dev/tty", OpenFlag.O_WRONLY | OpenFlag.O_NOCTTY | OpenFlag.O_NONBLOCK);
    try {
      writeAll(fd, new TextEncoder().encode(text), "/dev/tty");
    } finally {
      releaseFd(fd);
    }
  } catch {
    // Only the exit code is left to tell.
  }
}
