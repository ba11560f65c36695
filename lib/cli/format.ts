/**
 * Formats numbers and times for people, dates in the host's time zone. Pure except for that zone;
 * never shows NaN or Infinity.
 *
 * @module
 */

import { formatLocalIso, twoDigits } from "../store/dates.ts";

const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] as const;

/**
 * Formats a number of bytes in binary units: "512 B", "4 MiB", "7.3 GiB", "812 GiB".
 *
 * One decimal below 100 of a unit, none for an exact number of units.
 */
export function formatBytes(bytes: number): string {
  let value = sane(bytes);
  if (Math.round(value) < 1024) return `${Math.round(value)} B`;
  let unit = "";
  for (unit of UNITS) {
    value /= 1024;
    // 1023.5 would be shown as 1024 of this unit instead of as 1.0 of the next.
    if (value < 1023.5) break;
  }
  const digits = Number.isInteger(value) || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${unit}`;
}

/** Formats a rate: "2.1 GiB/s". */
export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

/**
 * Formats how long something took: "0.07 s", "4.2 s" below a minute, then as
 * {@linkcode formatClock}.
 */
export function formatDuration(seconds: number): string {
  const value = sane(seconds);
  if (value < 0.995) return `${value.toFixed(2)} s`;
  return value < 59.95 ? `${value.toFixed(1)} s` : formatClock(Math.round(value));
}

/**
 * Formats a time as a running clock: "0:07", "1:02:03", "2 d 1:02:03"; only whole seconds count.
 */
export function formatClock(seconds: number): string {
  const total = Math.floor(sane(seconds));
  const days = Math.floor(total / 86_400);
  const hours = Math.floor(total / 3600) % 24;
  const minutes = Math.floor(total / 60) % 60;
  const clock = days === 0 && hours === 0
    ? `${minutes}:${twoDigits(total % 60)}`
    : `${hours}:${twoDigits(minutes)}:${twoDigits(total % 60)}`;
  return days === 0 ? clock : `${days} d ${clock}`;
}

/**
 * Formats a share as a percentage, rounded down, so that 100 is shown only when all is done.
 *
 * @param digits Decimals, 0 or 1.
 */
export function formatPercent(done: number, total: number, digits: 0 | 1 = 1): string {
  const steps = 100 * 10 ** digits;
  const share = shareOf(done, total);
  // A share just below 1 may round to all steps in the product.
  const reached = share < 1 ? Math.min(Math.floor(share * steps), steps - 1) : steps;
  return `${(reached / 10 ** digits).toFixed(digits)}%`;
}

/**
 * The part of a total that is done.
 *
 * @returns 0 to 1: 1 only if `done` has reached `total`, even if both are 0; 0 if the total is not
 *   a number.
 */
export function shareOf(done: number, total: number): number {
  if (!Number.isFinite(total)) return 0;
  if (sane(done) >= sane(total)) return 1;
  return Math.min(sane(done) / sane(total), 1 - Number.EPSILON);
}

/** Formats a whole number with thousands separators: "12,345". */
export function formatCount(count: number): string {
  return String(Math.trunc(sane(count))).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Formats a number of things: "1 chunk", "12,345 chunks". */
export function formatQuantity(count: number, singular: string): string {
  return `${formatCount(count)} ${singular}${Math.trunc(sane(count)) === 1 ? "" : "s"}`;
}

/** Formats a time as "2026-01-11 17:45". */
export function formatLocalMinute(time: Date): string {
  return formatLocalIso(time).slice(0, "2026-01-11T17:45".length).replace("T", " ");
}

/**
 * Formats a revision's time like {@linkcode formatLocalMinute}; "unknown" if it has none.
 */
export function formatListedTime(time: Date | null): string {
  return time === null ? "unknown" : formatLocalMinute(time);
}

/** The number itself if it can be shown, else 0. */
function sane(value: number): number {
  return Number.isFinite(value) && value > 0 ? value : 0;
}
