/**
 * The C library as FFI sees it: the functions of `libc_functions.ts`, each opened on its first use,
 * and the calling thread's `errno`. The other files of this folder wrap these functions for
 * everyone else: they check what FFI does not (lengths, signs, short transfers, EINTR), return
 * plain numbers and throw {@linkcode OsError}.
 *
 * Calls block the calling thread, but for those named `...Async`, which run on a thread of the
 * runtime's pool. Each thread (isolate) has its own functions; file descriptors are the process's.
 * Constants and struct layouts are those of Linux with glibc on x86_64 and aarch64 (asm-generic
 * headers); a comment says where the two differ.
 *
 * @module
 */

import { libcFunctions } from "./libc_functions.ts";

type Libc = Deno.StaticForeignLibraryInterface<typeof libcFunctions>;

/**
 * Where functions may be: `pthread_*`, `sem_*`, `aio_*` and `dl*` moved into libc with glibc 2.34
 * only.
 */
const SONAMES = ["libc.so.6", "libpthread.so.0", "librt.so.1", "libdl.so.2"];

/**
 * The functions, for the calling thread. Each is opened when it is first asked for: the runtime
 * compiles a trampoline for it, in about 0.1 ms, and a run needs a few of them only.
 */
export const libc: Libc = Object.create(Object.defineProperties(
  {},
  Object.fromEntries(
    (Object.keys(libcFunctions) as (keyof Libc)[]).map((name) => [name, {
      enumerable: true,
      get() {
        const value = openFunction(name);
        prepareErrno();
        return value;
      },
    }]),
  ),
));

/** Opens a function and keeps it in {@linkcode libc}, in front of what has just called this. */
function openFunction<Name extends keyof Libc>(name: Name): Libc[Name] {
  const failures: string[] = [];
  for (const soname of SONAMES) {
    try {
      // Never closed: calls through a closed library still run, into unmapped memory.
      const { symbols } = Deno.dlopen(soname, { [name]: libcFunctions[name] });
      const value = symbols[name] as Libc[Name];
      Object.defineProperty(libc, name, { value, enumerable: true });
      return value;
    } catch (error) {
      failures.push(`${soname} (${error instanceof Error ? error.message : error})`);
    }
  }
  throw new TypeError(`Cannot find the C function "${name}": tried ${failures.join(", ")}`);
}

/** Opens what workers call for each chunk, so that a lack of memory shows before they start. */
export function openFileFunctions(): void {
  const { open, close, read, pread, pwrite, write, lseek, fallocate, posix_fadvise, statx } = libc;
  void [open, close, read, pread, pwrite, write, lseek, fallocate, posix_fadvise, statx];
  const { aio_write, aio_suspend, aio_error, aio_return, aio_cancel, getrusage } = libc;
  void [aio_write, aio_suspend, aio_error, aio_return, aio_cancel, getrusage];
}

let errnoLocation: Deno.UnsafePointerView | undefined;

/**
 * Finds this thread's `errno` once, so that nothing is allocated between a failed call and the
 * reading of its errno. Errors must be described when memory is short, too.
 */
function prepareErrno(): void {
  if (errnoLocation) return;
  const pointer = libc.__errno_location();
  if (pointer === null) throw new TypeError("Cannot find errno: __errno_location returned NULL");
  errnoLocation = new Deno.UnsafePointerView(pointer);
  void libc.strerror;
}

/**
 * Returns the errno of this thread's last synchronous call of {@linkcode libc}.
 *
 * `errno` lives at an address of its own in each thread, and whatever runs between a failed call
 * and the reading may overwrite it: even an allocation can. So this must be the very next thing
 * after the call. It means nothing after a nonblocking call, which runs on another thread.
 */
export function lastErrno(): number {
  return errnoLocation!.getInt32();
}

const encoder = new TextEncoder();

/**
 * Encodes a string for a `const char *` parameter.
 *
 * @returns UTF-8 with a terminating NUL, owned by the caller; C may read it during the call only.
 * @throws {TypeError} If the text contains a NUL, which C would take for its end.
 */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new TypeError(`Cannot pass a string with a NUL to C: ${JSON.stringify(text)}`);
  }
  return encoder.encode(`${text}\0`);
}

/**
 * Makes a `char *const []` for C, as of arguments: pointers to the strings and a NULL behind them.
 *
 * @param strings Each ends with a NUL; they must stay reachable as long as C uses the array.
 * @returns The array, owned by the caller.
 */
export function cStringArray(
  strings: readonly Uint8Array<ArrayBuffer>[],
): Uint8Array<ArrayBuffer> {
  const pointers = new BigUint64Array(strings.length + 1);
  strings.forEach((text, index) => {
    pointers[index] = Deno.UnsafePointer.value(Deno.UnsafePointer.of(text));
  });
  return new Uint8Array(pointers.buffer);
}

/** Throws unless the number is a whole one that C can take as a non-negative `off_t`. */
export function requireOffset(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`Cannot pass ${name} to C: it must be a whole number >= 0, not ${value}`);
  }
}
