/**
 * Reads, decodes and verifies each distinct chunk of some revisions once, and says what is damaged
 * and where that matters. Read this first; the workers are those of a restore
 * (`../work/pool.ts`, `../work/check_work.ts`).
 *
 * 1. this file: revisions, purge locks, the union of their chunks (a plan without places);
 * 2. the workers tell which chunks are bad, or shorter than a full one;
 * 3. `damage_places.ts`: the maps are read again, to find the places of those chunks.
 *
 * A map that cannot be read is damage like any other. Where the check is interrupted it says what
 * is known so far.
 *
 * Reads backup directories, where it creates at most an absent lock file. It neither prints nor
 * exits.
 *
 * @module
 */

import { WorkerCrew } from "../work/crew.ts";
import type { PoolProgress } from "../work/pool.ts";
import { WorkerPool } from "../work/pool.ts";
import type { PlanSummary, RestorePlan } from "../work/plan.ts";
import type { MapProgress } from "../store/revision_map.ts";
import { createThrottle } from "../work/throttle.ts";
import { RevisionError } from "../errors.ts";
import { fileState } from "../linux/file_state.ts";
import { Slices } from "../slices.ts";
import { describeChange } from "../store/map_file.ts";
import { type LockEvent, PurgeLock } from "../store/purge_lock.ts";
import { selectRevisions } from "../store/select_revision.ts";
import { requireStore } from "../store/store.ts";
import { realPathOrNull } from "../linux/paths.ts";
import { quote } from "../wording.ts";
import { ChunkUnion } from "./chunk_union.ts";
import { type DamagedChunk, DamageFinder, type RevisionDamage } from "./damage_places.ts";

/** What {@linkcode CheckOptions.onEvent} is called with. */
export type CheckEvent =
  | LockEvent
  /** Maps are read, for the first time or, once bad chunks are known, to find their places. */
  | {
    readonly type: "reading-maps";
    readonly purpose: "chunks" | "places";
    readonly maps: number;
    /** Returns how far the reading has come; valid until the next event. */
    readonly progress: () => MapProgress;
  }
  | {
    readonly type: "checking";
    readonly basedir: string;
    readonly revisions: number;
    readonly threads: number;
    /** Of the chunks that are checked. */
    readonly plan: PlanSummary;
    readonly progress: () => PoolProgress;
  }
  | { readonly type: "bad-map"; readonly path: string; readonly detail: string }
  | { readonly type: "bad-chunk"; readonly chunkId: string; readonly detail: string }
  | { readonly type: "notice"; readonly text: string }
  | { readonly type: "warning"; readonly text: string };

/** What to check, and how. */
export interface CheckOptions {
  /**
   * Revisions or specs, as a restore takes them; a spec may stand for several, a directory for all.
   */
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
  /**
   * Aborting it stops the check, which returns what it knows; see
   * {@linkcode CheckReport.interruption}.
   */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: CheckEvent) => void;
}

/**
 * What a check found of a revision. "intact": all of its chunks were checked and are good;
 * "damaged": some are not; "bad-map": its map cannot be read, so nothing is known of its chunks;
 * "unknown": no damage was found, but not all of its chunks were checked.
 */
export type CheckedState = "intact" | "damaged" | "bad-map" | "unknown";

/** A revision that was checked. */
export interface CheckedRevision {
  readonly basedir: string;
  readonly name: string;
  readonly mapPath: string;
  readonly state: CheckedState;
  /** `null` if the map was not read. */
  readonly imageBytes: number | null;
  /** What is wrong with the map, a line; otherwise `null`. */
  readonly reason: string | null;
  /** What bad chunks cost. */
  readonly damage: RevisionDamage;
}

/** What a check found. All sizes in bytes. */
export interface CheckReport {
  readonly revisions: readonly CheckedRevision[];
  /**
   * Distinct chunks of the revisions other than zeros; one in two backup directories counts twice.
   */
  readonly distinctChunks: number;
  /** How many of them were checked. */
  readonly checkedChunks: number;
  /** How many of these are bad. */
  readonly damagedChunks: number;
  /** Bytes of chunk files read, and what they were decoded to. */
  readonly readBytes: number;
  readonly decodedBytes: number;
  /** The first bad chunks, with their first places. */
  readonly damaged: readonly DamagedChunk[];
  readonly elapsedMs: number;
  /** The reason of the signal that ended the check early; `null` if it came to its end. */
  readonly interruption: unknown;
}

/** A revision of a backup directory. */
interface Found {
  readonly name: string;
  readonly mapPath: string;
}

/**
 * How long the places of bad chunks are looked up after an interruption: the user does not want to
 * wait.
 */
const LAST_WORDS_MS = 400;

const NO_DAMAGE: RevisionDamage = { chunks: 0, bytes: 0, ranges: 0 };

/**
 * Checks revisions.
 *
 * @returns What was found; neither damage nor an interruption is an error here.
 * @throws {StoreFormatError} If a directory is not a backup directory that is understood.
 * @throws {RevisionError} If there is no such revision.
 * @throws {UsageError} If a spec is not understood.
 * @throws {LockError} If a purge lock could not be taken.
 */
