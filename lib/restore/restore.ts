/**
 * Brings a revision's image to a target. Read this first.
 *
 * `prepare.ts` finds the revision, takes the purge lock, reads the map, makes the plan (`plan.ts`)
 * and has the target checked. Then workers are started (`../work/crew.ts`), the target is opened,
 * and the workers do their task (`../work/tasks.ts`). After a flush, `read_back.ts` compares the
 * target if that is wanted, and `report.ts` says what was done.
 *
 * Reads the backup directory, where it creates at most an absent lock file, and writes the target.
 * It neither prints nor exits. `dry_run.ts` does all that comes before the target is opened.
 *
 * @module
 */

import { TargetError } from "../errors.ts";
import { fromFirstGood, openChunkFile } from "../chunk/chunk_file.ts";
import { releaseFd } from "../linux/files.ts";
import { ignoreWriteSignals } from "../linux/signals.ts";
import { STREAM_FORMATS } from "../target/stream_format.ts";
import { writeStreamPart } from "../target/stream_writer.ts";
import type { Target } from "../target/target.ts";
import { quote } from "../wording.ts";
import { WorkerCrew } from "../work/crew.ts";
import { DamageCollector } from "./damage.ts";
import type { Task } from "../work/tasks.ts";
import type { RestoreOptions } from "./options.ts";
import { orAborted } from "../slices.ts";
import type { RestorePlan } from "./plan.ts";
import { chunkAt, SeqRuns } from "../work/seq_runs.ts";
import { type PoolOptions, WorkerPool } from "../work/pool.ts";
import { prepareRestore } from "./prepare.ts";
import { readBack } from "./read_back.ts";
import { makeReport, type RestoreReport } from "./report.ts";
import { createThrottle } from "../work/throttle.ts";

export type { RestoreEvent, RestoreOptions } from "./options.ts";

/**
 * Restores a revision.
 *
 * From here on the process ignores SIGPIPE and SIGXFSZ, so that a target that fails is an error.
 *
 * @returns What was done. The image is then complete, except for `badRanges`, and on disk if `sync`
 *   is set.
 * @throws {StoreFormatError} If a directory is not a backup directory that is understood.
 * @throws {RevisionError} If there is no such revision, its map is not valid, or changes before the
 *   end.
 * @throws {UsageError} If there is no such range or partition.
 * @throws {LockError} If the purge lock could not be taken.
 * @throws {ResourceError} If there is not enough memory, descriptors or threads for one worker; the
 *   target is untouched then.
 * @throws {TargetError} If the target is refused (it is untouched then), or fails, or does not hold
 *   what was written, or its name leads elsewhere at the end.
 * @throws {ChunkMissingError} If a chunk cannot be read; the target is incomplete then.
 * @throws {ChunkCorruptError} If a chunk is not what its name says; the target is incomplete then.
 */
