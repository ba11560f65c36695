/**
 * What workers do for a dry run: look whether each distinct chunk has a file that can be opened,
 * and how long it is.
 *
 * @module
 */

import { fromFirstGood, inFile, openChunkFile, unreadable } from "../chunk/chunk_file.ts";
import { type ChunkRef, seqFields } from "../chunk/chunk_ref.ts";
import { ChunkCorruptError, ChunkMissingError, isChunkFault } from "../errors.ts";
import { releaseFd } from "../linux/files.ts";
import { CHUNK_HEADER_BYTES } from "../store/layout.ts";
import { statFd } from "../linux/file_status.ts";
import { quote } from "../wording.ts";
import { Counter, type StartMessage, type Task } from "./messages.ts";
import { type Notify, Work } from "./work.ts";

/** Looks for chunk files. */
export class SurveyWork extends Work {
  readonly #countsPlaces: boolean;

  constructor(start: StartMessage, task: Extract<Task, { kind: "survey" }>, notify: Notify) {
    super(start, notify);
    this.#countsPlaces = task.countsPlaces;
  }

  override run(): void {
    for (const { firstSeq } of this.takeJobs()) this.#look(firstSeq);
  }

  #look(firstSeq: number): void {
    const chunk = this.chunkAt(firstSeq);
    const reads = this.#countsPlaces ? chunk.places().count : 1;
    try {
      fromFirstGood(this.start.sources, (dir, source) => {
        this.count(Counter.READ, reads * chunkFileBytes(dir, chunk));
        this.count(Counter.CHUNKS_FROM + source, reads);
      });
    } catch (error) {
      if (!isChunkFault(error)) throw error;
      this.noteBadChunk(error, chunk.places());
    }
  }
}

/**
 * Returns the length of a chunk's file. @throws {ChunkMissingError | ChunkCorruptError} If it
 * cannot be one.
 */
function chunkFileBytes(dir: string, chunk: ChunkRef): number {
  const { fd, path, encoding } = openChunkFile(dir, chunk);
  try {
    const { isFile, size: bytes } = statFd(fd);
    // A directory has a size too, and on some file systems it is one that a chunk's file may have.
    if (!isFile) {
      throw new ChunkMissingError(
        `Cannot read chunk "${chunk.id}": ${quote(path)} is not a regular file`,
        { chunkId: chunk.id, ...seqFields(chunk), path },
      );
    }
    if (bytes > CHUNK_HEADER_BYTES && bytes <= encoding.maxFileBytes) return bytes;
    throw new ChunkCorruptError(
      `Cannot use chunk "${chunk.id}": its file has ${bytes} bytes, as none can have${
        inFile(path)
      }`,
      { chunkId: chunk.id, ...seqFields(chunk), path, reason: "size" },
    );
  } catch (error) {
    throw unreadable(path, chunk, error);
  } finally {
    releaseFd(fd);
  }
}
