/**
 * How long a thread waits for storage, as opposed to for a processor.
 *
 * @module
 */

import { libc } from "./libc.ts";

/** Byte offset in `struct rusage` (bits/types/struct_rusage.h) for 64-bit machines. */
export const RUSAGE = { ru_nvcsw: 128, bytes: 144 } as const;

/** The calling thread. Source: linux/resource.h. */
const RUSAGE_THREAD = 1;

/** Shorter calls are not asked about: the question takes 0.3 µs. */
const LEAST_MS = 1;

const usage = new Uint8Array(new ArrayBuffer(RUSAGE.bytes));
const fields = new DataView(usage.buffer);

/** How often this thread has gone to sleep; not how often it was made to give way to others. */
function sleeps(): bigint {
  libc.getrusage(RUSAGE_THREAD, usage);
  return fields.getBigInt64(RUSAGE.ru_nvcsw, true);
}

/**
 * Calls a function that reads files and does nothing else.
 *
 * @returns What it returns, and the milliseconds that it took if it had to wait for storage. On a
 *   busy machine that includes waiting for a processor afterwards. 0 if it took from memory what it
 *   read, however long that was.
 */
export function measureWait<T>(read: () => T): { result: T; waitMs: number } {
  const before = sleeps();
  const startMs = performance.now();
  const result = read();
  const ms = performance.now() - startMs;
  return { result, waitMs: ms >= LEAST_MS && sleeps() > before ? ms : 0 };
}
