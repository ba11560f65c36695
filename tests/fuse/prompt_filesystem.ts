/**
 * A file system whose answers come at once, but for reads and writes: those of directories that are
 * not partitions'.
 *
 * @module
 */

import type { Answer, Entry, OnInode, OnName, OpenedDirectory } from "deno-fuse";
import { Filesystem } from "../../lib/fuse/filesystem.ts";

/** Asserts that an answer is there. */
export function atOnce<T>(answer: Answer<T>): T {
  if (typeof (answer as PromiseLike<T> | null)?.["then"] !== "function") return answer as T;
  throw new Error("The answer is a promise");
}

export class PromptFilesystem extends Filesystem {
  override lookup(op: OnName): Entry | null {
    return atOnce(super.lookup(op));
  }

  override opendir(op: OnInode): OpenedDirectory {
    return atOnce(super.opendir(op));
  }
}
