/**
 * PATH, as the C library sees it when it starts a program by its name.
 *
 * @module
 */

import { osError } from "./errno.ts";
import { cString, lastErrno, libc } from "./libc.ts";

const NAME = cString("PATH");

/** What execvp(3) searches where there is no PATH, see confstr(3), `_CS_PATH`. */
const DEFAULT_PATH = "/bin:/usr/bin";

/**
 * Runs C code that starts a program by its name, with more folders to find it in.
 *
 * PATH is changed in the C environment and put back afterwards, so that other programs do not
 * inherit it. Another thread that looks at the environment meanwhile sees the one or the other.
 *
 * @param folders Searched before those of PATH, the first first.
 * @param run Must not return before the program was started.
 * @throws {OsError} If there is no memory for it.
 */
export function withSearchPath<Result>(folders: readonly string[], run: () => Result): Result {
  const value = libc.getenv(NAME);
  // A copy: C may free its own when PATH changes.
  const before = value === null ? null : copyCString(value);
  setPath(concatenate(cString(`${folders.join(":")}:`), before ?? cString(DEFAULT_PATH)));
  try {
    return run();
  } finally {
    if (before === null) libc.unsetenv(NAME);
    else setPath(before);
  }
}

function setPath(value: Uint8Array<ArrayBuffer>): void {
  if (libc.setenv(NAME, value, 1) !== 0) {
    throw osError(lastErrno(), { syscall: "change", path: "PATH" });
  }
}

/** Copies a C string, which need not be UTF-8. @returns Its bytes, with the NUL at the end. */
function copyCString(pointer: NonNullable<Deno.PointerValue>): Uint8Array<ArrayBuffer> {
  const view = new Deno.UnsafePointerView(pointer);
  let length = 0;
  while (view.getUint8(length) !== 0) length++;
  return new Uint8Array(view.getArrayBuffer(length + 1).slice(0));
}

/** Joins two C strings. */
function concatenate(
  first: Uint8Array<ArrayBuffer>,
  second: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(first.length - 1 + second.length);
  joined.set(first);
  joined.set(second, first.length - 1);
  return joined;
}
