/**
 * Starts the workers of a run. They then wait for tasks, which `pool.ts` gives them one after
 * another.
 *
 * They start before a target is touched, and say when they are ready: if a worker lacks
 * descriptors, threads or memory, it shows then; in the worst case the runtime aborts the process.
 *
 * @module
 */

import { roomForWorkers } from "./worker_room.ts";
import { startWorkers, watchWorker, type WorkerPort } from "./worker_start.ts";
import { ResourceError } from "../errors.ts";
import { orAborted } from "../slices.ts";
import type { StartMessage, WorkerMessage } from "./messages.ts";
import type { Task } from "./tasks.ts";

/** A worker of a crew, as its pool sees it. */
export type CrewWorker = WorkerPort<StartMessage<Task>, WorkerMessage>;

/** Something harmless that users may want to know. */
export interface NoticeEvent {
  /** Tells events apart. */
  readonly type: "notice";
  /** One line. */
  readonly text: string;
}

/** The options of a restore or check that matter here. */
export interface CrewOptions {
  /**
   * How many workers, >= 1; fewer start if a limit of the system leaves no room. Default:
   * `defaultThreads()`.
   */
  readonly threads?: number | undefined;
  /** Ends the wait for them; its reason is thrown. */
  readonly signal?: AbortSignal;
  /** Called with the reason if there are fewer. */
  readonly onEvent?: (event: NoticeEvent) => void;
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
   * @returns When all are ready.
   * @throws {ResourceError} If none can be started.
   */
  static async start(options: CrewOptions): Promise<WorkerCrew> {
    const { signal, onEvent } = options;
    const { threads, notice } = roomForWorkers(options.threads);
    if (notice !== null) onEvent?.({ type: "notice", text: notice });
    using started = new DisposableStack();
    const workers: CrewWorker[] = [];
    const start = (): Promise<string | null> => {
      const worker: CrewWorker = new Worker(new URL("./worker.ts", import.meta.url), {
        type: "module",
      });
      started.defer(() => worker.terminate());
      return new Promise((resolve) => {
        const onMessage = () => {
          workers.push(worker);
          resolve(null);
        };
        watchWorker(worker, { onMessage, onDeath: resolve });
      });
    };
    const starting = startWorkers(threads, start, () => signal?.aborted ?? false);
    const failure = (await orAborted(starting, signal)).find((reason) => reason !== null);
    if (failure !== undefined) {
      const message = `Cannot start a worker: ${failure}`;
      if (workers.length === 0) throw new ResourceError(message);
      const text = `Using ${workers.length} of ${threads} workers: ${message}`;
      onEvent?.({ type: "notice", text });
    }
    return new WorkerCrew(workers, started.move());
  }

  /** Ends the workers, whatever they are doing. */
  [Symbol.dispose](): void {
    this.#started.dispose();
  }
}
