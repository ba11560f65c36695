/**
 * Has the kernel read a file ahead, while the calling thread goes on: on slow storage opening a
 * file takes as long as reading from it, and asking for more than the storage takes at a time
 * blocks.
 *
 * Each step is a call on a thread of the runtime's pool.
 *
 * @module
 */

import { deviceName } from "./file_status.ts";
import { FileAdvice, OpenFlag } from "./files.ts";
import { cString, libc } from "./libc.ts";
import { readTextOrNull } from "./paths.ts";

/** What every storage is asked for at a time, at least: the kernel's default. */
const LEAST_WINDOW_KIB = 128;

/**
 * Finds out how much can be asked for at a time. The kernel cuts longer requests to the read-ahead
 * of the storage or its largest request, whichever is more (`force_page_cache_ra` in
 * mm/readahead.c); shorter ones would be more requests, which storage may limit.
 *
 * @param dev Number of the device that a file is on, as `stat` returns it.
 * @param root Where /sys is; tests replace it.
 * @returns Bytes.
 */
export function readAheadWindow(dev: number, root = ""): number {
  const device = deviceName(dev);
  const queues = [`dev/block/${device}/queue`, `dev/block/${device}/../queue`]; // or a partition's
  const limits = [
    `class/bdi/${device}/read_ahead_kb`,
    ...queues.flatMap((queue) => [`${queue}/read_ahead_kb`, `${queue}/max_sectors_kb`]),
  ].map((name) => Number(readTextOrNull(`${root}/sys/${name}`) ?? 0));
  return 1024 * Math.max(LEAST_WINDOW_KIB, ...limits.filter(Number.isFinite));
}

/** By number of the device. */
const windows = new Map<number, number>();

function windowOf(dev: number): number {
  const bytes = windows.get(dev) ?? readAheadWindow(dev);
  windows.set(dev, bytes);
  return bytes;
}

/**
 * Paths of calls under way: Deno 2.6 does not keep those of a nonblocking call from collection.
 */
const pinned = new Set<Uint8Array>();

/**
 * Opens a file and asks the kernel to read it. It is only advice, so a failure is not reported.
 *
 * @param options.flags Or-ed {@linkcode OpenFlag}s.
 * @param options.file What the path leads to.
 * @param options.isWanted Asked before each request; `false` ends it.
 * @returns When all of it was asked for, which may be before it was read.
 */
export async function readFileAhead(
  path: string,
  options: { flags: number; file: { size: number; dev: number }; isWanted: () => boolean },
): Promise<void> {
  const { flags, file: { size, dev }, isWanted } = options;
  const name = cString(path);
  pinned.add(name);
  const fd = await libc.openAsync(name, flags | OpenFlag.O_CLOEXEC, 0);
  pinned.delete(name);
  if (fd < 0) return;
  const bytes = windowOf(dev);
  for (let at = 0; at < size && isWanted(); at += bytes) {
    await libc.posix_fadviseAsync(fd, BigInt(at), BigInt(bytes), FileAdvice.WILLNEED);
  }
  await libc.closeAsync(fd);
}
