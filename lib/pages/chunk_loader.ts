/**
 * Has chunks decoded and stored, and maps read, by workers. Jobs that somebody waits for go before
 * chunks that are loaded ahead.
 *
 * Workers are started when there is work for them, or before ({@linkcode ChunkLoader.start}). A
 * worker that dies fails the job that it was at and no other; a new one takes its place. Before:
 * `page_cache.ts`; next: `worker_slot.ts`.
 *
 * @module
 */

import { ReadAhead } from "../chunk/read_ahead.ts";
import { startWorkers } from "../work/worker_start.ts";
import { ResourceError, WorkerError } from "../errors.ts";
import type { StoredRevisionMap } from "../store/revision_map.ts";
import type { Job, Result } from "./messages.ts";
import type { ChunkLocation, Loading, PageLoader } from "./page_cache.ts";
import type { PageMemory } from "./page_memory.ts";
import type { Page } from "./page_pool.ts";
import { type JobWorker, type PendingJob, WorkerSlot } from "./worker_slot.ts";

/** Most chunks that wait to be loaded ahead, for each worker. */
export const AHEAD_PER_WORKER = 3;

const ENDED = "Cannot go on: the workers were ended";

/** How a loader works. */
export interface LoaderOptions {
  /** Number of workers, at least 1. */
  readonly threads: number;
  /** Whether content is compared with the chunks' ids. */
  readonly verify: boolean;
  /** Default: `worker.ts` in a web worker. */
  readonly createWorker?: () => JobWorker;
  /** What reads files ahead where storage is slow; the loader ends it. Tests replace it. */
  readonly readAhead?: ReadAhead;
}

/** The workers of all images of a reader, and their queues. */
export class ChunkLoader implements PageLoader, Disposable {
  readonly #options: LoaderOptions;
  readonly #createWorker: () => JobWorker;
  readonly #demanded: PendingJob[] = [];
  readonly #ahead: PendingJob[] = [];
  readonly #slots = new Set<WorkerSlot>();
  readonly #readAhead: ReadAhead;
  /** From then on files are read ahead by other threads. */
  #readsAreSlow = false;
  #isClosed = false;

  constructor(options: LoaderOptions) {
    this.#options = options;
    this.#createWorker = options.createWorker ?? createPageWorker;
    this.#readAhead = options.readAhead ?? new ReadAhead();
  }

