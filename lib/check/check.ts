/**
 * Reads, decodes and verifies each distinct chunk of some revisions once, and says what is damaged and where that matters.
 * Read this first; the workers are those of a restore (`../restore/pool.ts`, `../restore/work/check_work.ts`).
 *
 * 1. this file: revisions, purge locks, the union of their chunks (a plan without places);
 * 2. the workers tell which chunks are bad, or shorter than a full one;
 * 3. `damage_places.ts`: the maps are read again, to find the places of those chunks.
 *
 * Reads backup directories, where it creates at most an absent lock file. It neither prints nor exits.
 *
 * @module
 */

import { WorkerCrew } from "../restore/crew.ts";
import type { PoolProgress } from "../restore/pool.ts";
import { WorkerPool } from "../restore/pool.ts";
import type { PlanSummary } from "../restore/plan.ts";
import { createThrottle } from "../restore/throttle.ts";
import { PurgeLock } from "../store/purge_lock.ts";
import { selectRevisions } from "../store/select_revision.ts";
import { openStore } from "../store/store.ts";
import { realPathOrNull } from "../target/file_info.ts";
import { ChunkUnion } from "./chunk_union.ts";
import { type DamagedChunk, DamageFinder } from "./damage_places.ts";

/** What {@linkcode CheckOptions.onEvent} is called with. */
export type CheckEvent =
  | { readonly type: "locking"; readonly basedir: string }
  | { readonly type: "lock-wait"; readonly holder: string }
  | { readonly type: "reading-map"; readonly path: string }
  | { readonly type: "reading-map-on" }
  | {
    readonly type: "checking";
    readonly basedir: string;
    readonly revisions: number;
    readonly threads: number;
    /** Of the chunks that are checked. */
    readonly plan: PlanSummary;
    readonly progress: () => PoolProgress;
  }
  | { readonly type: "bad-chunk"; readonly chunkId: string; readonly detail: string }
  | { readonly type: "notice"; readonly text: string }
  | { readonly type: "warning"; readonly text: string };

