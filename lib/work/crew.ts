/**
 * The workers of a run: threads that have started and wait for work.
 *
 * They are started before a target is touched, and say when they are ready: what a worker lacks
 * (descriptors, threads, memory) shows then, and in the worst case the runtime aborts the process.
 * What they do is the matter of `pool.ts`, which may give them several runs of work, one after the
 * other.
 *
 * @module
 */

import { roomForWorkers } from "../chunk/worker_room.ts";
import { ResourceError } from "../errors.ts";
import { reasonOf } from "../linux/errno.ts";
import type { StartMessage, WorkerMessage } from "./messages.ts";
import { orAborted } from "./or_aborted.ts";

/** As much of the web's `Worker` as is used. */
export interface CrewWorker {
  onmessage: ((event: MessageEvent<WorkerMessage>) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
  onmessageerror: ((event: MessageEvent) => void) | null;
  postMessage(start: StartMessage): void;
  terminate(): void;
}

/** How many workers there are to be, and who hears of it. */
export interface CrewOptions {
  readonly threads: number;
  readonly onNotice?: ((text: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Started workers, until they are disposed of. */
export class WorkerCrew implements Disposable {
  readonly workers: readonly CrewWorker[];
  readonly #started: DisposableStack;

  private constructor(workers: readonly CrewWorker[], started: DisposableStack) {
    this.workers = workers;
    this.#started = started;
  }

  /**
   * Starts workers.
   *
   * @param options.threads How many, >= 1; fewer are started where a limit of the system leaves no
   *   room for all.
   * @param options.onNotice Is told in one line why there are fewer.
   * @param options.signal Ends the wait for them; its reason is thrown.
   * @returns When all are ready.
   * @throws {ResourceError} If not one can be started.
   */
  static async start(options: CrewOptions): Promise<WorkerCrew> {
    const { signal, onNotice = () => {} } = options;
    const { threads, notice } = roomForWorkers(options.threads);
    if (notice !== null) onNotice(notice);
    using started = new DisposableStack();
    const starting: Promise<CrewWorker | ResourceError>[] = [];
    for (let index = 0; index < threads && !signal?.aborted; index++) {
      starting.push(startWorker(started));
      // Creating a worker takes some 15 ms, in which a signal cannot be heard.
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    const results = await orAborted(Promise.all(starting), signal);
    const workers = results.filter((result): result is CrewWorker =>
      !(result instanceof ResourceError)
    );
    const failure = results.find((result) => result instanceof ResourceError);
    if (failure && workers.length === 0) throw failure;
    if (failure) onNotice(`Using ${workers.length} of ${threads} workers: ${failure.message}`);
    return new WorkerCrew(workers, started.move());
  }

  /** Ends the workers, whatever they are at. */
  [Symbol.dispose](): void {
    this.#started.dispose();
  }
}

/** Resolves when a worker says that it is ready, or to what keeps it from being that. */
function startWorker(started: DisposableStack): Promise<CrewWorker | ResourceError> {
  const failure = (reason: string) => new ResourceError(`Cannot start a worker: ${reason}`);
  let worker: CrewWorker;
  try {
    worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  } catch (error) {
    return Promise.resolve(failure(reasonOf(error)));
  }
  started.defer(() => worker.terminate());
  return new Promise((resolve) => {
    worker.onmessage = () => resolve(worker);
    worker.onerror = (event) => {
      // Without this the error would end the process.
      event.preventDefault();
      resolve(failure(event.message));
    };
  });
}