export async function restore(options: RestoreOptions): Promise<RestoreReport> {
  const { verify = true, sync = true, onError = "abort", signal } = options;
  const onEvent = options.onEvent ?? (() => {});
  const startMs = performance.now();
  ignoreWriteSignals();

  using prepared = await prepareRestore(options);
  const { name, plan, sources } = prepared;
  // An update may not need the chunk: the target may hold it already.
  if (onError === "abort" && !options.update) requireFirstChunk(plan, sources);
  for (const text of prepared.target.warnings) onEvent({ type: "warning", text });
  // A signal that comes while the map is read or the workers start must leave the target untouched.
  using crew = await WorkerCrew.start(options);
  const threads = crew.workers.length;
  await new Promise((resolve) => setTimeout(resolve, 0));
  signal?.throwIfAborted();
  await prepared.requireSameMap();
  const target = await prepared.target.open({
    signal,
    onWait: () => onEvent({ type: "reader-wait", target: prepared.target.path }),
    onEmptied: () => onEvent({ type: "emptied", target: prepared.target.path }),
  });
  try {
    const { path, access } = target.handle;
    const damage = new DamageCollector(plan.image.extent);
    const rate = options.readBytesPerSecond;
    const work: Omit<PoolOptions, "task"> = {
      crew,
      sources,
      verify,
      onError,
      throttle: rate === undefined ? null : createThrottle(rate),
      onNote: damage.listener(onEvent),
    };
    if (options.update) await settle(target, options);
    const task = taskFor(plan, target, options);
    const pool = new WorkerPool({ ...work, task });
    const running = { revision: name, target: path, access, threads, plan: plan.summary };
    onEvent({
      type: "restoring",
      isUpdate: task.kind === "update",
      ...running,
      progress: () => pool.progress(),
    });
    await write(pool, plan, target, options);
    const flush = async (store: () => Promise<void>) => {
      // A pipe has nothing to flush.
      if (sync && access === "random") onEvent({ type: "flushing", target: path });
      // A flush cannot be stopped, but it need not be waited for.
      await orAborted(store(), signal);
    };
    let rewrittenBytes: number | null = null;
    if (options.verifyTarget) {
      await flush(() => target.flush());
      // What the base has is compared too: that the target holds it was only a promise.
      rewrittenBytes = await readBack(work, {
        plan: await prepared.planAll(),
        target,
        damage,
        signal,
        flush: () => flush(() => target.flush()),
        onRound: (round, progress) =>
          onEvent({ type: "reading-back", round, ...running, progress }),
      });
      await target.finish({ sync: false });
    } else {
      await flush(() => target.finish({ sync }));
    }
    // If a running backup has written its map meanwhile, what was restored is not its image.
    await prepared.requireSameMap();
    return makeReport(plan, pool.progress(), {
      elapsedMs: Math.round(performance.now() - startMs),
      isVerified: verify,
      isSynced: sync,
      sources,
      rewrittenBytes,
      ...damage.loss(),
    });
  } catch (error) {
    throw error instanceof TargetError ? target.failure ?? error : error;
  } finally {
    target.close();
  }
}

/** Brings earlier writes to the storage before the target is compared; warns if some were lost. */
async function settle(target: Target, { signal, onEvent }: RestoreOptions): Promise<void> {
  const { path } = target.handle;
  onEvent?.({ type: "flushing", target: path });
  const reason = await orAborted(target.settle(), signal);
  if (reason === null) return;
  const text = `earlier writes to ${quote(path)} were lost: ${reason}; what its storage lacks is ` +
    "written now";
  onEvent?.({ type: "warning", text });
}

/** Has the workers write; a stream's format may have something before and after that. */
async function write(
  pool: WorkerPool,
  { image: { imageBytes, extent } }: RestorePlan,
  { handle }: Target,
  { format = "raw", signal }: RestoreOptions,
): Promise<void> {
  if (handle.access !== "stream") return await pool.run(signal);
  const { head, tail } = STREAM_FORMATS[format];
  await writeStreamPart(handle, head(imageBytes), { offset: extent.start, signal });
  await pool.run(signal);
  await writeStreamPart(handle, tail, { offset: extent.end, signal });
}

/** Chooses what the workers do. */
function taskFor(plan: RestorePlan, target: Target, options: RestoreOptions): Task {
  const { format = "raw", update = false } = options;
  const { handle } = target;
  const { image, chunks, zeroRanges, streamItems: items } = plan;
  if (handle.access === "stream") {
    return { kind: "stream", target: handle, format, image, items, zeroRanges };
  }
  if (!update) return { kind: "write", target: handle, image, chunks, zeroRanges };
  const comparable = target.comparable();
  return { kind: "update", target: comparable, mayWrite: true, image, chunks, zeroRanges };
}

/** Fails if the first chunk cannot be opened: a store without chunks must not cost a target. */
function requireFirstChunk({ image, chunks }: RestorePlan, sources: readonly string[]): void {
  const seq = chunks.firstSeqs[0];
  if (seq === undefined) return;
  const chunk = chunkAt(image, seq, () => SeqRuns.ofJob(chunks, seq));
  fromFirstGood(sources, (dir) => releaseFd(openChunkFile(dir, chunk).fd));
}
