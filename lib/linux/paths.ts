/**
 * What is done by path: small files read and written whole, directories, links, the working
 * directory. Functions named `...OrNull` answer `null` where the rest throw.
 *
 * Files are opened by libc because the runtime opens those below /proc, /sys and /dev only for
 * programs with all permissions (Deno 2.6), which the executables do not have.
 *
 * @module
 */

import { dirname } from "node:path";

import { Errno, osError, retryOnEintr } from "./errno.ts";
import { closeFd, openFd, OpenFlag, readFull, releaseFd, writeAll } from "./files.ts";
import { cString, lastErrno, libc } from "./libc.ts";

/** Files that the kernel makes up, such as /proc/locks, are no longer than this. */
const TEXT_MAX_BYTES = 16 * 1024 * 1024;

/** How much is read at once of a file whose length is not known. */
const BLOCK_BYTES = 65_536;

/**
 * Reads the beginning of a file. Opening does not wait, not even for the writer of a FIFO.
 *
 * @param maxBytes How much is read at most, >= 1.
 * @returns The bytes, owned by the caller; fewer than `maxBytes` if the file is shorter.
 * @throws {OsError} If it cannot be opened or read.
 */
export function readBeginning(path: string, maxBytes: number): Uint8Array<ArrayBuffer> {
  const fd = openFd(path, OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK | OpenFlag.O_NOCTTY);
  try {
    let bytes = new Uint8Array(Math.min(maxBytes, BLOCK_BYTES));
    let length = readFull(fd, bytes, path);
    while (length === bytes.length && length < maxBytes) {
      const longer = new Uint8Array(Math.min(maxBytes, 2 * length));
      longer.set(bytes);
      bytes = longer;
      length += readFull(fd, bytes.subarray(length), path);
    }
    return bytes.subarray(0, length);
  } finally {
    releaseFd(fd);
  }
}

/**
 * Reads the beginning of a regular file.
 *
 * @returns `null` if something else is at the path, or a file of length 0: reading some files in
 *   /proc, which have that length, waits for an event.
 * @throws As {@linkcode readBeginning} and `Deno.statSync` do.
 */
export function readRegular(path: string, maxBytes: number): Uint8Array<ArrayBuffer> | null {
  const { isFile, size } = Deno.statSync(path);
  return isFile && size > 0 ? readBeginning(path, maxBytes) : null;
}

/** Reads a file as UTF-8 text, 16 MiB at most. @throws {OsError} If it cannot be opened or read. */
export function readText(path: string): string {
  return new TextDecoder().decode(readBeginning(path, TEXT_MAX_BYTES));
}

/** Reads a file as {@linkcode readText} does. */
export function readTextOrNull(path: string): string | null {
  try {
    return readText(path);
  } catch {
    return null;
  }
}

/**
 * Writes a text to a file that exists, without truncating it. @throws {OsError} If it cannot be
 * opened or written.
 */
export function writeText(path: string, text: string): void {
  const fd = openFd(path, OpenFlag.O_WRONLY | OpenFlag.O_NONBLOCK | OpenFlag.O_NOCTTY);
  try {
    writeAll(fd, new TextEncoder().encode(text), path);
  } catch (error) {
    releaseFd(fd);
    throw error;
  }
  closeFd(fd, path);
}

/** Names in a directory; none if it cannot be read. */
export function listNames(path: string): string[] {
  try {
    return [...Deno.readDirSync(path)].map((entry) => entry.name);
  } catch {
    return [];
  }
}

/**
 * A path that leads to the very file that a descriptor is open on, even if that is deleted; nowhere
 * if /proc is not mounted.
 */
export function fdPath(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/** The path with all symbolic links resolved. */
export function realPathOrNull(path: string): string | null {
  try {
    return Deno.realPathSync(path);
  } catch {
    return null;
  }
}

/** The path that a symbolic link holds. */
export function linkOrNull(path: string): string | null {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return null;
  }
}

/** Returns the path of a name in a directory, whose own path stays as it was given. */
export function pathIn(dir: string, name: string): string {
  return dir.endsWith("/") ? dir + name : `${dir}/${name}`;
}

/** Splits a path after its last slash. The directory of a bare name is ".". */
export function splitPath(path: string): { dir: string; name: string } {
  const slash = path.lastIndexOf("/");
  if (slash < 0) return { dir: ".", name: path };
  return { dir: path.slice(0, slash).replace(/\/+$/, "") || "/", name: path.slice(slash + 1) };
}

/** Whether a path is a directory or inside it. Both must be absolute and without symbolic links. */
export function isInside(path: string, dir: string): boolean {
  return path === dir || path.startsWith(dir === "/" ? dir : `${dir}/`);
}

/** The nearest folder above a path that exists, symbolic links resolved. */
export function nearestFolder(path: string): string | null {
  for (let folder = dirname(path);; folder = dirname(folder)) {
    const real = realPathOrNull(folder);
    if (real !== null || folder === dirname(folder)) return real;
  }
}

/** Modes of `access`. Source: unistd.h. */
export const AccessMode = { W_OK: 2 } as const;

/**
 * Asks whether this process may access a path.
 *
 * @param mode One of {@linkcode AccessMode}.
 * @returns 0, or the positive errno: EACCES, EROFS, ENOENT and so on.
 */
export function tryAccess(path: string, mode: number): number {
  const name = cString(path);
  return libc.access(name, mode) === 0 ? 0 : lastErrno();
}

/**
 * Asks for the path of the working directory.
 *
 * @returns `null` if it was removed, lies outside of the root directory, or its name is not UTF-8;
 *   then the runtime cannot use it either.
 * @throws {OsError} On any other failure.
 */
export function tryWorkingDirectory(): string | null {
  // Longer than PATH_MAX, the longest path that the kernel tells. Source: getcwd(2).
  const path = new Uint8Array(8192);
  if (libc.getcwd(path, BigInt(path.length)) === null) {
    const errno = lastErrno();
    if (errno === Errno.ENOENT) return null;
    throw osError(errno, { syscall: "find working directory", path: "" });
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return text.decode(path.subarray(0, path.indexOf(0)));
  } catch {
    return null;
  }
}

/** The path from "/" on, with symbolic links. @throws As {@linkcode tryWorkingDirectory} does. */
export function absolutePath(path: string): string {
  return path.startsWith("/") ? path : pathIn(tryWorkingDirectory() ?? "/", path);
}

/** Enters a directory, with all threads. @throws {OsError} On any failure. */
export function changeDirectory(path: string): void {
  const name = cString(path);
  retryOnEintr(() => libc.chdir(name), { syscall: "enter directory", path });
}
