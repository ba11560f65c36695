/**
 * The names in the directory `by-date`: when each finished revision's backup began, in the time
 * zone of the process. Used by `tree.ts`. Pure but for that zone.
 *
 * @module
 */

import type { CatalogEntry } from "../store/catalog.ts";
import { formatLocalIso } from "../store/dates.ts";

/** Lengths of `2026-11-27T03:00`, and of the same with seconds and with milliseconds. */
const LENGTHS = [16, 19, 23] as const;

/**
 * Names revisions by their time: the first of a minute by the minute, others of it with seconds, or
 * as much as it takes. So no name changes when a revision is added.
 *
 * @param entries From old to new. Those that are unfinished or have no time are left out.
 * @returns The revision of each name, in the same order. Names sort like the times, except where
 *   the clock was put back.
 */
export function dateNames(entries: Iterable<CatalogEntry>): Map<string, string> {
  const names = new Map<string, string>();
  /** How many revisions share a time to the millisecond. */
  const numbers = new Map<string, number>();
  for (const { name: revision, time, info } of entries) {
    if (time === null || !info.isComplete) continue;
    const text = formatLocalIso(time);
    const candidates = LENGTHS.map((length) => text.slice(0, length));
    const free = candidates.find((candidate) => !names.has(candidate));
    if (free !== undefined) {
      names.set(free, revision);
      continue;
    }
    const longest = candidates.at(-1)!;
    const number = (numbers.get(longest) ?? 1) + 1;
    numbers.set(longest, number);
    names.set(`${longest}~${number}`, revision);
  }
  return names;
}
