/**
 * Gives a task to the workers that `crew.ts` has started, and watches them until it is done.
 *
 * Workers take their jobs from shared memory (`messages.ts`), so that this thread stays free for
 * progress and signals. It touches no files.
 *
 * @module
 */

import { ReadAhead } from "../chunk/read_ahead.ts";
import { watchWorker } from "./worker_start.ts";
import { type BackyError, fromWireError, WorkerError } from "../errors.ts";
import type { CrewWorker, WorkerCrew } from "./crew.ts";
import {
  Control,
  CONTROL_CELLS,
  Counter,
  type Note,
  ReadAheadBy,
  type ReadAheadMessage,
  type StartMessage,
  type WorkerMessage,
} from "./messages.ts";
import type { Task } from "./tasks.ts";

/** Workers get this long to stop: one may be blocked in a write to a pipe that nobody reads. */
const STOP_GRACE_MS = 2000;

/** How far the work has come, in bytes unless stated otherwise. */
export interface PoolProgress {
  /** Bytes of the extent that are done, zeros included; 0 for a check, which has no image. */
  readonly imageBytes: number;
  /** Bytes that were decoded. */
  readonly decodedBytes: number;
  /** Bytes that could not be decoded because their chunk is bad. */
  readonly badBytes: number;
  /** Bytes of chunk files that were read. */
  readonly readBytes: number;
  /** Bytes that were handed to the target. */
  readonly writtenBytes: number;
  /** Bytes that the target was found to hold already. */
  readonly sameBytes: number;
  /** Those of them that took no time: holes where zeros belong. */
  readonly freeBytes: number;
  /** Number of jobs done: distinct chunks, or items of a stream. */
  readonly jobs: number;
  /** For each backup directory the number of chunks that came from it. */
  readonly chunksFrom: readonly number[];
}

/** What a pool does, and by whom: a {@linkcode StartMessage} without what the pool adds. */
export interface PoolOptions extends Omit<StartMessage<Task>, "control" | "counters" | "workers"> {
  /** Who does the work. */
  readonly crew: WorkerCrew;
  /** Called with what workers report while they work. */
  readonly onNote?: (note: Note) => void;
}

/** A task and the crew that does it. */
export class WorkerPool {
  readonly #options: PoolOptions;
  readonly #control = new Int32Array(new SharedArrayBuffer(CONTROL_CELLS * 4));
  readonly #counters: BigInt64Array<SharedArrayBuffer>;

  constructor(options: PoolOptions) {
    this.#options = options;
    const counters = Counter.CHUNKS_FROM + options.sources.length;
    this.#counters = new BigInt64Array(new SharedArrayBuffer(counters * 8));
  }

  /**
   * Does the task. After a failure or an abort workers may still be busy, so the crew must be
   * disposed of.
   *
   * @param signal Stops the workers; each first finishes the piece it is working on.
   * @returns When all workers have finished.
   * @throws The first error of a worker; the signal's reason if it was aborted first.
   */
  async run(signal?: AbortSignal): Promise<void> {
    const { crew: { workers }, onNote = () => {}, ...work } = this.#options;
    const start: StartMessage<Task> = {
      ...work,
      control: this.#control,
      counters: this.#counters,
      workers: workers.length,
    };
    const readAhead = new ReadAhead();
    const onMessage = (message: Note | ReadAheadMessage) => {
      if (message.type !== "read-ahead") return onNote(message);
      const { chunkId: id, job } = message;
      // A worker that has come to it already reads it itself, and then drops it from the cache.
      const isWanted = () => Atomics.load(this.#control, Control.NEXT_JOB) <= job;
      const isTaken = readAhead.add({ dir: start.sources[0]!, id, isWanted });
      if (!isTaken) Atomics.store(this.#control, Control.READ_AHEAD_BY, ReadAheadBy.WORKERS_ONLY);
    };
    const stop = Promise.withResolvers<"stopped">();
    let graceTimer: ReturnType<typeof setTimeout> | undefined;
    // After a failure as well as an abort: the other workers may be blocked for as long as a pipe's
    // reader likes.
    const endSoon = () => {
      this.#stop();
      graceTimer ??= setTimeout(() => stop.resolve("stopped"), STOP_GRACE_MS);
    };
    try {
      if (signal?.aborted) throw signal.reason;
      signal?.addEventListener("abort", endSoon, { once: true });
      const ends = workers.map((worker) => {
        const end = endOf(worker, onMessage);
        worker.postMessage(start);
        return end;
      });
      // The first failure makes the other workers stop, so its error arrives first.
      let firstError: BackyError | null = null;
      const watched = ends.map(async (end) => {
        const error = await end;
        if (error) endSoon();
        firstError ??= error;
      });
      await Promise.race([Promise.all(watched).then(() => readAhead.end()), stop.promise]);
      if (firstError) throw firstError;
      if (signal?.aborted) throw signal.reason;
    } finally {
      void readAhead.end();
      clearTimeout(graceTimer);
      signal?.removeEventListener("abort", endSoon);
    }
  }

  /** Returns how far the work has come; may be called at any time. */
  progress(): PoolProgress {
    const read = (counter: number) => Number(Atomics.load(this.#counters, counter));
    return {
      imageBytes: read(Counter.IMAGE),
      decodedBytes: read(Counter.DECODED),
      badBytes: read(Counter.BAD),
      readBytes: read(Counter.READ),
      writtenBytes: read(Counter.WRITTEN),
      sameBytes: read(Counter.SAME),
      freeBytes: read(Counter.FREE),
      jobs: read(Counter.JOBS),
      chunksFrom: this.#options.sources.map((_, source) => read(Counter.CHUNKS_FROM + source)),
    };
  }

  #stop(): void {
    Atomics.store(this.#control, Control.STOP, 1);
    Atomics.notify(this.#control, Control.TURN);
  }
}

/**
 * Resolves when a worker has ended its task, to the error that ended it. All its notes have arrived
 * by then.
 */
function endOf(
  worker: CrewWorker,
  onNote: (note: Note | ReadAheadMessage) => void,
): Promise<BackyError | null> {
  return new Promise((resolve) => {
    const onMessage = (message: WorkerMessage) => {
      switch (message.type) {
        case "done":
        case "stopped":
          return resolve(null);
        case "failed":
          return resolve(fromWireError(message.error));
        case "ready":
          return;
        default:
          return onNote(message);
      }
    };
    const onDeath = (reason: string) =>
      resolve(new WorkerError(`Cannot go on: a worker ended: ${reason}`));
    watchWorker(worker, { onMessage, onDeath });
  });
}