/** What to check, and how. */
export interface CheckOptions {
  /** Revisions or specs, as a restore takes them; a spec may stand for several, a directory for all. */
  readonly revisions: readonly string[];
  /** Chooses the revisions where `revisions` names backup directories. */
  readonly spec?: string | undefined;
  /** Share of the distinct chunks that is checked, more than 0 and at most 1 (the default). */
  readonly share?: number;
  /** Decoding workers, >= 1; a limit of the system may make them fewer. */
  readonly threads: number;
  /** Bound of the rate at which chunk files are read, in bytes a second. */
  readonly readBytesPerSecond?: number | undefined;
  /** How long to wait for the purge lock; default for ever, 0: not at all. */
  readonly lockTimeoutMs?: number | undefined;
  /** Aborting it stops the check; its reason is thrown. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: CheckEvent) => void;
}

/** A revision that was checked. */
export interface CheckedRevision {
  readonly basedir: string;
  readonly name: string;
  readonly imageBytes: number;
}

/** What a check found. All sizes in bytes. */
export interface CheckReport {
  readonly revisions: readonly CheckedRevision[];
  /** Distinct chunks of the revisions other than zeros; one in two backup directories counts twice. */
  readonly distinctChunks: number;
  /** How many of them were checked. */
  readonly checkedChunks: number;
  /** Bytes of chunk files read, and what they were decoded to. */
  readonly readBytes: number;
  readonly decodedBytes: number;
  readonly damaged: readonly DamagedChunk[];
  readonly elapsedMs: number;
}

/** A revision of a backup directory. */
interface Found {
  readonly name: string;
  readonly mapPath: string;
}

/**
 * Checks revisions.
 *
 * @returns What was found; damage is no error here.
 * @throws {StoreFormatError} If a directory is not a backup directory that is understood.
 * @throws {RevisionError} If there is no such revision, or its map is not valid.
 * @throws {UsageError} If a spec is not understood.
 * @throws {LockError} If a purge lock could not be taken.
 */
export async function check(options: CheckOptions): Promise<CheckReport> {
  const startMs = performance.now();
  const revisions: CheckedRevision[] = [];
  const damaged: DamagedChunk[] = [];
  const sums = { distinctChunks: 0, checkedChunks: 0, readBytes: 0, decodedBytes: 0 };
  for (const { basedir, found } of await findRevisions(options)) {
    const part = await checkDirectory(basedir, found, options);
    revisions.push(...part.revisions);
    damaged.push(...part.damaged);
    sums.distinctChunks += part.distinctChunks;
    sums.checkedChunks += part.checkedChunks;
    sums.readBytes += part.readBytes;
    sums.decodedBytes += part.decodedBytes;
  }
  return { revisions, damaged, ...sums, elapsedMs: performance.now() - startMs };
}

/** Revisions of one backup directory. */
interface FoundInDirectory {
  readonly basedir: string;
  readonly found: Found[];
}

/** Finds the revisions, each once, by backup directory; a directory may be named in several ways. */
async function findRevisions(
  { revisions, spec, onEvent }: CheckOptions,
): Promise<FoundInDirectory[]> {
  const byDirectory = new Map<string, FoundInDirectory>();
  for (const path of revisions) {
    const { revisions: found, warnings } = await selectRevisions(path, { spec });
    for (const text of warnings) onEvent?.({ type: "warning", text });
    for (const { basedir, name, mapPath } of found) {
      const realPath = realPathOrNull(basedir) ?? basedir;
      const known = byDirectory.get(realPath) ?? { basedir, found: [] };
      if (!known.found.some((other) => other.name === name)) known.found.push({ name, mapPath });
      byDirectory.set(realPath, known);
    }
  }
  return [...byDirectory.values()];
}

async function checkDirectory(
  basedir: string,
  found: readonly Found[],
  options: CheckOptions,
): Promise<Omit<CheckReport, "elapsedMs">> {
  const { signal, share = 1, readBytesPerSecond: rate } = options;
  const onEvent = options.onEvent ?? (() => {});
  openStore(basedir);
  onEvent({ type: "locking", basedir });
  using _lock = await PurgeLock.acquire({
    basedir,
    timeoutMs: options.lockTimeoutMs,
    onWait: (holder) => onEvent({ type: "lock-wait", holder }),
    onWarning: (text) => onEvent({ type: "warning", text }),
    signal,
  });
  const union = new ChunkUnion();
  const revisions: CheckedRevision[] = [];
  for (const { name, mapPath } of found) {
    onEvent({ type: "reading-map", path: mapPath });
    const onProgress = () => onEvent({ type: "reading-map-on" });
    revisions.push({ basedir, name, imageBytes: union.addMap(mapPath, onProgress) });
  }
  const plan = union.plan(share);
  const finder = new DamageFinder({ basedir, plan });
  using crew = await WorkerCrew.start({
    threads: options.threads,
    onNotice: (text) => onEvent({ type: "notice", text }),
    signal,
  });
  const pool = new WorkerPool({
    ...{
      crew,
      plan,
      sources: [basedir],
      verify: true,
      onError: "zero",
      task: { kind: "check" },
    },
    throttle: rate === undefined ? null : createThrottle(rate),
    onNote(note) {
      finder.add(note);
      if (note.type !== "bad-chunk") return;
      onEvent({ type: "bad-chunk", chunkId: note.chunkId, detail: note.detail });
    },
  });
  const progress = () => pool.progress();
  onEvent({
    ...{ type: "checking", basedir, revisions: found.length, threads: crew.workers.length },
    ...{ plan, progress },
  });
  await pool.run(signal);
  const { readBytes, imageBytes: decodedBytes, jobs: checkedChunks } = pool.progress();
  return {
    ...{ revisions, distinctChunks: union.size, checkedChunks, readBytes, decodedBytes },
    damaged: finder.find(found),
  };
}
