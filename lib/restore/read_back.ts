/**
 * Reads a flushed target back from its storage and compares it with the plan. What differs is
 * written again; if it still differs after that, it is an error.
 *
 * @module
 */

import { TargetError } from "../errors.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import { nameTarget } from "../target/wording.ts";
import type { BlockHandle, Target } from "../target/target.ts";
import type { DamageCollector } from "./damage.ts";
import type { RestorePlan } from "./plan.ts";
import { imageOffsetOf } from "../work/extent.ts";
import type { Note } from "../work/messages.ts";
import { type PoolOptions, type PoolProgress, WorkerPool } from "../work/pool.ts";

/** Differences that the error lists; the others are counted. */
const LISTED_RANGES = 4;

/** Differences that are kept, so that the first ones can be listed in order. */
const KEPT_MISMATCHES = 10_000;

/** What is read back, and how. */
export interface ReadBackOptions {
  /** All that the target should hold. */
  readonly plan: RestorePlan;
  /** Has been flushed. */
  readonly target: Target;
  /** Bad chunks: the target rightly holds zeros in their place. */
  readonly damage: DamageCollector;
  readonly signal: AbortSignal | undefined;
  /** Flushes what was written to the storage. */
  readonly flush: () => Promise<void>;
  /** Called when a round begins. */
  readonly onRound: (round: 1 | 2, progress: () => PoolProgress) => void;
}

type Mismatch = Extract<Note, { type: "mismatch" }>;

/**
 * Reads a target back after a flush.
 *
 * @returns Number of bytes that had to be written again, in whole chunks or granules of zeros.
 * @throws {TargetError} If the target still does not hold what it should.
 * @throws What a {@linkcode WorkerPool} throws.
 */
export async function readBack(
  work: Omit<PoolOptions, "task">,
  options: ReadBackOptions,
): Promise<number> {
  const { plan, damage, signal, onRound } = options;
  const { summary, image, chunks, zeroRanges } = plan;
  const target = options.target.comparable({ isWritten: true });
  const run = async (round: 1 | 2, onNote: (note: Note) => void): Promise<PoolProgress> => {
    const pool = new WorkerPool({
      ...work,
      onNote,
      task: { kind: "update", target, mayWrite: round === 1, image, chunks, zeroRanges },
    });
    onRound(round, () => pool.progress());
    await pool.run(signal);
    return pool.progress();
  };
  const { sameBytes } = await run(1, work.onNote ?? (() => {}));
  const rewrittenBytes = summary.dataBytes + summary.zeroBytes - sameBytes - damage.bytes;
  if (rewrittenBytes <= 0) return 0;

  await options.flush();
  const mismatches: Mismatch[] = [];
  let count = 0;
  await run(2, (note) => {
    if (note.type !== "mismatch") return;
    const seq = Math.floor(imageOffsetOf(image.extent, note.offset) / CHUNK_BYTES);
    if (damage.isBad(seq)) return;
    // A disk that lost everything has as many mismatches as the image has chunks.
    if (count++ < KEPT_MISMATCHES) mismatches.push(note);
  });
  if (count > 0) throw mismatchError(target, mismatches, count);
  return rewrittenBytes;
}

function mismatchError(
  target: BlockHandle,
  mismatches: readonly Mismatch[],
  count: number,
): TargetError {
  const sorted = mismatches.toSorted((a, b) => a.offset - b.offset);
  const listed = sorted.slice(0, LISTED_RANGES).map(({ offset, length }) =>
    `${offset} to ${offset + length - 1}`
  );
  const more = count - listed.length;
  return new TargetError(
    `Cannot restore to ${
      nameTarget(target.path)
    }: it does not hold what was written, even after a second write, at bytes ` +
      `${listed.join(", ")}${more > 0 ? ` and ${more} more ranges` : ""}; ` +
      "its storage may be failing, name another target",
    { path: target.path, offset: sorted[0]!.offset },
  );
}
