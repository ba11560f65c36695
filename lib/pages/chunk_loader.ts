/**
 * Step 6 of a FUSE read: hands jobs to workers. What a reader or writer waits for goes before what
 * is loaded ahead.
 *
 * Workers are started when there is work for them, or before ({@linkcode ChunkLoader.start}). One
 * that dies takes the job that it was at with it, and no other; those that follow get a new one.
 * The other half of this step is `worker.ts`, the messages are in `messages.ts`.
 *
 * @module
 */

import { fromWireError, ResourceError, WorkerError } from "../errors.ts";
import { reasonOf } from "../linux/errno.ts";
import type { StoredRevisionMap } from "../store/revision_map.ts";
import type { Job, JobAnswer, Result, WorkerMessage } from "./messages.ts";
import type { ChunkPlace, Loading, PageLoader } from "./page_cache.ts";
import { PageMemory } from "./page_memory.ts";
import type { Page } from "./page_pool.ts";

/** Chunks that may wait to be loaded ahead, for each worker. */
const AHEAD_PER_WORKER = 3;

/**
 * Chunks that a worker is given to decode at a time, so that it has the next one when it has
 * finished one: this thread may be busy with copying a chunk to the kernel for as long as it takes
 * to decode it, and then wait for its turn on the processor. With two, a sequential read took some
 * 4 % longer; with four no less.
 */
const DECODES_PER_WORKER = 3;

const ENDED = "Cannot go on: the workers were ended";

/** As much of the web's `Worker` as is used, for tests to put another in its place. */
export interface JobWorker {
  onmessage: ((event: MessageEvent<WorkerMessage>) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
  onmessageerror: ((event: MessageEvent) => void) | null;
  postMessage(job: Job): void;
  terminate(): void;
}

/** How a loader works. */
export interface LoaderOptions {
  /** Number of workers, at least 1. */
  readonly threads: number;
  /** Whether content is compared with the chunks' ids. */
  readonly verify: boolean;
  readonly createWorker?: () => JobWorker;
}

/** A job that is waiting or under way. */
interface Task {
  readonly type: Job["type"];
  /** Makes the message when the task is given to a worker, whose memory may be known. */
  readonly begin: (memory: PageMemory | null) => Job;
  readonly answer: PromiseWithResolvers<Result>;
}

/** A worker with its tasks, the one it is at first. */
interface Seat {
  readonly worker: JobWorker;
  /** `null` until the worker has said where it is. */
  memory: PageMemory | null;
  /** Settles when it has said that, to `null`, or when it ended before, to the reason. */
  readonly ready: PromiseWithResolvers<string | null>;
  readonly tasks: Task[];
}

/** The workers of a mount. */
export class ChunkLoader implements PageLoader, Disposable {
  readonly #options: LoaderOptions;
  readonly #createWorker: () => JobWorker;
  readonly #demanded: Task[] = [];
  readonly #ahead: Task[] = [];
  readonly #seats = new Set<Seat>();
  #isClosed = false;

  constructor(options: LoaderOptions) {
    this.#options = options;
    this.#createWorker = options.createWorker ?? startWorker;
  }

