/**
 * Step 1 of a restore, and the one to read first: brings a revision's image to a target.
 *
 * 1. this file; `prepare.ts` finds the store and the revision, takes the purge lock and reads the
 *    map;
 * 2. `plan.ts`: which chunk is decoded when, which ranges are zeros (`extent.ts`: which part of the
 *    image goes where);
 * 3. `../target/preflight.ts`: may the target be written? Up to here nothing is changed;
 * 4. `crew.ts`, `pool.ts`, `messages.ts`: workers are started, then the target is opened; how they
 *    share the work;
 * 5. `worker.ts`, `work/`: chunk file -> decoded -> verified (`../chunk/`) -> written (6:
 *    `../target/block_io.ts`, `stream_writer.ts`);
 * 7. flush, `read_back.ts` on request, and `report.ts`.
 *
 * Reads the backup directory, where it creates at most an absent lock file, and writes the target.
 * It neither prints nor exits. A dry run (`dry_run.ts`) ends behind step 3.
 *
 * @module
 */

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
 * The process ignores SIGPIPE and SIGXFSZ from here on, so that a target that fails says so by an
 * error.
 *
 * @returns What was done. When it returns, the image is complete, but for `badRanges`, and, with
 *   `sync`, on disk.
 * @throws {StoreFormatError} If a directory is not a backup directory that is understood.
 * @throws {RevisionError} If there is no such revision, its map is not valid, or changes before the
 *   end.
 * @throws {UsageError} If there is no such range or partition.
 * @throws {LockError} If the purge lock could not be taken.
 * @throws {ResourceError} If the system gives less than one worker needs; the target is untouched
 *   then.
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
  const { imageBytes, extent } = plan.image;
  // An update may not need it: the target may hold it already.
  if (onError === "abort" && !options.update) requireFirstChunk(plan, sources);
  for (const text of prepared.target.warnings) onEvent({ type: "warning", text });
  // A signal that came while the map was read or the workers were started must find the target
  // untouched.
  using crew = await WorkerCrew.start({
    threads: options.threads,
    onNotice: (text) => onEvent({ type: "notice", text }),
    signal,
  });
  const threads = crew.workers.length;
  await new Promise((resolve) => setTimeout(resolve, 0));
  signal?.throwIfAborted();
  await prepared.requireSameMap();
  const target = await prepared.target.open({
    ...(signal && { signal }),
    onWait: () => onEvent({ type: "reader-wait", target: prepared.target.path }),
    onEmptied: () => onEvent({ type: "emptied", target: prepared.target.path }),
  });
  try {
    const { handle } = target;
    const { path, access } = handle;
    const damage = new DamageCollector(extent);
    const rate = options.readBytesPerSecond;
    const work: Omit<PoolOptions, "task"> = {
      crew,
      sources,
      verify,
      onError,
      throttle: rate === undefined ? null : createThrottle(rate),
      onNote(note) {
        if (note.type !== "bad-chunk") return;
        const { chunkId, detail } = note;
        if (damage.add(note)) onEvent({ type: "bad-chunk", chunkId, detail });
      },
    };
    if (options.update) {
      onEvent({ type: "flushing", target: path });
      const reason = await orAborted(target.settle(), signal);
      if (reason !== null) {
        onEvent({
          type: "warning",
          text:
            `earlier writes to ${quote(path)} were lost: ${reason}; what its storage lacks is ` +
            "written now",
        });
      }
    }
    const task = taskFor(plan, target, options);
    const pool = new WorkerPool({ ...work, task });
    const running = { revision: name, target: path, access, threads, plan: plan.summary };
    onEvent({
      type: "restoring",
      isUpdate: task.kind === "update",
      ...running,
      progress: () => pool.progress(),
    });
    const { head, tail } = STREAM_FORMATS[options.format ?? "raw"];
    if (access === "stream") {
      await writeStreamPart(handle, head(imageBytes), { offset: extent.start, signal });
    }
    await pool.run(signal);
    if (access === "stream") {
      await writeStreamPart(handle, tail, { offset: extent.end, signal });
    }
    const flush = async (store: () => Promise<void>) => {
      // A pipe has nothing to flush.
      if (sync && access === "random") onEvent({ type: "flushing", target: path });
      // A flush cannot be stopped, but it need not be waited for.
      await orAborted(store(), signal);
    };
    let rewrittenBytes: number | null = null;
    if (options.verifyTarget) {
      await flush(() => target.flush());
      // The base is part of what is compared: that the target holds it was a promise.
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
    // A backup that was running has written its map by now, perhaps: what was restored is not its
    // image then.
    await prepared.requireSameMap();
    return makeReport(plan, pool.progress(), {
      elapsedMs: performance.now() - startMs,
      isVerified: verify,
      isSynced: sync,
      sources,
      rewrittenBytes,
      ...damage.loss(),
    });
  } finally {
    target.close();
  }
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

/**
 * Fails if the chunk that is decoded first cannot be opened: a target is not touched for a store
 * without chunks.
 */
function requireFirstChunk({ image, chunks }: RestorePlan, sources: readonly string[]): void {
  const seq = chunks.firstSeqs[0];
  if (seq === undefined) return;
  const chunk = chunkAt(image, seq, () => SeqRuns.ofJob(chunks, seq));
  fromFirstGood(sources, (dir) => releaseFd(openChunkFile(dir, chunk).fd));
}
