/**
 * Step 1 of a restore, and the one to read first: brings a revision's image to a target.
 *
 * 1. this file: find the store and the revision, take the purge lock, read the map;
 * 2. `plan.ts`: which chunk is decoded when, which ranges are zeros;
 * 3. `../target/preflight.ts`: may the target be written? Up to here nothing is changed;
 * 4. `pool.ts`, `messages.ts`: workers, and how they share the work;
 * 5. `worker.ts`: chunk file -> decoded -> verified (`../chunk/decoder.ts`) -> written (6: `../target/writer.ts`);
 * 7. flush, and `report.ts`.
 *
 * Reads the backup directory, where it creates at most an absent lock file, and writes the target. It neither prints nor
 * exits.
 *
 * @module
 */

import { openChunkFile } from "../chunk/chunk_file.ts";
import { closeFd, ignoreWriteSignals } from "../ffi/libc.ts";
import { chunkIdToHex } from "../store/layout.ts";
import { PurgeLock } from "../store/purge_lock.ts";
import { readRevisionMap } from "../store/revision_map.ts";
import { locateRevision, openStore } from "../store/store.ts";
import { preflightTarget } from "../target/preflight.ts";
import type { SparseMode, TargetHandle } from "../target/target.ts";
import { idOfSeq, planRestore, type PlanSummary, type RestorePlan, seqsOfJob } from "./plan.ts";
import { type PoolProgress, WorkerPool } from "./pool.ts";
import { makeReport, type RestoreReport } from "./report.ts";

/** What {@linkcode restore} tells while it runs. */
export type RestoreEvent =
  | { readonly type: "locking"; readonly basedir: string }
  /** The purge lock is held by someone else; the restore waits. */
  | { readonly type: "lock-wait"; readonly holder: string }
  | { readonly type: "reading-map"; readonly path: string }
  /** Comes many times while a large map is read, in which the event loop stands still. */
  | { readonly type: "reading-map-on" }
  /** A FIFO has no reader yet; the restore waits. */
  | { readonly type: "reader-wait"; readonly target: string }
  | {
    readonly type: "restoring";
    readonly revision: string;
    readonly target: string;
    readonly threads: number;
    readonly access: TargetHandle["access"];
    readonly plan: PlanSummary;
    /** Returns how far the work has come; valid until the next event. */
    readonly progress: () => PoolProgress;
  }
  | { readonly type: "flushing"; readonly target: string }
  | { readonly type: "warning"; readonly text: string };

/** What to restore, where to and how. */
export interface RestoreOptions {
  /** Path of the revision map, such as `/srv/backy/vm/Nym6uacWoXGb8VnbksM3yH`. */
  readonly revision: string;
  /** File or device; "-": standard output. */
  readonly output: string;
  /** Decoding workers, >= 1. */
  readonly threads: number;
  /** What becomes of zeros; default "auto". */
  readonly sparse?: SparseMode;
  /** Whether each chunk's content is compared with its id; default true. */
  readonly verify?: boolean;
  /** Whether the target is flushed to disk at the end; default true. */
  readonly sync?: boolean;
  /** Whether a target that is in use is written; default false. */
  readonly force?: boolean;
  /** How long to wait for the purge lock; default for ever, 0: not at all. */
  readonly lockTimeoutMs?: number | undefined;
  /** Aborting it stops the restore; its reason is thrown. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: RestoreEvent) => void;
}

/** Chunk files requested ahead, for each worker: enough to keep a disk with a command queue busy. */
const PREFETCH_PER_WORKER = 4;

/**
 * Restores a revision.
 *
 * The process ignores SIGPIPE and SIGXFSZ from here on, so that a target that fails says so by an error.
 *
 * @returns What was done. When it returns, the image is complete and, with `sync`, on disk.
 * @throws {StoreFormatError} If the directory is not a backup directory that is understood.
 * @throws {RevisionError} If there is no such revision or its map is not valid.
 * @throws {LockError} If the purge lock could not be taken.
 * @throws {TargetError} If the target is refused (it is untouched then) or fails.
 * @throws {ChunkMissingError} If a chunk cannot be read; the target is incomplete then.
 * @throws {ChunkCorruptError} If a chunk is not what its name says; the target is incomplete then.
 */
export async function restore(options: RestoreOptions): Promise<RestoreReport> {
  const { output, threads, sparse = "auto", verify = true, sync = true, force = false } = options;
  const onEvent = options.onEvent ?? (() => {});
  const onWarning = (text: string) => onEvent({ type: "warning", text });
  const signal = options.signal;
  const startMs = performance.now();
  ignoreWriteSignals();

  const { basedir, name, mapPath } = locateRevision(options.revision);
  openStore(basedir);
  onEvent({ type: "locking", basedir });
  using _lock = await PurgeLock.acquire({
    basedir,
    timeoutMs: options.lockTimeoutMs,
    onWait: (holder) => onEvent({ type: "lock-wait", holder }),
    onWarning,
    signal,
  });
  onEvent({ type: "reading-map", path: mapPath });
  const onProgress = () => onEvent({ type: "reading-map-on" });
  const plan = planRestore(readRevisionMap(mapPath, { onProgress }));
  requireFirstChunk(plan, basedir);

  const { imageBytes } = plan;
  using checked = preflightTarget(output, {
    ...{ imageBytes, sparse, force, basedir },
    revisionPath: mapPath,
  });
  checked.warnings.forEach(onWarning);
  // The event loop stood still while the map was read: a signal that came meanwhile must find the target untouched.
  await new Promise((resolve) => setTimeout(resolve, 0));
  signal?.throwIfAborted();
  const target = await checked.open({
    ...(signal && { signal }),
    onWait: () => onEvent({ type: "reader-wait", target: checked.path }),
  });
  try {
    const prefetchDepth = PREFETCH_PER_WORKER * threads;
    const pool = new WorkerPool({
      ...{ plan, basedir, verify, threads, prefetchDepth },
      target: target.handle,
    });
    const { path, access } = target.handle;
    onEvent({
      type: "restoring",
      ...{ revision: name, target: path, access, threads, plan },
      progress: () => pool.progress(),
    });
    await pool.run(signal);
    // A pipe has nothing to flush.
    if (sync && access === "random") onEvent({ type: "flushing", target: path });
    // A flush cannot be stopped, but it need not be waited for.
    await orAborted(target.finish({ sync }), signal);
    const elapsedMs = performance.now() - startMs;
    return makeReport(plan, pool.progress(), { elapsedMs, isVerified: verify, isSynced: sync });
  } finally {
    target.close();
  }
}

/** Fails if the chunk that is decoded first cannot be opened: a target is not touched for a store without chunks. */
function requireFirstChunk(plan: RestorePlan, basedir: string): void {
  const seq = plan.firstSeqs[0];
  if (seq === undefined) return;
  const { imageBytes } = plan;
  const id = chunkIdToHex(idOfSeq(plan, seq));
  const chunk = { id, seqs: () => seqsOfJob(plan, seq), imageBytes };
  closeFd(openChunkFile(basedir, chunk));
}

/** Waits for a promise, or throws the signal's reason if that is aborted before. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return await promise;
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.throwIfAborted();
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
