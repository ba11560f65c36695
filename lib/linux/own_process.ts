/**
 * What this process was started with, as /proc tells it: its program, its command line and its
 * environment.
 *
 * The runtime tells neither its own part of the command line nor, in an executable, the whole
 * environment: those keep only the variables that the tools need
 * (`release/portable/stub/stub.c`). The kernel remembers where both were when the program started;
 * what the stub adds for the loader is never there.
 *
 * @module
 */

import { readBeginning, writeText } from "./paths.ts";

/**
 * The program of this process, to be started once more. The link leads to it even after it was
 * moved, and whatever name it was called by; in a child it still leads to the same file until that
 * has executed it. Works in a portable executable too. Only once the file has been removed, or
 * another has taken its name, the runtime can no longer start from it.
 */
export const OWN_PROGRAM = "/proc/self/exe";

/**
 * Names this process for pgrep(1), killall(1) and top(1), which otherwise call one that was started
 * by {@linkcode OWN_PROGRAM} "exe".
 *
 * @param name Of which the kernel keeps 15 bytes.
 */
export function nameProcess(name: string): void {
  try {
    writeText("/proc/self/comm", name);
  } catch {
    // It only helps people.
  }
}

/** More than the kernel accepts for arguments and environment together by default: execve(2). */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * The words before this process's arguments: its name; from source, the runtime's own, too.
 *
 * @param argumentCount Number of arguments that this process got from its user.
 * @throws {OsError} Without /proc.
 */
export function ownWords(argumentCount: number): string[] {
  const words = splitStrings(readBeginning("/proc/self/cmdline", MAX_BYTES));
  return words.slice(0, words.length - argumentCount).map((word) => new TextDecoder().decode(word));
}

/** Changes to an environment: values of variables, `null` for those that are to be absent. */
export type EnvironmentChanges = Readonly<Record<string, string | null>>;

/**
 * The environment that this process was started with, for another program.
 *
 * @returns Entries `NAME=VALUE`, in bytes, as nothing says that they are UTF-8; owned by the
 *   caller, and without a NUL at their ends.
 * @throws {OsError} If it cannot be read.
 */
export function startEnvironment(changes: EnvironmentChanges = {}): Uint8Array<ArrayBuffer>[] {
  const isChanged = (name: string) => Object.hasOwn(changes, name);
  const kept = readEnvironment().filter((entry) => !isChanged(nameOf(entry)));
  const added = Object.entries(changes).flatMap(([name, value]) =>
    value === null ? [] : [new TextEncoder().encode(`${name}=${value}`)]
  );
  return [...kept, ...added];
}

/**
 * A variable of the environment that this process was started with; of several with one name the
 * first, as for getenv(3).
 *
 * @returns `undefined` if it was not set.
 * @throws {OsError} If the environment cannot be read.
 */
export function startVariable(name: string): string | undefined {
  const entry = readEnvironment().find((entry) => nameOf(entry) === name);
  return entry && new TextDecoder().decode(entry.subarray(name.length + 1));
}

/** Source: proc_pid_environ(5). */
function readEnvironment(): Uint8Array<ArrayBuffer>[] {
  return splitStrings(readBeginning("/proc/self/environ", MAX_BYTES));
}

/** The name of an entry; "" if it has none, as anything may stand there. */
function nameOf(entry: Uint8Array): string {
  return new TextDecoder().decode(entry.subarray(0, Math.max(0, entry.indexOf(EQUALS))));
}

const EQUALS = "=".charCodeAt(0);

/** Splits what /proc gives, in which each string ends with a NUL. */
function splitStrings(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const strings: Uint8Array<ArrayBuffer>[] = [];
  for (let start = 0; start < bytes.length;) {
    const nul = bytes.indexOf(0, start);
    const end = nul < 0 ? bytes.length : nul;
    strings.push(bytes.slice(start, end));
    start = end + 1;
  }
  return strings;
}
