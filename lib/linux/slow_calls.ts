/**
 * Calls that can take long on some file systems, made on another thread while the event loop goes
 * on.
 *
 * The errno of a `nonblocking` call is that of another thread and lost. A call that failed is
 * therefore made once more on this thread: what made it fail does so again and at once, or the call
 * does what was left to do.
 *
 * The descriptor must stay open until the promise settles: its number could be another file's by
 * the time of the call.
 *
 * @module
 */

import { requireOffset, truncateFd, tryFallocate } from "./libc.ts";
import { libc } from "./libc_symbols.ts";

/** Sets a file's size in bytes. @throws {OsError} On any failure but EINTR. */
export async function resizeFd(fd: number, size: number, path = ""): Promise<void> {
  requireOffset("size", size);
  if (await libc().ftruncateAsync(fd, BigInt(size)) !== 0) truncateFd(fd, size, path);
}

/**
 * Allocates a byte range of a file, which grows if that lies behind its end.
 *
 * @param range.length Number of bytes, > 0.
 * @returns 0, or the positive errno: callers fall back on EOPNOTSUPP and the like.
 */
export async function allocateFd(
  fd: number,
  range: { offset: number; length: number },
): Promise<number> {
  requireOffset("offset", range.offset);
  requireOffset("length", range.length);
  const { offset, length } = range;
  const result = await libc().fallocateAsync(fd, 0, BigInt(offset), BigInt(length));
  return result === 0 ? 0 : tryFallocate(fd, 0, range);
}
