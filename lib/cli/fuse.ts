/**
 * `backy-fuse`, as far as there is one: it says that it is not available.
 *
 * @module
 */

import { ExitCode } from "./exit_code.ts";
import { openSink } from "./terminal.ts";

/** Says that mounting is not available yet. Returns the exit code. */
export function runFuse(): ExitCode {
  openSink()("backy-fuse: Cannot mount: this version restores only, use backy-extract\n");
  return ExitCode.USAGE;
}
