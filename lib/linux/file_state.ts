/**
 * Tells one state of a file from another without reading it: by device, inode, size and times to
 * the nanosecond.
 *
 * The runtime's `stat` has milliseconds only, in which a file may be written twice. Times are as
 * fine as the file system stores them, and the kernel's clock for them advances by ticks of 1 to 10
 * ms, so a file that has just been changed can be changed again without showing it: such a state is
 * not settled, and callers that rely on it must look again later.
 *
 * @module
 */

import { osError } from "./errno.ts";
import { isRegularMode, isStatxMissing, STATX, statxOf } from "./file_status.ts";
import { fdPath } from "./paths.ts";

/** A file at some moment. */
export interface FileState {
  /** Whether it is a regular file. */
  readonly isFile: boolean;
  /** Bytes. */
  readonly size: number;
  /** Differs from the version of every other settled state of any file. */
  readonly version: string;
  /** Whether every later change shows in the version. */
  readonly isSettled: boolean;
}

/**
 * How long a change may hide another, in ms: some ticks of the kernel's clock, or the second of a
 * coarse one.
 */
const HIDING_MS = 100, COARSE_HIDING_MS = 2000;

/**
 * Returns a file's state, symbolic links followed. @throws {OsError} If the path leads nowhere or
 * cannot be followed.
 */
export function fileState(path: string): FileState {
  return stateOf(statxOf(path), path);
}

/** Returns the state of what a descriptor is open on. @throws {OsError} If it is not open. */
export function fdState(fd: number): FileState {
  return stateOf(statxOf(fd), fdPath(fd));
}

/** @param fields A `struct statx`, or the positive errno. */
function stateOf(fields: DataView | number, path: string): FileState {
  if (typeof fields === "number") {
    if (isStatxMissing(fields)) return stateOfInfo(Deno.statSync(path));
    throw osError(fields, { syscall: "stat", path });
  }
  const time = (offset: number) => ({
    seconds: Number(fields.getBigInt64(offset, true)),
    ns: fields.getUint32(offset + 8, true),
  });
  const size = Number(fields.getBigUint64(STATX.stx_size, true));
  const times = [time(STATX.stx_mtime), time(STATX.stx_ctime)];
  const numbers = [
    fields.getBigUint64(STATX.stx_dev_major, true),
    fields.getBigUint64(STATX.stx_ino, true),
    size,
    ...times.map(({ seconds, ns }) => `${seconds}.${ns}`),
  ];
  const changedMs = Math.max(...times.map(({ seconds, ns }) => seconds * 1000 + ns / 1e6));
  const hidingMs = times.every(({ ns }) => ns === 0) ? COARSE_HIDING_MS : HIDING_MS;
  return {
    isFile: isRegularMode(fields.getUint16(STATX.stx_mode, true)),
    size,
    version: numbers.join(" "),
    isSettled: isPast(changedMs, hidingMs),
  };
}

/** The state as far as the runtime tells it; its times are taken as coarse. */
function stateOfInfo({ isFile, dev, ino, size, mtime, ctime }: Deno.FileInfo): FileState {
  const times = [mtime?.getTime() ?? 0, ctime?.getTime() ?? 0];
  const version = [dev, ino, size, ...times].join(" ");
  return { isFile, size, version, isSettled: isPast(Math.max(...times), COARSE_HIDING_MS) };
}

/** Whether a time is that far away; a server's clock may be ahead of this machine's. */
function isPast(timeMs: number, distanceMs: number): boolean {
  return Math.abs(Date.now() - timeMs) > distanceMs;
}
