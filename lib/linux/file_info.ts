/**
 * Questions about paths whose answer may be "there is none".
 *
 * @module
 */

import { dirname } from "node:path";
import type { FileStatus } from "./file_status.ts";
import { readText } from "./small_files.ts";

/** What a path leads to, symbolic links followed; `null` where that cannot be told. */
export function statOrNull(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch {
    return null;
  }
}

/** The path with all symbolic links resolved; `null` where it leads nowhere. */
export function realPathOrNull(path: string): string | null {
  try {
    return Deno.realPathSync(path);
  } catch {
    return null;
  }
}

/** What a symbolic link holds; `null` where that cannot be told. */
export function linkOrNull(path: string): string | null {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return null;
  }
}

/** The nearest folder above a path that exists, symbolic links resolved. */
export function nearestFolder(path: string): string | null {
  for (let folder = dirname(path);; folder = dirname(folder)) {
    const real = realPathOrNull(folder);
    if (real !== null || folder === dirname(folder)) return real;
  }
}

/** The file's text, or `null` if it cannot be read. */
export function readTextOrNull(path: string): string | null {
  try {
    return readText(path);
  } catch {
    return null;
  }
}

/** Names in a directory, none if it cannot be read. */
export function listNames(path: string): string[] {
  try {
    return [...Deno.readDirSync(path)].map((entry) => entry.name);
  } catch {
    return [];
  }
}

/**
 * Tells whether two answers are about one file, whatever its names.
 *
 * Inode numbers arrive as doubles, so neighbours above 2^53 (overlay file systems make such) look
 * alike; size and time tell those apart.
 */
export function isSameFile(a: FileStatus, b: FileStatus): boolean {
  if (a.dev !== b.dev || a.ino !== b.ino) return false;
  return Number.isSafeInteger(a.ino) ||
    (a.size === b.size && a.mtime?.getTime() === b.mtime?.getTime());
}