export async function check(options: CheckOptions): Promise<CheckReport> {
  const startMs = performance.now();
  const { signal } = options;
  const checks = (await findRevisions(options)).map(({ basedir, found }) =>
    new DirectoryCheck(basedir, [...found.values()], options)
  );
  let interruption: unknown = null;
  try {
    for (const each of checks) await each.run();
  } catch (error) {
    if (!signal?.aborted || error !== signal.reason) throw error;
    interruption = error;
  }
  const parts = checks.map((each) => each.report());
  const sum = (of: (part: DirectoryReport) => number) =>
    parts.reduce((total, part) => total + of(part), 0);
  return {
    revisions: parts.flatMap(({ revisions }) => revisions),
    distinctChunks: sum(({ distinctChunks }) => distinctChunks),
    checkedChunks: sum(({ checkedChunks }) => checkedChunks),
    damagedChunks: sum(({ damagedChunks }) => damagedChunks),
    readBytes: sum(({ readBytes }) => readBytes),
    decodedBytes: sum(({ decodedBytes }) => decodedBytes),
    damaged: parts.flatMap(({ damaged }) => damaged),
    elapsedMs: performance.now() - startMs,
    interruption,
  };
}

type DirectoryReport = Omit<CheckReport, "elapsedMs" | "interruption">;

/** Revisions of one backup directory. */
interface FoundInDirectory {
  readonly basedir: string;
  /** By name. */
  readonly found: Map<string, Found>;
}

/**
 * Finds the revisions, each once, by backup directory; a directory may be named in several ways.
 */
async function findRevisions(
  { revisions, spec, signal, onEvent }: CheckOptions,
): Promise<FoundInDirectory[]> {
  const byDirectory = new Map<string, FoundInDirectory>();
  for (const path of revisions) {
    const { revisions: found, warnings } = await selectRevisions(path, { spec, signal });
    for (const text of warnings) onEvent?.({ type: "warning", text });
    for (const { basedir, name, mapPath } of found) {
      const realPath = realPathOrNull(basedir) ?? basedir;
      const known = byDirectory.get(realPath) ?? { basedir, found: new Map() };
      if (!known.found.has(name)) known.found.set(name, { name, mapPath });
      byDirectory.set(realPath, known);
    }
  }
  return [...byDirectory.values()];
}

/** What is known of a revision while a check runs. */
interface RevisionProgress {
  imageBytes: number | null;
  reason: string | null;
  damage: RevisionDamage;
  /** State of the map's file before it was read; `null` if it was not, or that cannot be told. */
  mapVersion: string | null;
  /** Whether the map names other chunks by now than those that were checked. */
  isChanged: boolean;
}

/** The check of one backup directory. */
class DirectoryCheck {
  readonly #basedir: string;
  readonly #options: CheckOptions;
  readonly #onEvent: (event: CheckEvent) => void;
  readonly #union = new ChunkUnion();
  readonly #revisions: readonly (Found & RevisionProgress)[];
  #finder: DamageFinder | null = null;
  #pool: WorkerPool | null = null;
  /** Whether each chunk of the revisions was checked. */
  #isWhole = false;
  /** Whether the places of all bad chunks were looked for. */
  #hasPlaces = false;

