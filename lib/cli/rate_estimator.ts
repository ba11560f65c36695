/**
 * Estimates how fast work is done and how long the rest will take. Pure: the caller passes the
 * time.
 *
 * @module
 */

interface Sample {
  readonly atMs: number;
  readonly doneBytes: number;
}

/** How far back the rate looks: long enough to be steady, short enough to follow a change. */
const WINDOW_MS = 15_000;
/** Samples closer together than this are merged, which bounds their number. */
const SPACING_MS = 100;
/** A rate over less time than this says nothing. */
const SETTLING_MS = 2000;
/** Work is done in pieces; a rate over fewer than this says little. */
const PIECES_MIN = 5;
/** Longer estimates (than 1000 days) help nobody. */
const LONGEST_ETA_SECONDS = 1000 * 86_400;

/**
 * A moving average of work over time.
 *
 * The rate is measured over the last 15 seconds, or over the second half of a run of less than 30:
 * the first bytes often come from caches and go into free memory, faster than the rest will. If
 * nothing was done in that time, the time left is estimated from the whole run, so that it grows
 * while work stands still, and recovers afterwards.
 */
export class RateEstimator {
  /**
   * Ascending in time. Once the window is full, the first one lies at or before its start.
   */
  readonly #samples: Sample[] = [];
  #first: Sample | undefined;

  /**
   * Records how much work is done by now.
   *
   * @param atMs Time on any clock; a sample older than the last one is ignored.
   * @param doneBytes Work done since the start; a drop is ignored.
   */
  add(atMs: number, doneBytes: number): void {
    const last = this.#samples.at(-1);
    if (!Number.isFinite(atMs) || (last !== undefined && atMs < last.atMs)) return;
    const done = Math.max(last?.doneBytes ?? 0, Number.isFinite(doneBytes) ? doneBytes : 0);
    const sample = { atMs, doneBytes: done };
    this.#first ??= sample;

    const beforeLast = this.#samples.at(-2);
    if (beforeLast !== undefined && atMs - beforeLast.atMs < SPACING_MS) this.#samples.pop();
    this.#samples.push(sample);
    while ((this.#samples[1]?.atMs ?? Infinity) <= atMs - WINDOW_MS) this.#samples.shift();
  }

  /**
   * Bytes of work a second, 0 while none is done; `null` as long as too little is known.
   */
  get bytesPerSecond(): number | null {
    return rateBetween(this.#windowStart(), this.#samples.at(-1));
  }

  /** Start of the window: far enough back to see several pieces of work. */
  #windowStart(): Sample | undefined {
    const last = this.#samples.at(-1);
    if (last === undefined || this.#first === undefined) return undefined;
    const windowMs = Math.max(SETTLING_MS, (last.atMs - this.#first.atMs) / 2);
    let pieces = 0;
    for (let index = this.#samples.length - 1; index > 0; index--) {
      const sample = this.#samples[index]!;
      if (last.atMs - sample.atMs >= windowMs && pieces >= PIECES_MIN) return sample;
      if (sample.doneBytes > this.#samples[index - 1]!.doneBytes) pieces++;
    }
    return this.#samples[0];
  }

  /**
   * Estimates the time that is left.
   *
   * @param remainingBytes Work still to be done.
   * @returns Finite and not negative; `null` as long as too little is known.
   */
  etaSeconds(remainingBytes: number): number | null {
    if (!(remainingBytes > 0)) return 0;
    const rate = this.bytesPerSecond || rateBetween(this.#first, this.#samples.at(-1));
    if (!rate) return null;
    const seconds = remainingBytes / rate;
    return seconds <= LONGEST_ETA_SECONDS ? seconds : null;
  }
}

function rateBetween(from: Sample | undefined, to: Sample | undefined): number | null {
  if (from === undefined || to === undefined) return null;
  const elapsedMs = to.atMs - from.atMs;
  if (elapsedMs < SETTLING_MS) return null;
  return (to.doneBytes - from.doneBytes) / (elapsedMs / 1000);
}
