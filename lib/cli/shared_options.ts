/**
 * Options that several commands have.
 *
 * @module
 */

import { parseRate } from "./byte_values.ts";
import { flag, parseText, parseWhole, valued, ValueFault } from "./option.ts";

/** The most decoding workers that can be asked for, as with the reference tool. */
const THREADS_MAX = 255;

/** Longest time in whole seconds that JavaScript's timers can wait (2^31 - 1 ms, 24 days). */
const LOCK_TIMEOUT_MAX_SECONDS = 2_147_483;

/** Number of decoding workers; `undefined`: {@linkcode defaultThreads}. */
export const THREADS = valued({
  long: "threads",
  short: "t",
  value: "N",
  help: `decoding workers, up to ${THREADS_MAX}; 0 for the default`,
  default: "one per CPU, but 2 to 24",
  parse: (text) => parseWhole(text, { min: 0, max: THREADS_MAX }) || undefined,
});

/** Whether chunks are verified. */
export const VERIFY = flag({
  long: "no-verify",
  help: "do not check chunk content against its id",
  given: false,
});

/** Milliseconds to wait for the purge lock; 0: not at all, `undefined`: forever. */
export const LOCK_TIMEOUT = valued({
  long: "lock-timeout",
  value: "SECONDS",
  help: "give up on the purge lock after this time, which may have a fraction; 0 fails at once",
  default: "wait",
  parse(text) {
    const seconds = /^([0-9]+\.?[0-9]*|\.[0-9]+)$/.test(text) ? Number(text) : NaN;
    if (!(seconds <= LOCK_TIMEOUT_MAX_SECONDS)) {
      throw new ValueFault(`not a number of seconds from 0 to ${LOCK_TIMEOUT_MAX_SECONDS}`);
    }
    // Only 0 means not to wait at all.
    return seconds === 0 ? 0 : Math.max(1, Math.round(seconds * 1000));
  },
});

/** The most bytes a second to read from the backup. */
export const READ_RATE = valued({
  long: "bwlimit",
  value: "RATE",
  help: "limit reading from the backup to this many bytes a second, such as 200MiB",
  parse: parseRate,
});

/** Whether only warnings and errors are printed. */
export const QUIET = flag({
  long: "quiet",
  short: "q",
  help: "no progress, only warnings and errors",
});

/** Specification of revisions in a backup directory. */
export const REVISION_SPEC = valued({
  long: "revision",
  short: "r",
  value: "SPEC",
  names: "spec",
  help: "choose the revision of backup directory REVISION, such as last, 2, tag:daily, " +
    '2026-01-31, "last(trust:verified)"',
  parse: parseText,
});

/** Bytes of a MiB. */
export const MIB_BYTES = 1_048_576;

/** Size of each cache in MiB: at least a few chunks; more than the maximum must be a typo. */
export const CACHE_MIB = { min: 16, max: 1_048_576, default: 1024 } as const;

/** Size of each of a mount's two caches in bytes; `undefined`: as the memory allows. */
export const CACHE = valued({
  long: "cache",
  short: "c",
  value: "MIB",
  help: "size of the read cache, and of the cache of changed chunks, in MiB, at least " +
    `${CACHE_MIB.min}`,
  default: `${CACHE_MIB.default}, both together at most half of the memory that is left`,
  // Smaller numbers are raised to the minimum: scripts written for other tools have them.
  parse: (text) => MIB_BYTES * Math.max(CACHE_MIB.min, parseWhole(text, { ...CACHE_MIB, min: 0 })),
});

/** Where changed chunks go when their cache is full; `undefined`: the backup directory. */
export const SPILL = valued({
  long: "spill",
  value: "DIR",
  names: "directory",
  help: "where changed chunks go when their cache is full",
  default: "the backup directory",
  parse: parseText,
});

/** As {@linkcode LOCK_TIMEOUT}, with a default for mounts, which scripts may wait for. */
export const MOUNT_LOCK_TIMEOUT = {
  ...LOCK_TIMEOUT,
  default: "wait; 10 if standard error is not a terminal",
};

/** What `files` and `nbd` take, which read images piecemeal. */
export const IMAGE_OPTIONS = {
  cacheBytes: CACHE,
  threads: THREADS,
  spill: SPILL,
  verify: VERIFY,
  lockTimeoutMs: MOUNT_LOCK_TIMEOUT,
};

/** The values of {@linkcode IMAGE_OPTIONS}. */
export type ImageOptionValues = {
  readonly [Field in keyof typeof IMAGE_OPTIONS]: ReturnType<(typeof IMAGE_OPTIONS)[Field]["read"]>;
};
