/**
 * Step 3 of a restore: starts the workers, watches over them, and ends them.
 *
 * Touches no files. Work goes to the workers through shared memory (messages.ts); this thread stays free for progress and
 * signals.
 *
 * @module
 */

import { type BackyError, fromWireError, WorkerError } from "../errors.ts";
import {
  Control,
  CONTROL_CELLS,
  Counter,
  COUNTER_CELLS,
  type EndMessage,
  type StartMessage,
} from "./messages.ts";

/** After a request to stop, workers get this long: one may be blocked in a write that nobody reads. */
const STOP_GRACE_MS = 2000;

/** How far a restore has come, in bytes. */
export interface PoolProgress {
  /** Bytes of the image that are done, zeros included. */
  readonly imageBytes: number;
  /** Bytes that were decoded. */
  readonly decodedBytes: number;
  /** Bytes of chunk files that were read. */
  readonly readBytes: number;
  /** Bytes that were handed to the target. */
  readonly writtenBytes: number;
}

/** What a pool is made for: a {@linkcode StartMessage} without what the pool adds, and the number of workers. */
export type PoolOptions = Omit<StartMessage, "control" | "counters"> & { readonly threads: number };

/** The workers of one restore. */
export class WorkerPool {
  readonly #options: PoolOptions;
  readonly #control = new Int32Array(new SharedArrayBuffer(CONTROL_CELLS * 4));
  readonly #counters = new BigInt64Array(new SharedArrayBuffer(COUNTER_CELLS * 8));

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /**
   * Does all the work.
   *
   * @param signal Stops the workers; they end after the piece they are at.
   * @returns When every worker has ended.
   * @throws The first error of a worker; the signal's reason if it was aborted first.
   */
  async run(signal?: AbortSignal): Promise<void> {
    const { threads, ...work } = this.#options;
    const start = { ...work, control: this.#control, counters: this.#counters };
    const workers: Worker[] = [];
    const stop = Promise.withResolvers<"stopped">();
    let graceTimer: number | undefined;
    // After a failure as after an abort: the other workers may be blocked for as long as a reader likes.
    const endSoon = () => {
      this.#stop();
      graceTimer ??= setTimeout(() => stop.resolve("stopped"), STOP_GRACE_MS);
    };
    try {
      if (signal?.aborted) throw signal.reason;
      signal?.addEventListener("abort", endSoon, { once: true });
      // Creating a worker blocks for some 15 ms; each gets its work before the next is created.
      const ends: Promise<BackyError | null>[] = [];
      for (let index = 0; index < threads; index++) {
        const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
        workers.push(worker);
        ends.push(endOf(worker));
        worker.postMessage(start satisfies StartMessage);
      }
      // Resolved in the order in which workers fail, as the first failure makes the others stop.
      let firstError: BackyError | null = null;
      const watched = ends.map(async (end) => {
        const error = await end;
        if (error) endSoon();
        firstError ??= error;
      });
      await Promise.race([Promise.all(watched), stop.promise]);
      if (firstError) throw firstError;
      if (signal?.aborted) throw signal.reason;
    } finally {
      clearTimeout(graceTimer);
      signal?.removeEventListener("abort", endSoon);
      for (const worker of workers) worker.terminate();
    }
  }

  /** Returns how far the work has come; may be called at any time. */
  progress(): PoolProgress {
    const read = (counter: number) => Number(Atomics.load(this.#counters, counter));
    return {
      imageBytes: read(Counter.IMAGE),
      decodedBytes: read(Counter.DECODED),
      readBytes: read(Counter.READ),
      writtenBytes: read(Counter.WRITTEN),
    };
  }

  #stop(): void {
    Atomics.store(this.#control, Control.STOP, 1);
    Atomics.notify(this.#control, Control.TURN);
  }
}

/** Resolves when a worker has ended, to the error that ended it. */
function endOf(worker: Worker): Promise<BackyError | null> {
  return new Promise((resolve) => {
    worker.onmessage = (event: MessageEvent<EndMessage>) => {
      const message = event.data;
      resolve(message.type === "failed" ? fromWireError(message.error) : null);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      resolve(new WorkerError(`Cannot go on: a worker ended: ${event.message}`));
    };
    worker.onmessageerror = () => {
      resolve(new WorkerError("Cannot go on: a worker's message was lost"));
    };
  });
}
