/**
 * Dates as a person types them into a revision spec: `2026-01-11`, `2026-01-11 17:45`,
 * `2026-01-11T17:45:25.666+01:00`. Pure but for the host's time zone.
 *
 * @module
 */

/** A date of a spec, in milliseconds since 1970. */
export interface SpecDate {
  /** The instant that the text names: of a day or a minute its beginning. */
  readonly start: number;
  /** The last millisecond of what the text names; of a text with fractions of a second `start`. */
  readonly end: number;
}

const MINUTE_MS = 60_000;

const datePattern =
  /^(\d{4})-(\d\d)-(\d\d)(?:(?:[Tt]|[ \t]+)(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?[ \t]*(?:([Zz])|([-+])(\d\d)(?::?(\d\d))?)?)?$/;

/** Whether a text is meant as a date, right or wrong. */
export function isDateLike(text: string): boolean {
  return /^\d{4}-\d\d?-\d\d?(?![-\w.])|^\d{4}-\d\d?-\d\d?[Tt]\d/.test(text);
}

/**
 * Parses a date with or without a time of day: hours, minutes, seconds and fractions as far as they
 * are given.
 *
 * Without a zone it is in the host's one, as in backy. A time that the clock skips there is taken
 * for an hour later.
 *
 * @returns `null` if the text is none, or there is no such day or time.
 */
export function parseSpecDate(text: string): SpecDate | null {
  const match = datePattern.exec(text);
  if (!match) return null;
  const field = (group: number) => Number(match[group] ?? 0);
  const [year, month, day] = [field(1), field(2) - 1, field(3)];
  const [hours, minutes, seconds] = [field(4), field(5), field(6)];
  const milliseconds = Number((match[7] ?? "").slice(0, 3).padEnd(3, "0"));
  if (hours > 23 || minutes > 59 || seconds > 59 || field(10) > 23 || field(11) > 59) return null;

  const utc = new Date(0);
  utc.setUTCFullYear(year, month, day);
  // Date carries the 31st of February over into March.
  if (utc.getUTCMonth() !== month || utc.getUTCDate() !== day) return null;
  utc.setUTCHours(hours, minutes, seconds, milliseconds);

  if (match[4] === undefined) {
    // A day of the host's zone may have 23 or 25 hours.
    return { start: localTime(year, month, day, 0), end: localTime(year, month, day + 1, 0) - 1 };
  }
  const isLocal = match[8] === undefined && match[9] === undefined;
  const east = (match[9] === "-" ? -1 : 1) * (60 * field(10) + field(11));
  const start = isLocal
    ? localTime(year, month, day, utc.getTime() - Date.UTC(year, month, day))
    : utc.getTime() - east * MINUTE_MS;
  const span = match[7] !== undefined
    ? 1
    : match[6] !== undefined
    ? 1000
    : match[5] !== undefined
    ? MINUTE_MS
    : 60 * MINUTE_MS;
  return { start, end: start + span - 1 };
}

/** The host's time on a day, at so many milliseconds after midnight as its clock shows. */
function localTime(year: number, month: number, day: number, clockMs: number): number {
  const time = new Date(2000, 0, 1);
  time.setFullYear(year, month, day);
  time.setHours(0, 0, 0, clockMs);
  return time.getTime();
}
