/**
 * What workers do for a check: read, decode and verify each chunk once, and go on after a bad one.
 *
 * @module
 */

import { chunkIdAt } from "../store/chunk_ids.ts";
import { CHUNK_BYTES, CHUNK_ID_BYTES } from "../store/layout.ts";
import { Work } from "./work.ts";

/** Decode and verify chunks; whose they are does not matter. */
export interface CheckTask {
  readonly kind: "check";
  /** Ids of the chunks, 16 bytes each; each is a job. */
  readonly ids: Uint8Array<SharedArrayBuffer>;
}

/** Decodes chunks to see whether they can be decoded. */
export class CheckWork extends Work<CheckTask> {
  override run(): void {
    const { ids } = this.task;
    const jobCount = ids.length / CHUNK_ID_BYTES;
    for (const job of this.takeJobs(jobCount)) {
      this.prefetchAfter(job, jobCount, (next) => chunkIdAt(ids, next));
      const id = chunkIdAt(ids, job);
      // Only the main thread knows how much of it each image needs.
      const bytes = this.decode({ id, seqs: () => [] }, 0, null);
      if (bytes !== null && bytes < CHUNK_BYTES) {
        this.notify({ type: "short-chunk", chunkId: id, bytes });
      }
    }
  }
}
