/**
 * What a restore did, or a dry run found, as numbers. Pure.
 *
 * @module
 */

import type { Loss } from "./damage.ts";
import type { PlanSummary, RestorePlan } from "./plan.ts";
import type { PoolProgress } from "../work/pool.ts";

/** How many chunks came from another backup directory. */
export interface LentChunks {
  /** The backup directory. */
  readonly dir: string;
  /**
   * Number of chunks that the revision's own directory had no good copy of. In a stream a chunk
   * counts once for each seq it stands at.
   */
  readonly chunks: number;
}

/** What a restore did. All sizes in bytes. The target has zeros where something is lost. */
export interface RestoreReport extends PlanSummary, Loss {
  /** Bytes of chunk files read. */
  readonly readBytes: number;
  /** Bytes decoded; in a stream a chunk counts once for each seq it stands at. */
  readonly decodedBytes: number;
  /** Bytes handed to the target, without zeros that were skipped or deallocated. */
  readonly writtenBytes: number;
  /** Bytes that an update found in the target already. */
  readonly sameBytes: number;
  /** Bytes that had to be written again after a read-back; `null` if there was none. */
  readonly rewrittenBytes: number | null;
  /** What came from other backup directories, in the order of their use. */
  readonly lentChunks: readonly LentChunks[];
  /** Wall time from the request to the flushed target, in whole milliseconds. */
  readonly elapsedMs: number;
  /** Whether each chunk's content was compared with its id. */
  readonly isVerified: boolean;
  /** Whether the target was flushed to disk. */
  readonly isSynced: boolean;
}

/** What a restore would do. All sizes in bytes. Loss is known only from files that are missing. */
export interface DryRunReport extends PlanSummary, Loss {
  /** Bytes of chunk files that would be read. */
  readonly readBytes: number;
  /** Whether less may be read and written: an update has not compared the target yet. */
  readonly mayWriteLess: boolean;
  /** What came from other backup directories, in the order of their use. */
  readonly lentChunks: readonly LentChunks[];
  /** Wall time in whole milliseconds. */
  readonly elapsedMs: number;
}

/** Makes a report. It keeps only the plan's summary, not its shared memory. */
export function makeReport(
  plan: Pick<RestorePlan, "summary">,
  done: PoolProgress,
  run:
    & Pick<
      RestoreReport,
      "elapsedMs" | "isVerified" | "isSynced" | "rewrittenBytes" | keyof Loss
    >
    & { sources: readonly string[] },
): RestoreReport {
  const { readBytes, decodedBytes, writtenBytes, sameBytes } = done;
  const { sources, ...rest } = run;
  return {
    ...plan.summary,
    readBytes,
    decodedBytes,
    writtenBytes,
    sameBytes,
    lentChunks: lentChunks(sources, done),
    ...rest,
  };
}

/** Like {@linkcode makeReport}, for a dry run. */
export function makeDryRunReport(
  plan: Pick<RestorePlan, "summary">,
  found: PoolProgress,
  run: Pick<DryRunReport, "elapsedMs" | "mayWriteLess" | keyof Loss> & {
    sources: readonly string[];
  },
): DryRunReport {
  const { sources, ...rest } = run;
  const lent = lentChunks(sources, found);
  return { ...plan.summary, readBytes: found.readBytes, lentChunks: lent, ...rest };
}

function lentChunks(sources: readonly string[], { chunksFrom }: PoolProgress): LentChunks[] {
  return sources.map((dir, index) => ({ dir, chunks: chunksFrom[index] ?? 0 })).slice(1);
}
