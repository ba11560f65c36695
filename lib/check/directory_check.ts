/**
 * Checks one backup directory, under its purge lock.
 *
 * Reads the maps and collects their distinct chunks (`chunk_union.ts`). Workers report which are
 * bad, or shorter than a full chunk (`../work/check_work.ts`). If any are, the maps are read once
 * more to find their places (`damage_places.ts`). A map that cannot be read is damage as well.
 *
 * @module
 */

import { RevisionError } from "../errors.ts";
import { fileState } from "../linux/file_state.ts";
import { statOrNull } from "../linux/file_status.ts";
import { Slices } from "../slices.ts";
import { CHUNK_BYTES, CHUNK_ID_BYTES } from "../store/layout.ts";
import { describeChange } from "../store/map_file.ts";
import { PurgeLock } from "../store/purge_lock.ts";
import { requireStore, type RevisionLocation } from "../store/store.ts";
import { quote } from "../wording.ts";
import { WorkerCrew } from "../work/crew.ts";
import { WorkerPool } from "../work/pool.ts";
import { createThrottle } from "../work/throttle.ts";
import { ChunkUnion } from "./chunk_union.ts";
import { type DamagedChunk, DamageFinder, type RevisionDamage } from "./damage_places.ts";
import type { CheckEvent, CheckOptions } from "./options.ts";

/**
 * How long places are looked up after an interruption. The user does not want to wait, but would
 * lose them on a busy machine; a second signal ends the process at once.
 */
const LAST_WORDS_MS = 1000;

const NO_DAMAGE: RevisionDamage = { chunks: 0, bytes: 0, ranges: 0 };

/**
 * What a check found of a revision. "intact": all of its chunks were checked and are good;
 * "damaged": some are not; "bad-map": its map cannot be read, so nothing is known of its chunks;
 * "unknown": no damage was found, but not all of its chunks were checked.
 */
export type CheckedState = "intact" | "damaged" | "bad-map" | "unknown";

/** A revision that was checked. */
export interface CheckedRevision {
  /** The backup directory. */
  readonly basedir: string;
  /** The revision's uuid. */
  readonly name: string;
  /** Path of the revision map. */
  readonly mapPath: string;
  /** Whether it can be restored. */
  readonly state: CheckedState;
  /** `null` if the map was not read. */
  readonly imageBytes: number | null;
  /** What is wrong with the map, one line; `null` if nothing is. */
  readonly reason: string | null;
  /** What is lost because of bad chunks. */
  readonly damage: RevisionDamage;
}

/** What a check found in one backup directory. All sizes in bytes. */
export interface DirectoryReport {
  /** All that were to be checked. */
  readonly revisions: readonly CheckedRevision[];
  /**
   * Number of distinct chunks other than the all-zero one. A chunk in two backup directories counts
   * twice.
   */
  readonly distinctChunks: number;
  /** How many of them were checked. */
  readonly checkedChunks: number;
  /** How many of these are bad. */
  readonly damagedChunks: number;
  /** Bytes of chunk files that were read. */
  readonly readBytes: number;
  /** Number of bytes that they were decoded to. */
  readonly decodedBytes: number;
  /** The bad chunks that were found first, with their first places. */
  readonly damaged: readonly DamagedChunk[];
}

/** What is known of a revision while a check runs. */
interface RevisionProgress extends Pick<RevisionLocation, "name" | "mapPath"> {
  imageBytes: number | null;
  reason: string | null;
  damage: RevisionDamage;
  /** State of the map's file before it was read; `null` if unknown or not read. */
  mapVersion: string | null;
  /** Whether the map has changed and names chunks that were not checked. */
  isChanged: boolean;
}

/** The check of one backup directory. */
export class DirectoryCheck {
  readonly #basedir: string;
  readonly #options: CheckOptions;
  readonly #onEvent: (event: CheckEvent) => void;
  readonly #union = new ChunkUnion();
  readonly #revisions: readonly RevisionProgress[];
  #finder: DamageFinder | null = null;
  #pool: WorkerPool | null = null;
  /** Whether each chunk of the revisions was checked. */
  #isWhole = false;
  /** Whether the places of all bad chunks were looked up. */
  #hasPlaces = false;

  /** @param found Its revisions, at least one. */
  constructor(found: readonly RevisionLocation[], options: CheckOptions) {
    this.#basedir = found[0]!.basedir;
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
   * Runs the check. @throws What `check` throws, and the signal's reason; even then
   * {@linkcode report} says what is known.
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
    const ids = await slices.run(this.#union.sharedIds(share));
    const finder = this.#finder = new DamageFinder(basedir);
    using crew = await WorkerCrew.start(this.#options);
    const pool = this.#pool = this.#makePool(crew, ids, finder);
    let interruption: unknown;
    try {
      await pool.run(signal);
      this.#isWhole = ids.length === this.#union.size * CHUNK_ID_BYTES;
    } catch (error) {
      if (!signal?.aborted) throw error;
      interruption = error;
    }
    await this.#findPlaces(finder, interruption !== undefined);
    if (interruption !== undefined) throw interruption;
    await this.#lookForChanges(slices);
  }

  /** Looks for maps that a running backup rewrote meanwhile, with chunks that were not checked. */
  async #lookForChanges(slices: Slices): Promise<void> {
    for (const revision of this.#revisions) {
      const { name, mapPath, mapVersion, reason } = revision;
      const version = versionOf(mapPath);
      // A map that is gone has expired.
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
      decodedBytes: done?.decodedBytes ?? 0,
      damaged: this.#finder?.damaged() ?? [],
    };
  }

  #makePool(
    crew: WorkerCrew,
    ids: Uint8Array<SharedArrayBuffer>,
    finder: DamageFinder,
  ): WorkerPool {
    const { readBytesPerSecond: rate } = this.#options;
    const pool = new WorkerPool({
      crew,
      sources: [this.#basedir],
      verify: true,
      onError: "zero",
      task: { kind: "check", ids },
      throttle: rate === undefined ? null : createThrottle(rate),
      onNote: (note) => {
        finder.add(note);
        if (note.type !== "bad-chunk") return;
        this.#onEvent({ type: "bad-chunk", chunkId: note.chunkId, detail: note.detail });
      },
    });
    const distinctChunks = ids.length / CHUNK_ID_BYTES;
    this.#onEvent({
      type: "checking",
      basedir: this.#basedir,
      revisions: this.#revisions.length,
      threads: crew.workers.length,
      distinctChunks,
      distinctBytes: distinctChunks * CHUNK_BYTES,
      progress: () => pool.progress(),
    });
    return pool;
  }

  /** Finds the places of bad chunks, as far as there is time. */
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
   * Reads the maps one after another, but not those that turned out to be unreadable. If one is,
   * that becomes its revision's reason.
   */
  async #readMaps(
    purpose: "chunks" | "places",
    slices: Slices,
    read: (
      revision: RevisionProgress,
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
    // Heeds a signal even if there was nothing to read.
    await slices.rest();
  }
}

/** Returns what differs once a file has changed; `null` if it cannot be read. */
function versionOf(path: string): string | null {
  try {
    return fileState(path).version;
  } catch {
    return null;
  }
}

/** Returns the length of a file; 0 if unknown: reading it will say why. */
function sizeOf(path: string): number {
  return statOrNull(path)?.size ?? 0;
}
