/**
 * `backy-fuse`: a mount.
 *
 * @module
 */

import type { ExitCode } from "./exit_code.ts";
import { MOUNT } from "./mount_command.ts";
import { runTool } from "./tool.ts";

/**
 * Runs the tool.
 *
 * @param args Command line without the program's name.
 * @returns The exit code, when the mount is gone; everything there is to say was printed.
 */
export function runFuse(args: readonly string[]): Promise<ExitCode> {
  return runTool(MOUNT.name, MOUNT, args);
}
