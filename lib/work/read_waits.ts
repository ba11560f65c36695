/**
 * Whether reading holds a worker up. Pure.
 *
 * @module
 */

/** Shorter waits are no reason: they may be over soon. */
const LEAST_WAIT_MS = 10;

/** The share of its time that a worker may wait. */
const MOST_SHARE = 1 / 4;

/** What is longer ago counts half, and so on: storage may be slow only later. */
const MEMORY_MS = 1000;

/** Adds up how long a worker waits for storage. */
export class ReadWaits {
  readonly #now: () => number;
  #since: number;
  #waitedMs = 0;

  /** @param now Milliseconds; tests replace it. */
  constructor(now = () => performance.now()) {
    this.#now = now;
    this.#since = now();
  }

  /** Adds a wait that has just ended. */
  add(waitMs: number): void {
    const now = this.#now();
    if (now - this.#since > MEMORY_MS) {
      this.#since += (now - this.#since) / 2;
      this.#waitedMs /= 2;
    }
    this.#waitedMs += waitMs;
  }

  /** Whether waits are long, and a large part of the time. */
  get areLong(): boolean {
    const share = this.#waitedMs / (this.#now() - this.#since);
    return this.#waitedMs >= LEAST_WAIT_MS && share > MOST_SHARE;
  }
}
