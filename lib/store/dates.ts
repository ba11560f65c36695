/**
 * Points in time as text: as metadata has them, and as people type them into a revision spec. Pure
 * except for the host's time zone.
 *
 * @module
 */

/** A date of a spec, in milliseconds since 1970. */
export interface SpecDate {
  /** The instant that the text names: the beginning of a day, a minute and so on. */
  readonly start: number;
  /** The last millisecond of what the text names; `start` if it has fractions of a second. */
  readonly end: number;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

// Both patterns capture year, month, day; hour, minute, second, fraction; "Z"; the zone's sign,
// hours, minutes. The first takes YAML 1.1's timestamps, which PyYAML writes, and Python's
// isoformat().
const timestampPattern =
  /^(\d{4})-(\d\d?)-(\d\d?)(?:(?:[Tt]|[ \t]+)(\d\d?):(\d\d)(?::(\d\d)(?:\.(\d*))?)?[ \t]*(?:(Z)|([-+])(\d\d?)(?::?(\d\d))?)?)?$/;
const specDatePattern =
  /^(\d{4})-(\d\d)-(\d\d)(?:(?:[Tt]|[ \t]+)(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?[ \t]*(?:([Zz])|([-+])(\d\d)(?::?(\d\d))?)?)?$/;

/**
 * Parses a time as metadata has it. Without a zone it is in UTC, as the producers' clocks are.
 *
 * @returns `null` if the text is not a timestamp, or there is no such day or time.
 */
export function parseTimestamp(text: string): Date | null {
  const match = timestampPattern.exec(text.trim());
  const fields = match && readFields(match);
  return fields && new Date(fields.utcMs - fields.eastMs);
}

/** Whether a text is meant as a date, right or wrong. */
export function isDateLike(text: string): boolean {
  return /^\d{4}-\d\d?-\d\d?(?![-\w.])|^\d{4}-\d\d?-\d\d?[Tt]\d/.test(text);
}

/**
 * Parses a date with or without a time of day, as exact as it is given: `2026-01-11`, `2026-01-11
 * 17:45`, `2026-01-11T17:45:25.666+01:00`.
 *
 * Without a zone it is in the host's, as in backy. A time that the clock skips there counts as an
 * hour later.
 *
 * @returns `null` if the text is not a date, or there is no such day or time.
 */
export function parseSpecDate(text: string): SpecDate | null {
  const match = specDatePattern.exec(text);
  const fields = match && readFields(match);
  if (!fields || fields.zoneHours > 23 || fields.zoneMinutes > 59) return null;
  const [year, month, day] = fields.date;
  const [, , , , hour, minute, second, fraction, zulu, sign] = match;
  if (hour === undefined) {
    // A day of the host's zone may have 23 or 25 hours.
    return { start: localTime(year, month, day, 0), end: localTime(year, month, day + 1, 0) - 1 };
  }
  const isLocal = zulu === undefined && sign === undefined;
  const start = isLocal
    ? localTime(year, month, day, fields.clockMs)
    : fields.utcMs - fields.eastMs;
  const spanMs = fraction !== undefined
    ? 1
    : second !== undefined
    ? SECOND_MS
    : minute !== undefined
    ? MINUTE_MS
    : HOUR_MS;
  return { start, end: start + spanMs - 1 };
}

/** What the two patterns capture, as numbers. */
interface DateFields {
  /** Year, month from 0, day. */
  readonly date: readonly [number, number, number];
  /** The time of day, in milliseconds after midnight as the clock shows them. */
  readonly clockMs: number;
  /** Date and clock as if they were UTC, in milliseconds since 1970. */
  readonly utcMs: number;
  readonly zoneHours: number;
  readonly zoneMinutes: number;
  /** How far the zone is ahead of UTC; 0 without a zone. */
  readonly eastMs: number;
}

/** Returns `null` if there is no such day or time. */
function readFields(match: RegExpExecArray): DateFields | null {
  const field = (group: number) => Number(match[group] ?? 0);
  const date = [field(1), field(2) - 1, field(3)] as const;
  const [hour, minute, second] = [field(4), field(5), field(6)];
  if (hour > 23 || minute > 59 || second > 59) return null;
  const milliseconds = Number((match[7] ?? "").slice(0, 3).padEnd(3, "0"));
  const clockMs = hour * HOUR_MS + minute * MINUTE_MS + second * SECOND_MS + milliseconds;
  const midnight = new Date(0);
  midnight.setUTCFullYear(...date);
  // Date carries the 31st of February over into March.
  if (midnight.getUTCMonth() !== date[1] || midnight.getUTCDate() !== date[2]) return null;
  const [zoneHours, zoneMinutes] = [field(10), field(11)];
  const zoneMs = zoneHours * HOUR_MS + zoneMinutes * MINUTE_MS;
  return {
    date,
    clockMs,
    utcMs: midnight.getTime() + clockMs,
    zoneHours,
    zoneMinutes,
    eastMs: match[9] === "-" ? -zoneMs : zoneMs,
  };
}

/** The host's time on a day, when its clock shows so many milliseconds after midnight. */
function localTime(year: number, month: number, day: number, clockMs: number): number {
  const time = new Date(2000, 0, 1);
  time.setFullYear(year, month, day);
  time.setHours(0, 0, 0, clockMs);
  return time.getTime();
}

/** Formats a time as ISO 8601 with its zone offset: "2026-01-11T17:45:25.666+01:00". */
export function formatLocalIso(time: Date): string {
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(twoDigits).join(":");
  const milliseconds = String(time.getMilliseconds()).padStart(3, "0");
  const east = -time.getTimezoneOffset();
  const offset = Math.abs(east);
  const sign = east < 0 ? "-" : "+";
  const zone = `${sign}${twoDigits(Math.trunc(offset / 60))}:${twoDigits(offset % 60)}`;
  return `${dateOf(time)}T${clock}.${milliseconds}${zone}`;
}

/**
 * Names the zone of local times: "UTC", "Europe/Berlin"; "local time" if it has no name. A value of
 * `TZ` that names no zone means UTC.
 */
export function localZone(): string {
  const { timeZone } = new Intl.DateTimeFormat("en").resolvedOptions();
  if (/^(Etc\/)?(UTC|UCT|GMT|Universal|Zulu)$/.test(timeZone)) return "UTC";
  if (timeZone && timeZone !== "Etc/Unknown") return timeZone;
  const isUtc = [0, 6].every((month) => new Date(2026, month, 1).getTimezoneOffset() === 0);
  return isUtc ? "UTC" : "local time";
}

function dateOf(time: Date): string {
  const year = String(time.getFullYear()).padStart(4, "0");
  return `${year}-${twoDigits(time.getMonth() + 1)}-${twoDigits(time.getDate())}`;
}

/** Writes a number below 100 in two digits. */
export function twoDigits(value: number): string {
  return String(value).padStart(2, "0");
}
