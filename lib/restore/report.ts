/**
 * What was done, or what a dry run found, as numbers. Pure.
 *
 * @module
 */

import type { Loss } from "./damage.ts";
import type { PlanSummary, RestorePlan } from "./plan.ts";
import type { PoolProgress } from "../work/pool.ts";

/** How much another backup directory helped. */
export interface LentChunks {
  /** The backup directory. */
  readonly dir: string;
  /**
   * Number of chunks that came from it because the revision's own directory had no good copy; for a
   * stream a chunk counts once for each place it stands at.
   */
  readonly chunks: number;
}

/** What a restore amounts to. All sizes in bytes. What is lost is zeros in the target. */
export interface RestoreReport extends PlanSummary, Loss {
  /** Bytes of chunk files read. */
  readonly readBytes: number;
  /** Bytes decoded; for a stream a chunk counts once for each place it stands at. */
  readonly decodedBytes: number;
  /** Bytes handed to the target; less than the image where zeros were skipped or deallocated. */
  readonly writtenBytes: number;
  /** Bytes that an update found the target to hold already. */
  readonly sameBytes: number;
  /**
   * Bytes that had to be written again because the target did not hold them; `null` if it was not
   * read back.
   */
  readonly rewrittenBytes: number | null;
  readonly lentChunks: readonly LentChunks[];
  /** Wall time from the request to the flushed target. */
  readonly elapsedMs: number;
  /** Whether each chunk's content was compared with its id. */
  readonly isVerified: boolean;
  /** Whether the target was flushed to disk. */
  readonly isSynced: boolean;
}

/**
 * What a restore would amount to. All sizes in bytes. What would be lost is said as far as the
 * presence of files tells.
 */
export interface DryRunReport extends PlanSummary, Loss {
  /** Bytes of chunk files that would be read. */
  readonly readBytes: number;
  /**
   * Whether less may be read and written than is said here: an update has not looked at the target.
   */
  readonly mayWriteLess: boolean;
  readonly lentChunks: readonly LentChunks[];
  readonly elapsedMs: number;
}

/** Puts a report together; of the plan only the summary is kept, not its shared memory. */
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
