/**
 * Step 7 of a restore: what was done, as numbers. Pure.
 *
 * @module
 */

import type { PlanSummary } from "./plan.ts";
import type { PoolProgress } from "./pool.ts";

/** What a complete restore amounts to. All sizes in bytes. */
export interface RestoreReport extends PlanSummary {
  /** Bytes of chunk files read. */
  readonly readBytes: number;
  /** Bytes decoded; for a stream a chunk counts once for each place it stands at. */
  readonly decodedBytes: number;
  /** Bytes handed to the target; less than the image where zeros were skipped or deallocated. */
  readonly writtenBytes: number;
  /** Wall time from the request to the flushed target. */
  readonly elapsedMs: number;
  /** Whether each chunk's content was compared with its id. */
  readonly isVerified: boolean;
  /** Whether the target was flushed to disk. */
  readonly isSynced: boolean;
}

/** Puts a report together; of the plan only the summary is kept, not its shared memory. */
export function makeReport(
  plan: PlanSummary,
  done: PoolProgress,
  run: { elapsedMs: number; isVerified: boolean; isSynced: boolean },
): RestoreReport {
  const { imageBytes, seqCount, zeroSeqs, zeroBytes, distinctChunks, distinctBytes } = plan;
  const { readBytes, decodedBytes, writtenBytes } = done;
  return {
    ...{ imageBytes, seqCount, zeroSeqs, zeroBytes, distinctChunks, distinctBytes },
    ...{ readBytes, decodedBytes, writtenBytes },
    ...run,
  };
}