  constructor(basedir: string, found: readonly Found[], options: CheckOptions) {
    this.#basedir = basedir;
    this.#options = options;
    this.#onEvent = options.onEvent ?? (() => {});
    this.#revisions = found.map(({ name, mapPath }) => ({
      name,
      mapPath,
      imageBytes: null,
      reason: null,
      damage: NO_DAMAGE,
      mapVersion: null,
      isChanged: false,
    }));
  }

  /**
   * Checks. @throws What {@linkcode check} throws, and the signal's reason; {@linkcode report} says
   * what is known then.
   */
  async run(): Promise<void> {
    const { signal, lockTimeoutMs: timeoutMs, share = 1 } = this.#options;
    const basedir = this.#basedir;
    requireStore(basedir);
    const lock = { basedir, timeoutMs, signal, onEvent: this.#onEvent };
    using _lock = await PurgeLock.acquire(lock);
    const slices = new Slices({ signal });
    await this.#readMaps("chunks", slices, async (revision, onProgress) => {
      revision.mapVersion = versionOf(revision.mapPath);
      revision.imageBytes = await slices.run(this.#union.addMap(revision.mapPath, { onProgress }));
    });
    const plan = await slices.run(this.#union.plan(share));
    const finder = this.#finder = new DamageFinder({ basedir, plan });
    using crew = await WorkerCrew.start({
      threads: this.#options.threads,
      onNotice: (text) => this.#onEvent({ type: "notice", text }),
      signal,
    });
    const pool = this.#pool = this.#makePool({ crew, plan, finder });
    let interruption: unknown;
    try {
      await pool.run(signal);
      this.#isWhole = share >= 1 || plan.distinctChunks === this.#union.size;
    } catch (error) {
      if (!signal?.aborted) throw error;
      interruption = error;
    }
    await this.#findPlaces(finder, interruption !== undefined);
    if (interruption !== undefined) throw interruption;
    await this.#lookForChanges(slices);
  }

  /**
   * Looks for maps that running backups have written meanwhile, with chunks that were not checked.
   */
  async #lookForChanges(slices: Slices): Promise<void> {
    for (const revision of this.#revisions) {
      const { name, mapPath, mapVersion, reason } = revision;
      const version = versionOf(mapPath);
      // One that is gone has expired.
      if (reason !== null || version === null || version === mapVersion) continue;
      revision.isChanged = !await slices.run(this.#union.covers(mapPath)).catch((error) => {
        if (error instanceof RevisionError) return false;
        throw error;
      });
      if (!revision.isChanged) continue;
      const text = `the map of revision ${quote(name)}: ${describeChange("since it was read")}`;
      this.#onEvent({ type: "warning", text });
    }
  }

  report(): DirectoryReport {
    const basedir = this.#basedir;
    const done = this.#pool?.progress();
    const { damagedCount = 0, badCount = 0 } = this.#finder ?? {};
    return {
      revisions: this.#revisions.map((
        { name, mapPath, imageBytes, reason, damage, isChanged },
      ) => ({
        basedir,
        name,
        mapPath,
        state: reason !== null
          ? "bad-map"
          : damage.bytes > 0
          ? "damaged"
          : this.#isWhole && !isChanged
          ? "intact"
          : "unknown",
        imageBytes,
        reason,
        damage,
      })),
      distinctChunks: this.#union.size,
      checkedChunks: done?.jobs ?? 0,
      damagedChunks: this.#hasPlaces ? damagedCount : Math.max(damagedCount, badCount),
      readBytes: done?.readBytes ?? 0,
      decodedBytes: done?.imageBytes ?? 0,
      damaged: this.#finder?.damaged() ?? [],
    };
  }

  #makePool(
    { crew, plan, finder }: { crew: WorkerCrew; plan: RestorePlan; finder: DamageFinder },
  ): WorkerPool {
    const { readBytesPerSecond: rate } = this.#options;
    const pool = new WorkerPool({
      crew,
      plan,
      sources: [this.#basedir],
      verify: true,
      onError: "zero",
      task: { kind: "check" },
      throttle: rate === undefined ? null : createThrottle(rate),
      onNote: (note) => {
        finder.add(note);
        if (note.type !== "bad-chunk") return;
        this.#onEvent({ type: "bad-chunk", chunkId: note.chunkId, detail: note.detail });
      },
    });
    this.#onEvent({
      type: "checking",
      basedir: this.#basedir,
      revisions: this.#revisions.length,
      threads: crew.workers.length,
      plan,
      progress: () => pool.progress(),
    });
    return pool;
  }

  /** Finds the places of bad chunks, as far as there is time for it. */
  async #findPlaces(finder: DamageFinder, isInterrupted: boolean): Promise<void> {
    if (finder.suspectCount === 0) return;
    const { signal } = this.#options;
    const limit = isInterrupted ? AbortSignal.timeout(LAST_WORDS_MS) : signal;
    const slices = new Slices({ signal: limit });
    try {
      await this.#readMaps("places", slices, async (revision, onProgress) => {
        revision.damage = await slices.run(finder.findIn(revision, { onProgress }));
      });
      this.#hasPlaces = true;
    } catch (error) {
      this.#isWhole = false;
      if (!isInterrupted || error !== limit?.reason) throw error;
    }
  }

  /**
   * Reads the maps that can be read, one after another. What is wrong with one is its revision's
   * reason.
   */
  async #readMaps(
    purpose: "chunks" | "places",
    slices: Slices,
    read: (
      revision: Found & RevisionProgress,
      onProgress: (doneBytes: number) => void,
    ) => Promise<void>,
  ): Promise<void> {
    const revisions = this.#revisions.filter(({ reason }) => reason === null);
    const sizes = revisions.map(({ mapPath }) => sizeOf(mapPath));
    const totalBytes = sizes.reduce((sum, size) => sum + size, 0);
    let bytesBefore = 0, ownBytes = 0;
    this.#onEvent({
      type: "reading-maps",
      purpose,
      maps: revisions.length,
      progress: () => ({ doneBytes: Math.min(bytesBefore + ownBytes, totalBytes), totalBytes }),
    });
    for (const [index, revision] of revisions.entries()) {
      try {
        await read(revision, (doneBytes) => ownBytes = doneBytes);
      } catch (error) {
        if (!(error instanceof RevisionError)) throw error;
        revision.reason = error.message;
        this.#onEvent({ type: "bad-map", path: revision.mapPath, detail: error.message });
      }
      bytesBefore += sizes[index]!;
      ownBytes = 0;
    }
    // Also where there is nothing to read: a signal has its say.
    await slices.rest();
  }
}

/** By what one can tell that a file has changed; `null` if that cannot be told. */
function versionOf(path: string): string | null {
  try {
    return fileState(path).version;
  } catch {
    return null;
  }
}

/** Returns the length of a file, 0 if it cannot be told: reading it will say why. */
function sizeOf(path: string): number {
  try {
    return Deno.statSync(path).size;
  } catch {
    return 0;
  }
}
