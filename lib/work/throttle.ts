/**
 * A rate limit that all workers keep together, through shared memory.
 *
 * There is one virtual clock: the time at which all bytes paid for so far would have passed at
 * exactly the limit. A worker advances the clock by what its bytes cost, then sleeps until then.
 * Nobody holds a lock; because each payment advances the clock before it waits, later ones wait
 * longer.
 *
 * Workers that start together share a time base, `performance.timeOrigin + performance.now()`, so
 * steps of the system's clock after their start do not matter. The thread that makes the throttle
 * may have started long before, so its clock is not used.
 *
 * @module
 */

/** Cells of {@linkcode ThrottleHandle.cells}; all access is by `Atomics`. */
const Cell = {
  /** When the next byte may pass, in microseconds since the epoch; 0 before the first payment. */
  NEXT_FREE: 0,
  /** Always 0; sleepers wait on it. */
  SLEEP: 1,
} as const;

const CELLS = 2;

/**
 * Unused time up to this is made up for later: enough for workers that wake late, too little for a
 * burst that anybody would notice.
 */
const BURST_MICROS = 100_000;

/** A sleeper checks this often whether it should stop. */
const SLICE_MS = 200;

/** A throttle as plain data, for workers. */
export interface ThrottleHandle {
  readonly cells: BigInt64Array<SharedArrayBuffer>;
  readonly bytesPerSecond: number;
}

/** Options of {@linkcode Throttle}. */
export interface ThrottleOptions {
  /** Called before each sleep of at most 200 ms; once it returns true, nobody waits any longer. */
  readonly shouldStop: () => boolean;
  /** Blocks the thread for at most this long; tests replace it. */
  readonly sleep?: (ms: number) => void;
  /** Milliseconds of a clock that all workers share; tests replace it. */
  readonly now?: () => number;
}

/**
 * Makes a throttle. Its time begins with the first payment.
 *
 * @param bytesPerSecond The limit, > 0.
 * @throws {RangeError} If it is not a number above 0.
 */
export function createThrottle(bytesPerSecond: number): ThrottleHandle {
  if (!(bytesPerSecond > 0 && Number.isFinite(bytesPerSecond))) {
    throw new RangeError(`Cannot limit to ${bytesPerSecond} bytes a second: not above 0`);
  }
  const cells = new BigInt64Array(new SharedArrayBuffer(CELLS * BigInt64Array.BYTES_PER_ELEMENT));
  return { cells, bytesPerSecond };
}

/** One thread's view of a throttle. The thread must be allowed to block. */
export class Throttle {
  readonly #handle: ThrottleHandle;
  readonly #shouldStop: () => boolean;
  readonly #sleep: (ms: number) => void;
  readonly #now: () => number;

  constructor(handle: ThrottleHandle, options: ThrottleOptions) {
    this.#handle = handle;
    this.#shouldStop = options.shouldStop;
    this.#sleep = options.sleep ??
      ((ms) => void Atomics.wait(handle.cells, Cell.SLEEP, 0n, ms));
    this.#now = options.now ?? sharedNow;
  }

  /**
   * Blocks until bytes that were just handled are within the limit, or until it should stop.
   *
   * @param bytes Their number, >= 0.
   * @throws {RangeError} If it is not such a number.
   */
  pay(bytes: number): void {
    if (!(bytes >= 0 && Number.isFinite(bytes))) {
      throw new RangeError(`Cannot pay for ${bytes} bytes: not a number of bytes`);
    }
    if (bytes === 0) return;
    const dueMs = this.#advance(bytes) / 1000;
    while (!this.#shouldStop()) {
      const remainingMs = dueMs - this.#now();
      if (remainingMs <= 0) return;
      this.#sleep(Math.min(remainingMs, SLICE_MS));
    }
  }

  /**
   * Advances the virtual clock by the time that the bytes cost. @returns Its new time in
   * microseconds.
   */
  #advance(bytes: number): number {
    const { cells, bytesPerSecond } = this.#handle;
    // Rounded up, so that many small payments keep the limit too.
    const cost = Math.min(Math.ceil((bytes / bytesPerSecond) * 1e6), Number.MAX_SAFE_INTEGER);
    for (;;) {
      const before = Atomics.load(cells, Cell.NEXT_FREE);
      const now = Math.floor(this.#now() * 1000);
      const earliest = before === 0n ? now : now - BURST_MICROS;
      const next = Math.max(Number(before), earliest) + cost;
      if (Atomics.compareExchange(cells, Cell.NEXT_FREE, before, BigInt(next)) === before) {
        return next;
      }
    }
  }
}

/** Milliseconds since the epoch by a steady clock, set when the thread started. */
function sharedNow(): number {
  return performance.timeOrigin + performance.now();
}
