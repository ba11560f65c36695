/**
 * Long computations in steps, between which the event loop gets its turn: signals are heeded and
 * progress is drawn.
 *
 * Whoever computes writes a generator that yields every few milliseconds. Whoever needs the result
 * either drives it in slices ({@linkcode Slices}) or, in a worker or where it is known to be short,
 * to its end ({@linkcode runSteps}). This module imports nothing.
 *
 * @module
 */

/**
 * A computation that yields where it may be interrupted, and returns its result. A step takes a few
 * milliseconds.
 */
export type Steps<T> = Generator<void, T, void>;

/** How long the event loop may stand still. A person waits for half a second without wondering. */
const SLICE_MS = 30;

/** Drives a computation to its end without a pause. */
export function runSteps<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Drives computations, one after another, and lets the event loop turn in between. */
export class Slices {
  readonly #signal: AbortSignal | undefined;
  #startMs = performance.now();

  /** @param options.signal Aborting it ends whatever is driven. */
  constructor(options: { signal?: AbortSignal | undefined } = {}) {
    this.#signal = options.signal;
  }

  /**
   * Drives a computation to its end.
   *
   * @throws What it throws; the signal's reason if that is aborted. The computation's `finally`
   *   blocks are run then.
   */
  async run<T>(steps: Steps<T>): Promise<T> {
    try {
      for (;;) {
        const { done, value } = steps.next();
        if (done) return value;
        if (performance.now() - this.#startMs >= SLICE_MS) await this.rest();
      }
    } finally {
      // Does nothing to one that has ended.
      steps.return(undefined as never);
    }
  }

  /** Lets the event loop turn once. @throws The signal's reason if it is aborted. */
  async rest(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#signal?.throwIfAborted();
    this.#startMs = performance.now();
  }
}

/** Waits for a promise. @throws What it is rejected with; the signal's reason if aborted first. */
export async function orAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (!signal) return await promise;
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.throwIfAborted();
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
