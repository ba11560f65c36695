/**
 * What workers do for a check: read, decode and verify each distinct chunk once, and go on after a
 * bad one.
 *
 * @module
 */

import { CHUNK_BYTES } from "../store/layout.ts";
import { Counter } from "./messages.ts";
import { SeqRuns } from "./seq_runs.ts";
import { Work } from "./work.ts";

const NO_PLACES = new SeqRuns();

/** Decodes chunks to see whether they can be. */
export class CheckWork extends Work {
  override run(): void {
    const { firstSeqs } = this.start.plan;
    for (const { job, firstSeq } of this.takeJobs()) {
      this.prefetchAfter(job, firstSeqs.length, (next) => firstSeqs[next]!);
      // Where it stands, and how much of it each image needs, is known to the orchestrator only.
      const bytes = this.decode(this.chunkAt(firstSeq, NO_PLACES), 0, 1);
      if (bytes !== null && bytes < CHUNK_BYTES) {
        this.notify({ type: "short-chunk", seq: firstSeq, bytes });
      }
      this.count(Counter.IMAGE, bytes ?? 0);
    }
  }
}
