/**
 * Waiting for a condition, with an end to it: a test that hangs fails and says what for.
 *
 * @module
 */

import { assert } from "../assert.ts";

/** Nothing takes a tenth of this, even on a busy machine. */
const LIMIT_MS = 120_000;
const POLL_MS = 10;

/** Waits until a condition holds. @throws {Error} If it does not within two minutes. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
): Promise<void> {
  const end = performance.now() + LIMIT_MS;
  while (!await condition()) {
    assert(performance.now() < end, `Cannot wait any longer for ${what}`);
    await pause(POLL_MS);
  }
}

/** Waits for a time. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
