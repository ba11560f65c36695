/**
 * Points in time as the clock on the wall shows them, in the host's zone. Pure but for that zone.
 *
 * @module
 */

/** Writes "2026-01-11 17:45". */
export function formatLocalMinute(time: Date): string {
  return `${dateOf(time)} ${twoDigits(time.getHours())}:${twoDigits(time.getMinutes())}`;
}

/**
 * Writes a revision's time for people, as {@linkcode formatLocalMinute}; "unknown" for one without.
 */
export function formatListedTime(time: Date | null): string {
  return time === null ? "unknown" : formatLocalMinute(time);
}

/** Writes ISO 8601 with the zone's offset of that time: "2026-01-11T17:45:25.666+01:00". */
export function formatLocalIso(time: Date): string {
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(twoDigits).join(":");
  const milliseconds = String(time.getMilliseconds()).padStart(3, "0");
  const east = -time.getTimezoneOffset();
  const offset = Math.abs(east);
  const sign = east < 0 ? "-" : "+";
  const zone = `${sign}${twoDigits(Math.trunc(offset / 60))}:${twoDigits(offset % 60)}`;
  return `${dateOf(time)}T${clock}.${milliseconds}${zone}`;
}

/** Names the host's zone: "UTC", "Europe/Berlin"; "local time" where it has no name. */
export function localZone(): string {
  const { timeZone } = new Intl.DateTimeFormat("en").resolvedOptions();
  if (/^(Etc\/)?(UTC|UCT|GMT|Universal|Zulu)$/.test(timeZone)) return "UTC";
  return timeZone && timeZone !== "Etc/Unknown" ? timeZone : "local time";
}

function dateOf(time: Date): string {
  const year = String(time.getFullYear()).padStart(4, "0");
  return `${year}-${twoDigits(time.getMonth() + 1)}-${twoDigits(time.getDate())}`;
}

function twoDigits(value: number): string {
  return String(value).padStart(2, "0");
}
