/**
 * What workers do for a dry run: checks whether each distinct chunk has a file that can be opened,
 * and how long the file is.
 *
 * @module
 */

import {
  corruptChunk,
  fromFirstGood,
  missingChunk,
  openChunkFile,
  unreadable,
} from "../chunk/chunk_file.ts";
import type { ChunkRef } from "../chunk/chunk_ref.ts";
import { isChunkFault } from "../errors.ts";
import { releaseFd } from "../linux/files.ts";
import { CHUNK_HEADER_BYTES } from "../store/layout.ts";
import { statFd } from "../linux/file_status.ts";
import { quote } from "../wording.ts";
import type { ChunkJobs, SourceImage } from "./jobs.ts";
import { Counter } from "./messages.ts";
import { chunkAt, countSeqs, SeqRuns } from "./seq_runs.ts";
import { Work } from "./work.ts";

/** Look whether chunks have files, and how long those are. */
export interface SurveyTask {
  readonly kind: "survey";
  readonly image: SourceImage;
  readonly chunks: ChunkJobs;
  /** Whether a chunk would be read at each seq where it stands, as for a stream. */
  readonly readsEachSeq: boolean;
}

/** Looks for the chunk files of a plan. */
export class SurveyWork extends Work<SurveyTask> {
  override run(): void {
    const { firstSeqs } = this.task.chunks;
    for (const job of this.takeJobs(firstSeqs.length)) this.#look(firstSeqs[job]!);
  }

  #look(firstSeq: number): void {
    const { image, chunks, readsEachSeq } = this.task;
    const runs = () => SeqRuns.ofJob(chunks, firstSeq);
    const chunk = chunkAt(image, firstSeq, runs);
    const reads = readsEachSeq ? countSeqs(chunks, firstSeq) : 1;
    try {
      fromFirstGood(this.start.sources, (dir, source) => {
        this.count(Counter.READ, reads * chunkFileBytes(dir, chunk));
        this.count(Counter.CHUNKS_FROM + source, reads);
      });
    } catch (error) {
      if (!isChunkFault(error)) throw error;
      this.noteBadChunk(error, runs());
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
    // A directory has a size too, on some file systems a plausible one for a chunk file.
    if (!isFile) throw missingChunk(chunk, { path, why: `${quote(path)} is not a regular file` });
    if (bytes > CHUNK_HEADER_BYTES && bytes <= encoding.maxFileBytes) return bytes;
    const detail = `its file has ${bytes} bytes; no valid chunk file has that size`;
    throw corruptChunk(chunk, { path, reason: "size", detail });
  } catch (error) {
    throw unreadable(path, chunk, error);
  } finally {
    releaseFd(fd);
  }
}
