/**
 * Other time zones than the host's.
 *
 * @module
 */

/** Runs in another zone; the runtime takes it over when the variable is set. */
export function inZone(zone: string, run: () => void): void {
  const before = Deno.env.get("TZ");
  Deno.env.set("TZ", zone);
  try {
    run();
  } finally {
    if (before === undefined) Deno.env.delete("TZ");
    else Deno.env.set("TZ", before);
  }
}
