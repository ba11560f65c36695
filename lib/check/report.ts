/**
 * What a check found.
 *
 * @module
 */

import type { DamagedChunk, RevisionDamage } from "./damage_places.ts";

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
  /** What is wrong with the map, one line; `null` if nothing is. */
  readonly reason: string | null;
  /** What is lost because of bad chunks. */
  readonly damage: RevisionDamage;
}

/** What a check found. All sizes in bytes. */
export interface CheckReport {
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
  /** Bytes of chunk files that were read, and number of bytes they were decoded to. */
  readonly readBytes: number;
  readonly decodedBytes: number;
  /** The bad chunks that were found first, with their first places. */
  readonly damaged: readonly DamagedChunk[];
  readonly elapsedMs: number;
  /** The reason of the signal that ended the check early; `null` if it came to its end. */
  readonly interruption: unknown;
}
