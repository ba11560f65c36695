/**
 * One worker of a chunk loader, with the jobs that it was given.
 *
 * `chunk_loader.ts` decides which job goes where; `worker.ts` is what runs in the worker.
 *
 * @module
 */

import { watchWorker, type WorkerPort } from "../work/worker_start.ts";
import { fromWireError, WorkerError } from "../errors.ts";
import type { Job, JobAnswer, Result, WorkerMessage } from "./messages.ts";
import { PageMemory } from "./page_memory.ts";

/**
 * Chunks that a worker has to decode at a time, so that it has another when it finishes one: this
 * thread may be busy copying a chunk to the kernel for as long as decoding one takes, and then wait
 * for the processor. With two, a sequential read took some 4 % longer; with four no less.
 */
const DECODES_PER_WORKER = 3;

/** A worker as the loader sees it. */
export type JobWorker = WorkerPort<Job, WorkerMessage>;

/** A job that waits for a worker or is with one. */
export interface PendingJob {
  readonly type: Job["type"];
  /**
   * Makes the message when the job is given to a worker. `memory` is the worker's, `null` if not
   * known yet.
   */
  readonly toMessage: (memory: PageMemory | null) => Job;
  readonly answer: PromiseWithResolvers<Result>;
}

/** Events of a slot, for the loader. */
export interface SlotEvents {
  /** The worker has finished a job; whether it had to wait for storage for long lately. */
  readonly onAnswer: (readsAreSlow: boolean) => void;
  /** The worker has died. It had not begun the jobs named: another can do them. */
  readonly onDeath: (jobs: readonly PendingJob[]) => void;
}

/** A worker and its jobs. */
export class WorkerSlot {
  readonly #worker: JobWorker;
  readonly #events: SlotEvents;
  readonly #ready = Promise.withResolvers<string | null>();
  /** In the order in which the worker does them; it is at the first. */
  readonly #jobs: PendingJob[] = [];
  #memory: PageMemory | null = null;

  constructor(worker: JobWorker, events: SlotEvents) {
    this.#worker = worker;
    this.#events = events;
    watchWorker(worker, {
      onMessage: (message) => {
        if (message.type !== "memory") return this.#finish(message);
        this.#memory = new PageMemory(message);
        this.#ready.resolve(null);
      },
      onDeath: (reason) => this.#bury(`a worker ended: ${reason}`),
    });
  }

  /** Resolves to `null` when the worker is ready, or to the reason why it ended before that. */
  get ready(): Promise<string | null> {
    return this.#ready.promise;
  }

  /** Number of jobs that the worker has. */
  get jobCount(): number {
    return this.#jobs.length;
  }

  /** Whether a job may be given: the worker is idle, or decodes and has few more to decode. */
  hasRoomFor({ type }: PendingJob): boolean {
    // Behind any other job a chunk might wait for long.
    return this.#jobs.length === 0 ||
      (type === "decode" && this.#jobs.length < DECODES_PER_WORKER &&
        this.#jobs.every(({ type }) => type === "decode"));
  }

  /** Gives the worker a job. If there is no memory for the job's page, only that job fails. */
  give(job: PendingJob): void {
    try {
      this.#worker.postMessage(job.toMessage(this.#memory));
      this.#jobs.push(job);
    } catch (error) {
      job.answer.reject(error);
    }
  }

  /** Ends the worker and fails its jobs. */
  end(reason: string): void {
    this.#worker.terminate();
    this.#ready.resolve(reason);
    for (const { answer } of this.#jobs.splice(0)) answer.reject(new WorkerError(reason));
  }

  #finish(answer: JobAnswer): void {
    const job = this.#jobs.shift();
    if (answer.type === "done") job?.answer.resolve(answer.result);
    else job?.answer.reject(fromWireError(answer.error));
    this.#events.onAnswer(answer.type === "done" && answer.readsAreSlow);
  }

  #bury(reason: string): void {
    this.#worker.terminate();
    this.#ready.resolve(reason);
    const [job, ...rest] = this.#jobs.splice(0);
    job?.answer.reject(new WorkerError(`Cannot go on: ${reason}`));
    this.#events.onDeath(rest);
  }
}
