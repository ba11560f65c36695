/**
 * Values of options that both tools have.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { quote } from "../wording.ts";
import { CACHE_MIB_RANGE, THREADS_RANGE } from "./option_table.ts";

/** Bytes of the unit of `--cache`. */
export const MIB = 1_048_576;

/** Longest time in whole seconds that JavaScript's timers can wait (2^31 - 1 ms, 24 days). */
const LOCK_TIMEOUT_MAX_SECONDS = 2_147_483;

/**
 * Chooses the number of decoding workers: one per CPU, but at least 2, so that reading and decoding
 * overlap, and at most 24, beyond which memory bandwidth and the target are the limit.
 *
 * @param cpuCount Number of CPUs, as far as known.
 */
export function defaultThreads(cpuCount: number): number {
  return Math.min(Math.max(Math.trunc(cpuCount) || 2, 2), 24);
}

/**
 * Reads the value of `--threads`.
 *
 * @returns `undefined` where the choice is left to {@linkcode defaultThreads}.
 * @throws {UsageError} unless it is a whole decimal number in {@linkcode THREADS_RANGE}.
 */
export function parseThreads(text: string): number | undefined {
  return parseWhole("threads", text, THREADS_RANGE) || undefined;
}

/**
 * Reads the value of `--cache`. A number below the least is raised to it, as scripts written for
 * other tools have it.
 *
 * @returns MiB in {@linkcode CACHE_MIB_RANGE}.
 * @throws {UsageError} unless it is a whole decimal number up to the most.
 */
export function parseCacheMib(text: string): number {
  const { min, max } = CACHE_MIB_RANGE;
  return Math.max(min, parseWhole("cache", text, { min: 0, max }));
}

/**
 * Chooses the size of each of a mount's two caches: both together take at most half of the memory
 * that is left, since programs that read the mount, and the kernel's own cache of it, need memory
 * too.
 *
 * @param freeBytes Memory that may still be taken; `null` if that is not known.
 * @returns Whole MiB in {@linkcode CACHE_MIB_RANGE}, in bytes.
 */
export function defaultCacheBytes(freeBytes: number | null): number {
  const { min, default: most } = CACHE_MIB_RANGE;
  const mib = freeBytes === null ? most : Math.floor(freeBytes / 4 / MIB);
  return Math.min(most, Math.max(min, mib)) * MIB;
}

/** How long a mount waits for the purge lock that nobody looks at. */
const UNATTENDED_LOCK_TIMEOUT_MS = 10_000;

/**
 * Chooses how long a mount waits for the purge lock. A script starts it in the background, sleeps
 * and then uses the mount point: a mount that comes much later would come as a surprise.
 *
 * @param isAttended Whether somebody sees that it waits.
 * @returns Milliseconds; `undefined` for ever.
 */
export function defaultLockTimeoutMs(isAttended: boolean): number | undefined {
  return isAttended ? undefined : UNATTENDED_LOCK_TIMEOUT_MS;
}

/** Reads a whole decimal number. @throws {UsageError} unless it lies in the range. */
export function parseWhole(
  option: string,
  text: string,
  range: { min: number; max: number },
): number {
  const value = /^[0-9]+$/.test(text) ? Number(text) : NaN;
  if (!(value >= range.min && value <= range.max)) {
    throw badValue(option, text, `not a whole number from ${range.min} to ${range.max}`);
  }
  return value;
}

/** Reads one of some words, in whatever case. @throws {UsageError} unless it is one. */
export function parseChoice<Choice extends string>(
  option: string,
  text: string,
  choices: readonly Choice[],
): Choice {
  const choice = choices.find((choice) => choice === text.toLowerCase());
  if (choice === undefined) throw badValue(option, text, `not one of ${choices.join(", ")}`);
  return choice;
}

/**
 * Reads a text. @throws {UsageError} if it is empty: an unset variable must not become the current
 * directory.
 */
export function parseText(option: string, text: string): string {
  if (text === "") throw badValue(option, text, "empty");
  return text;
}

/**
 * Reads the value of `--lock-timeout`.
 *
 * @returns Milliseconds; only zero becomes zero.
 * @throws {UsageError} unless it is a decimal number of seconds that a timer can wait.
 */
export function parseLockTimeout(text: string): number {
  const seconds = /^([0-9]+\.?[0-9]*|\.[0-9]+)$/.test(text) ? Number(text) : NaN;
  if (!(seconds <= LOCK_TIMEOUT_MAX_SECONDS)) {
    throw badValue(
      "lock-timeout",
      text,
      `not a number of seconds from 0 to ${LOCK_TIMEOUT_MAX_SECONDS}`,
    );
  }
  return seconds === 0 ? 0 : Math.max(1, Math.round(seconds * 1000));
}

/** Builds the error of a value that an option does not take. */
export function badValue(option: string, text: string, fault: string): UsageError {
  return new UsageError(`Cannot use option "--${option}": ${quote(text)} is ${fault}`);
}