  /**
   * Starts all workers. What they lack shows now, and the first reader need not wait for them.
   *
   * @param signal Aborting it ends the workers; its reason is thrown.
   * @returns When they are ready; some that could not be started are done without.
   * @throws {ResourceError} If none could be started.
   */
  async start(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const end = () => this[Symbol.dispose]();
    signal?.addEventListener("abort", end);
    let failure: string | null | undefined;
    try {
      failure = (await this.#openSeats()).find((reason) => reason !== null);
    } finally {
      signal?.removeEventListener("abort", end);
    }
    signal?.throwIfAborted();
    if (this.#seats.size === 0) {
      throw new ResourceError(`Cannot start a worker: ${failure ?? ENDED}`);
    }
  }

  /** Opens all seats. @returns For each what settles its `ready`, or why it could not be opened. */
  async #openSeats(): Promise<(string | null)[]> {
    const starting: Promise<string | null>[] = [];
    for (let seat = this.#seats.size; seat < this.#options.threads && !this.#isClosed; seat++) {
      try {
        starting.push(this.#openSeat().ready.promise);
      } catch (error) {
        starting.push(Promise.resolve(reasonOf(error)));
        break;
      }
      // Creating a worker takes some 15 ms, in which a signal cannot be heard.
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    return await Promise.all(starting);
  }

  /**
   * Decodes a chunk.
   *
   * `done` is rejected with {ChunkMissingError}, {ChunkCorruptError} or {OsError} as `ChunkDecoder`
   * throws them, and with {WorkerError} if the worker died.
   */
  load(
    chunk: ChunkPlace,
    options: { isAhead: boolean; takePage: (memory: PageMemory | null) => Page },
  ): Loading | null {
    const { threads, verify } = this.#options;
    const { isAhead, takePage } = options;
    if (isAhead && this.#ahead.length >= AHEAD_PER_WORKER * threads) return null;
    let page: Page | null = null;
    const task = newTask("decode", (memory) => {
      page ??= takePage(memory);
      const place = (memory && page.outputIn(memory)) ?? page.bytes;
      return { type: "decode", dir: chunk.dir, id: chunk.id, verify, page: place };
    });
    const promote = () => {
      const index = this.#ahead.indexOf(task);
      if (index < 0) return;
      this.#ahead.splice(index, 1);
      this.#demanded.push(task);
    };
    return { done: this.#submit(task, isAhead) as Promise<number>, promote };
  }

  /**
   * Stores a page's content as a chunk.
   *
   * @param bytes How much of the page counts.
   * @returns The chunk's id.
   * @throws {OsError} With the errno of whatever the system refused.
   * @throws {ChunkCorruptError} If a file of that id is there and holds something else.
   * @throws {WorkerError} If the worker died.
   */
  store(dir: string, page: Page, bytes: number): Promise<string> {
    const content = page.bytes.subarray(0, bytes);
    return this.#submit(newTask("store", () => ({ type: "store", dir, content }))) as Promise<
      string
    >;
  }

  /**
   * Reads a revision map. @throws {RevisionError} As `readRevisionMap` does. @throws {WorkerError}
   * If the worker died.
   */
  readMap(path: string): Promise<StoredRevisionMap> {
    return this.#submit(newTask("map", () => ({ type: "map", path }))) as Promise<
      StoredRevisionMap
    >;
  }

  /** Ends all workers; what was not done fails. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    const open = [...this.#seats].flatMap(({ tasks }) => tasks);
    for (const { worker, ready } of this.#seats) {
      worker.terminate();
      ready.resolve(ENDED);
    }
    this.#seats.clear();
    for (const { answer } of open) answer.reject(new WorkerError(ENDED));
    this.#failWaiting(ENDED);
  }

  #submit(task: Task, isAhead = false): Promise<Result> {
    if (this.#isClosed) {
      task.answer.reject(new WorkerError(ENDED));
    } else {
      (isAhead ? this.#ahead : this.#demanded).push(task);
      this.#assign();
    }
    return task.answer.promise;
  }

  /** Gives waiting tasks to workers that have room for them. */
  #assign(): void {
    for (;;) {
      const queue = this.#demanded.length > 0 ? this.#demanded : this.#ahead;
      const [task] = queue;
      const seat = task && this.#findSeat(task);
      if (!seat) return;
      queue.shift();
      this.#begin(seat, task);
    }
  }

  /**
   * Finds a worker with nothing to do, starts one, or, for a chunk, finds the one with the fewest
   * to decode.
   */
  #findSeat(task: Task): Seat | null {
    const seats = [...this.#seats];
    const free = seats.find(({ tasks }) => tasks.length === 0);
    if (free) return free;
    if (seats.length >= this.#options.threads) {
      // Behind anything else a chunk might wait for long.
      const isDecode = ({ type }: Task) => type === "decode";
      const room = ({ tasks }: Seat) =>
        tasks.length < DECODES_PER_WORKER && tasks.every(isDecode) && isDecode(task);
      const [first] = seats.filter(room).sort((a, b) => a.tasks.length - b.tasks.length);
      return first ?? null;
    }
    try {
      return this.#openSeat();
    } catch (cause) {
      // As long as there are others the work goes on.
      if (this.#seats.size === 0) {
        this.#failWaiting(`Cannot go on: a worker cannot be started: ${String(cause)}`, { cause });
      }
      return null;
    }
  }

  #openSeat(): Seat {
    const worker = this.#createWorker();
    const ready = Promise.withResolvers<string | null>();
    const seat: Seat = { worker, memory: null, ready, tasks: [] };
    this.#seats.add(seat);
    seat.worker.onmessage = ({ data }) => {
      if (data.type !== "memory") return this.#finish(seat, data);
      seat.memory = new PageMemory(data);
      seat.ready.resolve(null);
    };
    seat.worker.onerror = (event) => {
      // Without this the error would end the process.
      event.preventDefault();
      this.#bury(seat, `a worker ended: ${event.message}`);
    };
    seat.worker.onmessageerror = () => this.#bury(seat, "a worker's message was lost");
    return seat;
  }

  #failWaiting(message: string, options?: ErrorOptions): void {
    for (const { answer } of [...this.#demanded.splice(0), ...this.#ahead.splice(0)]) {
      answer.reject(new WorkerError(message, options));
    }
  }

  #begin(seat: Seat, task: Task): void {
    try {
      seat.worker.postMessage(task.begin(seat.memory));
      seat.tasks.push(task);
    } catch (error) {
      // No memory for a page; the worker has not been told anything.
      task.answer.reject(error);
    }
  }

  #finish(seat: Seat, answer: JobAnswer): void {
    const task = seat.tasks.shift();
    if (answer.type === "done") task?.answer.resolve(answer.result);
    else task?.answer.reject(fromWireError(answer.error));
    this.#assign();
  }

  #bury(seat: Seat, reason: string): void {
    seat.worker.terminate();
    seat.ready.resolve(reason);
    this.#seats.delete(seat);
    const [task, ...rest] = seat.tasks;
    task?.answer.reject(new WorkerError(`Cannot go on: ${reason}`));
    // It was not at these yet: another will do them, into the pages that were taken.
    this.#demanded.unshift(...rest);
    if (!this.#isClosed) this.#assign();
  }
}

function newTask(type: Job["type"], begin: Task["begin"]): Task {
  return { type, begin, answer: Promise.withResolvers<Result>() };
}

function startWorker(): JobWorker {
  return new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
}
