/**
 * Names the processes that hold a `flock`, from /proc, so that someone who waits knows for whom.
 *
 * It is a help and no more: a holder may lie outside this PID namespace or end while it is looked
 * up. Nothing here throws.
 *
 * @module
 */

import { printable } from "../wording.ts";
import { readBeginning, readText } from "../linux/small_files.ts";

const MAX_COMMAND_CHARS = 120;

/** As much of a command line is looked at. */
const COMMAND_MAX_BYTES = 4096;

/**
 * Says who holds an exclusive `flock` on a file.
 *
 * @param path Path of the file.
 * @returns `pid 17 (backy purge)`, several with commas between, or "another process". One line.
 */
export function describeHolders(path: string): string {
  let pids: readonly number[];
  try {
    pids = findFlockHolders(readText("/proc/locks"), Deno.statSync(path));
  } catch {
    pids = [];
  }
  return pids.length === 0 ? "another process" : pids.map(describeProcess).join(", ");
}

/**
 * Finds who holds a `flock` on a file in the text of /proc/locks (proc_locks(5)), whose lines read
 * `1: FLOCK ADVISORY WRITE 3548 08:01:3557 0 EOF`; those of waiting processes have `->` after the
 * number.
 *
 * @param locks Content of /proc/locks.
 * @param file Device and inode as stat(2) gives them.
 * @param options.isShared Whether shared locks count too; default: exclusive ones only.
 * @returns Process ids, ascending.
 */
export function findFlockHolders(
  locks: string,
  file: { readonly dev: number; readonly ino: number | null },
  { isShared = false }: { isShared?: boolean } = {},
): number[] {
  // gnu_dev_major and gnu_dev_minor (sysmacros.h) of a 64-bit number; /proc/locks writes both in
  // hex.
  const device = BigInt(file.dev);
  const major = Number((device >> 8n & 0xfffn) | (device >> 32n & ~0xfffn));
  const minor = Number((device & 0xffn) | (device >> 12n & 0xffffff00n));
  const onDevice: number[] = [];
  const onInode: number[] = [];
  for (const line of locks.split("\n")) {
    const match = /^\d+: FLOCK +\S+ +(READ|WRITE) +(\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) /.exec(line);
    if (!match || Number(match[5]) !== file.ino || (match[1] === "READ" && !isShared)) continue;
    const pid = Number(match[2]);
    onInode.push(pid);
    if (parseInt(match[3]!, 16) === major && parseInt(match[4]!, 16) === minor) onDevice.push(pid);
  }
  // btrfs gives each subvolume a device number of its own in stat, and the file system's here: then
  // go by the inode.
  const pids = onDevice.length > 0 ? onDevice : onInode;
  return [...new Set(pids)].filter((pid) => pid > 0).sort((a, b) => a - b);
}

/**
 * Names a process in one line, as `pid 17 (backy purge)`; `pid 17` if it is gone or may not be
 * looked at.
 */
export function describeProcess(pid: number): string {
  const command = readWords(`/proc/${pid}/cmdline`) || readWords(`/proc/${pid}/comm`);
  return command === "" ? `pid ${pid}` : `pid ${pid} (${printable(command, MAX_COMMAND_CHARS)})`;
}

/** Reads the start of a file of /proc, with spaces for NULs. */
function readWords(path: string): string {
  try {
    const text = new TextDecoder().decode(readBeginning(path, COMMAND_MAX_BYTES));
    return text.replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}
