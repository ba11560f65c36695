/**
 * Reads and writes small files by libc: those of /proc, /sys and /dev, and all else that may lie
 * there.
 *
 * The runtime opens files below these only for programs with all permissions (Deno 2.6), which the
 * executables do not have.
 *
 * @module
 */

import { closeFd, openFd, OpenFlag, readFull, releaseFd, writeSome } from "./libc.ts";

/** Files that the kernel makes up, such as /proc/locks, are no longer than this. */
const TEXT_MAX_BYTES = 16 * 1024 * 1024;

/** How much is read at once of a file whose length is not known. */
const BLOCK_BYTES = 65_536;

/**
 * Reads the beginning of a file. Opening does not wait, not for the writer of a FIFO either.
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

/** Reads a file as UTF-8 text, 16 MiB at most. @throws {OsError} If it cannot be opened or read. */
export function readText(path: string): string {
  return new TextDecoder().decode(readBeginning(path, TEXT_MAX_BYTES));
}

/**
 * Writes a text to a file that exists, which is not truncated. @throws {OsError} If it cannot be
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

/** Writes all bytes at a descriptor's position. @throws {OsError} On any failure but EINTR. */
export function writeAll(fd: number, bytes: Uint8Array<ArrayBuffer>, path: string): void {
  for (let done = 0; done < bytes.length;) done += writeSome(fd, bytes.subarray(done), path);
}
