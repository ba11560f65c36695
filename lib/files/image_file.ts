/**
 * Reads the image of a revision through its mount, to find out what is in it.
 *
 * @module
 */

import { ChunkMissingError, OsError } from "../errors.ts";
import type { ImageSource } from "../image/partition.ts";
import { Errno } from "../linux/errno.ts";
import { statFd } from "../linux/file_status.ts";
import { openFd, OpenFlag, readAt, releaseFd } from "../linux/files.ts";
import { quote } from "../wording.ts";

/** An image that another process serves as a file. */
export class ImageFile implements ImageSource, Disposable {
  readonly bytes: number;
  readonly #path: string;
  readonly #fd: number;

  /** @throws {OsError} If it cannot be opened. */
  constructor(path: string) {
    this.#path = path;
    this.#fd = openFd(path, OpenFlag.O_RDONLY);
    this.bytes = statFd(this.#fd).size;
  }

  /** @throws {ChunkMissingError} If a chunk is bad; the server has said which one, and why. */
  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    try {
      readAt(this.#fd, bytes, offset, this.#path);
      return bytes;
    } catch (error) {
      if (!(error instanceof OsError) || error.errno !== Errno.EIO) throw error;
      throw new ChunkMissingError(
        `Cannot read ${quote(this.#path)} at byte ${offset}: a chunk is missing or corrupt`,
        { chunkId: "", seqs: [], path: this.#path },
        { cause: error },
      );
    }
  }

  [Symbol.dispose](): void {
    releaseFd(this.#fd);
  }
}
