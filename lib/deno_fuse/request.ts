/**
 * Reads what libfuse passes to a callback: names, open files, changed attributes, data.
 *
 * Such pointers are valid during the callback only, so everything is copied, save the bytes of a
 * write. Neighbours: `inode_operations.ts` and `file_operations.ts` say which request has which
 * arguments.
 *
 * @module
 */

import { Errno } from "../linux/errno.ts";
import { FuseError } from "./errors.ts";
import type { AttributeChanges } from "./handlers.ts";
import { FILE_INFO, FORGET_DATA, SetAttr, STAT, TIMESPEC } from "./structs.ts";

/**
 * Views memory of C. @throws {TypeError} If the pointer is NULL, which libfuse's documentation
 * excludes.
 */
function viewOf(pointer: Deno.PointerValue): Deno.UnsafePointerView {
  if (pointer === null) throw new TypeError("Cannot read an argument of libfuse: it is NULL");
  return new Deno.UnsafePointerView(pointer);
}

/**
 * Reads a name.
 *
 * @throws {FuseError} EINVAL if it is not UTF-8: decoded, it would be another name than the
 *   caller's.
 */
export function readText(pointer: Deno.PointerValue): string {
  const text = viewOf(pointer).getCString();
  // Deno puts U+FFFD in place of what is not UTF-8; a name that really holds one is refused as
  // well.
  if (text.includes("\uFFFD")) throw new FuseError(Errno.EINVAL);
  return text;
}

/** Reads `struct fuse_file_info`. */
export function readFile(pointer: Deno.PointerValue): { handle: number; flags: number } {
  const view = viewOf(pointer);
  return {
    handle: Number(view.getBigUint64(FILE_INFO.fh)),
    flags: view.getInt32(FILE_INFO.flags),
  };
}

/**
 * Tells whether a write comes from the kernel's cache: `writepage`, the first bit of all releases.
 */
export function readIsWriteback(pointer: Deno.PointerValue): boolean {
  return (viewOf(pointer).getUint32(FILE_INFO.bits) & 1) !== 0;
}

/**
 * Reads those members of a `struct stat` that are to be changed.
 *
 * @param toSet Or-ed {@linkcode SetAttr}s.
 */
export function readChanges(pointer: Deno.PointerValue, toSet: number): AttributeChanges {
  const view = viewOf(pointer);
  const changes: AttributeChanges = {};
  if (toSet & SetAttr.FUSE_SET_ATTR_MODE) changes.mode = view.getUint32(STAT.st_mode);
  if (toSet & SetAttr.FUSE_SET_ATTR_UID) changes.uid = view.getUint32(STAT.st_uid);
  if (toSet & SetAttr.FUSE_SET_ATTR_GID) changes.gid = view.getUint32(STAT.st_gid);
  if (toSet & SetAttr.FUSE_SET_ATTR_SIZE) changes.size = Number(view.getBigInt64(STAT.st_size));
  if (toSet & SetAttr.FUSE_SET_ATTR_ATIME) changes.atimeMs = readTime(view, STAT.st_atim);
  if (toSet & SetAttr.FUSE_SET_ATTR_MTIME) changes.mtimeMs = readTime(view, STAT.st_mtim);
  if (toSet & SetAttr.FUSE_SET_ATTR_CTIME) changes.ctimeMs = readTime(view, STAT.st_ctim);
  if (toSet & SetAttr.FUSE_SET_ATTR_ATIME_NOW) changes.atimeMs = "now";
  if (toSet & SetAttr.FUSE_SET_ATTR_MTIME_NOW) changes.mtimeMs = "now";
  return changes;
}

function readTime(view: Deno.UnsafePointerView, offset: number): number {
  return Number(view.getBigInt64(offset + TIMESPEC.tv_sec)) * 1000 +
    Number(view.getBigInt64(offset + TIMESPEC.tv_nsec)) / 1e6;
}

/** Copies bytes out of libfuse's memory. */
export function readBytes(pointer: Deno.PointerValue, size: bigint): Uint8Array<ArrayBuffer> {
  return lendBytes(pointer, size).slice();
}

/**
 * Views bytes in libfuse's memory; whoever lends them detaches the view before the memory is used
 * again.
 */
export function lendBytes(pointer: Deno.PointerValue, size: bigint): Uint8Array<ArrayBuffer> {
  if (size === 0n) return new Uint8Array();
  return new Uint8Array(viewOf(pointer).getArrayBuffer(Number(size)));
}

/** Reads an array of `struct fuse_forget_data`. */
export function readForgets(
  pointer: Deno.PointerValue,
  count: bigint,
): { ino: number; lookups: number }[] {
  const view = viewOf(pointer);
  return Array.from({ length: Number(count) }, (_, index) => ({
    ino: Number(view.getBigUint64(index * FORGET_DATA.bytes + FORGET_DATA.ino)),
    lookups: Number(view.getBigUint64(index * FORGET_DATA.bytes + FORGET_DATA.nlookup)),
  }));
}
