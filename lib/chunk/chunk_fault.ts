/**
 * What is a bad chunk, and what to do if another directory may have a good one. Without the codec,
 * which the main thread of a restore does not load.
 *
 * @module
 */

import { ChunkCorruptError, ChunkMissingError, OsError } from "../errors.ts";

/**
 * Tries one directory after the other until one has a good copy of a chunk.
 *
 * @param attempt Reads the copy in one of them.
 * @throws {OsError} If none has, and one of them could not be read: what lies there may be good.
 * @throws {ChunkMissingError | ChunkCorruptError} What is wrong in the first directory otherwise.
 */
export function fromFirstGood<Dir, Copy>(
  dirs: readonly Dir[],
  attempt: (dir: Dir, index: number) => Copy,
): Copy {
  let firstFault: unknown, firstRefusal: unknown;
  for (const [index, dir] of dirs.entries()) {
    try {
      return attempt(dir, index);
    } catch (error) {
      if (error instanceof OsError) firstRefusal ??= error;
      else if (isChunkFault(error)) firstFault ??= error;
      else throw error;
    }
  }
  throw firstRefusal ?? firstFault ??
    new TypeError("Cannot decode a chunk: there are no backup directories");
}

/**
 * Whether an error says that a chunk is missing or damaged, and not that something else went wrong.
 */
export function isChunkFault(error: unknown): error is ChunkMissingError | ChunkCorruptError {
  return error instanceof ChunkMissingError || error instanceof ChunkCorruptError;
}