  /**
   * Starts all workers, so that a lack of resources shows now and the first reader need not wait.
   * Workers that cannot be started are done without.
   *
   * @param signal Aborting it ends the workers; its reason is thrown.
   * @returns When the workers are ready.
   * @throws {ResourceError} If none could be started.
   */
  async start(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const end = () => this[Symbol.dispose]();
    signal?.addEventListener("abort", end);
    const missing = this.#options.threads - this.#slots.size;
    const start = () => this.#addSlot().ready;
    const reasons = await startWorkers(missing, start, () => this.#isClosed);
    signal?.removeEventListener("abort", end);
    signal?.throwIfAborted();
    if (this.#slots.size > 0) return;
    const failure = reasons.find((reason) => reason !== null) ?? ENDED;
    throw new ResourceError(`Cannot start a worker: ${failure}`);
  }

  /**
   * Decodes a chunk.
   *
   * `done` is rejected with {ChunkMissingError}, {ChunkCorruptError} or {OsError} as `ChunkDecoder`
   * throws them, and with {WorkerError} if the worker died.
   */
  load(
    chunk: ChunkLocation,
    options: { isAhead: boolean; takePage: (memory: PageMemory | null) => Page },
  ): Loading | null {
    const { threads, verify } = this.#options;
    const { isAhead, takePage } = options;
    if (isAhead && this.#ahead.length >= AHEAD_PER_WORKER * threads) return null;
    // Taken once, also if the job goes to another worker after a death.
    let page: Page | null = null;
    const job = newJob("decode", (memory) => {
      page ??= takePage(memory);
      const target = (memory && page.outputIn(memory)) ?? page.bytes;
      return { type: "decode", dir: chunk.dir, id: chunk.id, verify, page: target };
    });
    const promote = () => {
      const index = this.#ahead.indexOf(job);
      if (index < 0) return;
      this.#ahead.splice(index, 1);
      this.#demanded.push(job);
    };
    const done = this.#submit(job, isAhead) as Promise<number>;
    // Also of a chunk that somebody waits for: its worker reads a small part at a time.
    if (this.#readsAreSlow) this.#readFileAhead(chunk, done);
    return { done, promote };
  }

  #readFileAhead({ dir, id }: ChunkLocation, done: Promise<number>): void {
    let isWanted = true;
    const stop = () => isWanted = false;
    done.then(stop, stop);
    this.#readAhead.add({ dir, id, isWanted: () => isWanted });
  }

  /**
   * Stores a page's content as a chunk.
   *
   * @param dir An existing directory; the chunk goes below its `chunks`.
   * @param bytes Length of the content, at the beginning of the page.
   * @returns The chunk's id.
   * @throws {OsError} With the errno of the system call that failed.
   * @throws {ChunkCorruptError} If a file of that id exists and holds something else.
   * @throws {WorkerError} If the worker died.
   */
  store(dir: string, page: Page, bytes: number): Promise<string> {
    const content = page.bytes.subarray(0, bytes);
    const job = newJob("store", () => ({ type: "store", dir, content }));
    return this.#submit(job) as Promise<string>;
  }

  /**
   * Reads a revision map.
   *
   * @throws {RevisionError} As `readRevisionMap` does.
   * @throws {WorkerError} If the worker died.
   */
  readMap(path: string): Promise<StoredRevisionMap> {
    const job = newJob("map", () => ({ type: "map", path }));
    return this.#submit(job) as Promise<StoredRevisionMap>;
  }

  /** Ends all workers; jobs that are not finished fail. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    void this.#readAhead.end();
    for (const slot of this.#slots) slot.end(ENDED);
    this.#slots.clear();
    this.#failWaiting(ENDED);
  }

  #submit(job: PendingJob, isAhead = false): Promise<Result> {
    if (this.#isClosed) {
      job.answer.reject(new WorkerError(ENDED));
    } else {
      (isAhead ? this.#ahead : this.#demanded).push(job);
      this.#assign();
    }
    return job.answer.promise;
  }

  /** Gives waiting jobs to workers that have room for them. */
  #assign(): void {
    for (;;) {
      const queue = this.#demanded.length > 0 ? this.#demanded : this.#ahead;
      const [job] = queue;
      const slot = job && this.#findSlot(job);
      if (!slot) return;
      queue.shift();
      slot.give(job);
    }
  }

  /**
   * Finds a worker with nothing to do, starts one, or finds the one with the fewest chunks to
   * decode.
   */
  #findSlot(job: PendingJob): WorkerSlot | null {
    let best: WorkerSlot | null = null;
    for (const slot of this.#slots) {
      if (slot.hasRoomFor(job) && slot.jobCount < (best?.jobCount ?? Infinity)) best = slot;
    }
    if (best?.jobCount === 0 || this.#slots.size >= this.#options.threads) return best;
    try {
      return this.#addSlot();
    } catch (cause) {
      // As long as there are other workers, they do the work.
      if (this.#slots.size === 0) {
        this.#failWaiting(`Cannot go on: a worker cannot be started: ${String(cause)}`, { cause });
      }
      return null;
    }
  }

  /** Starts a worker. @throws What keeps it from being created. */
  #addSlot(): WorkerSlot {
    const slot: WorkerSlot = new WorkerSlot(this.#createWorker(), {
      onAnswer: (readsAreSlow) => {
        this.#readsAreSlow ||= readsAreSlow;
        this.#assign();
      },
      onDeath: (jobs) => {
        this.#slots.delete(slot);
        // Their pages, if taken, are used again.
        this.#demanded.unshift(...jobs);
        if (!this.#isClosed) this.#assign();
      },
    });
    this.#slots.add(slot);
    return slot;
  }

  #failWaiting(message: string, options?: ErrorOptions): void {
    for (const { answer } of [...this.#demanded.splice(0), ...this.#ahead.splice(0)]) {
      answer.reject(new WorkerError(message, options));
    }
  }
}

function newJob(type: Job["type"], toMessage: PendingJob["toMessage"]): PendingJob {
  return { type, toMessage, answer: Promise.withResolvers<Result>() };
}

function createPageWorker(): JobWorker {
  return new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
}
