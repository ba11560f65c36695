/**
 * Has the kernel read a file ahead, while the calling thread goes on: on slow storage opening a
 * file takes as long as reading from it, and asking for more than the storage takes at a time
 * blocks.
 *
 * Each step is a call on a thread of the runtime's pool.
 *
 * @module
 */

import { FileAdvice, OpenFlag } from "./files.ts";
import { cString, libc } from "./libc.ts";

/**
 * How much is asked for at a time. The kernel cuts longer requests to a device's read-ahead or its
 * largest request, whichever is more (`force_page_cache_ra` in mm/readahead.c); for FUSE both are
 * 128 KiB.
 */
const WINDOW_BYTES = 131_072;

/**
 * Paths of calls under way: Deno 2.6 does not keep those of a nonblocking call from collection.
 */
const pinned = new Set<Uint8Array>();

/**
 * Opens a file and asks the kernel to read it. It is only advice, so a failure is not reported.
 *
 * @param flags Or-ed {@linkcode OpenFlag}s.
 * @param options.bytes Length of the file.
 * @param options.isWanted Asked before each request; `false` ends it.
 * @returns When all of it was asked for, which may be before it was read.
 */
export async function readFileAhead(
  path: string,
  flags: number,
  options: { bytes: number; isWanted: () => boolean },
): Promise<void> {
  const { bytes, isWanted } = options;
  const name = cString(path);
  pinned.add(name);
  const fd = await libc.openAsync(name, flags | OpenFlag.O_CLOEXEC, 0);
  pinned.delete(name);
  if (fd < 0) return;
  for (let at = 0; at < bytes && isWanted(); at += WINDOW_BYTES) {
    await libc.posix_fadviseAsync(fd, BigInt(at), BigInt(WINDOW_BYTES), FileAdvice.WILLNEED);
  }
  await libc.closeAsync(fd);
}
