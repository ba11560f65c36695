/**
 * Reads a revision map's file while backy may be writing it: a running backup copies its parent's
 * map, and rewrites the file in place when it ends. The result always comes from a single state of
 * the file. `map_parser.ts` does the parsing.
 *
 * @module
 */

import { RevisionError } from "../errors.ts";
import { isSystemError, reasonOf, rethrowLack } from "../linux/errno.ts";
import { fdState, type FileState, fileState } from "../linux/file_state.ts";
import { openFd, OpenFlag, readAt, releaseFd } from "../linux/files.ts";
import type { Steps } from "../slices.ts";
import { quote } from "../wording.ts";
import type { ByteSource } from "./json_reader.ts";

/**
 * Opens a map's file and parses it.
 *
 * @param path A regular file.
 * @returns What `parse` returns, and the state of the file meanwhile.
 * @throws {RevisionError} If the file cannot be read or changes meanwhile.
 * @throws What `parse` throws.
 */
export function* readMapFile<T>(
  path: string,
  parse: (source: ByteSource) => Steps<T>,
): Steps<{ result: T; state: FileState }> {
  const refuse = (reason: string, cause?: unknown) =>
    new RevisionError(
      `Cannot read revision map ${quote(path)}: ${reason}`,
      { path },
      { cause },
    );
  try {
    // Look before opening: opening a FIFO would wait for a writer.
    if (!fileState(path).isFile) throw refuse("it is not a regular file");
    using file = openMap(path);
    const state = fdState(file.fd);
    const hasChanged = () => fdState(file.fd).version !== state.version;
    let result: T;
    try {
      result = yield* parse(sourceOf(file.fd, state.size, path));
    } catch (error) {
      // Then it does not matter what else is wrong with it.
      if (error instanceof RevisionError && hasChanged()) {
        throw refuse(describeChange("while it was read"), error);
      }
      throw error;
    }
    if (hasChanged()) throw refuse(describeChange("while it was read"));
    return { result, state };
  } catch (error) {
    if (error instanceof RevisionError) throw error;
    rethrowLack(error, path);
    if (isSystemError(error)) throw refuse(reasonOf(error), error);
    throw error;
  }
}

/** Says that a map changed, and what to do. @param when Such as "while it was read". */
export function describeChange(when: string): string {
  return `it changed ${when}: its backup is running; try again when it has finished`;
}

function sourceOf(fd: number, length: number, path: string): ByteSource {
  return {
    length,
    readAt(view, offset) {
      // Never read beyond the file's length: a link may lead to a file in /proc where reading waits
      // for data.
      const part = view.subarray(0, Math.max(0, length - offset));
      return part.length === 0 ? 0 : readAt(fd, part, offset, path);
    },
  };
}

/** Opens a file for reading. Does not wait, even if it has become a FIFO. */
function openMap(path: string): Disposable & { fd: number } {
  const fd = openFd(path, OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK | OpenFlag.O_NOCTTY);
  return { fd, [Symbol.dispose]: () => releaseFd(fd) };
}
