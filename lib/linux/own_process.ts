/**
 * What this process was started from, for those who start programs for the user: the user's own
 * environment, and the file to start the tool again.
 *
 * @module
 */

import { readBeginning } from "./paths.ts";

/**
 * The program of this process, to be started once more. The link leads to it even after it was
 * moved, and whatever name it was called by; in a child it still leads to the same file until that
 * has executed it. Works in a portable executable too. Only once the file has been removed, or
 * another has taken its name, the runtime can no longer start from it.
 */
export const OWN_PROGRAM = "/proc/self/exe";

/** More than the kernel accepts for arguments and environment together by default: execve(2). */
const ENVIRONMENT_MAX_BYTES = 16 * 1024 * 1024;

/**
 * The environment that the user started this process with, for a command that is run for them; it
 * must be given with `clearEnv`, as the process itself may have fewer variables: executables keep
 * only those that the tools need (`release/portable/stub/stub.c`). What the stub adds for the
 * loader is never here.
 *
 * With LD_PRELOAD and the like in it, `Deno.Command` (Deno 2.6) asks for the permission to run any
 * program. Variables that are not UTF-8 are missing, as `Deno.Command` cannot pass them on.
 *
 * @throws {OsError} If it cannot be read.
 */
export function startEnvironment(): Record<string, string> {
  return parseEnvironment(readBeginning("/proc/self/environ", ENVIRONMENT_MAX_BYTES));
}

/**
 * Parses entries that end in NUL, as /proc/PID/environ has them. Of several with one name the first
 * counts, as for getenv(3). Source: proc_pid_environ(5).
 */
export function parseEnvironment(bytes: Uint8Array): Record<string, string> {
  const variables = new Map<string, string>();
  for (let start = 0; start < bytes.length;) {
    const nul = bytes.indexOf(0, start);
    const end = nul < 0 ? bytes.length : nul;
    const entry = textOrNull(bytes.subarray(start, end));
    start = end + 1;
    // A name may not be empty.
    const equals = entry?.indexOf("=") ?? -1;
    if (entry === null || equals < 1) continue;
    const name = entry.slice(0, equals);
    if (!variables.has(name)) variables.set(name, entry.slice(equals + 1));
  }
  return Object.fromEntries(variables);
}

function textOrNull(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}
