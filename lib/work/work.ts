/**
 * What all kinds of task have in common: taking jobs, reading ahead, decoding, and reporting bad
 * chunks.
 *
 * @module
 */

import { ChunkSources } from "../chunk/chunk_sources.ts";
import { ChunkCorruptError, type ChunkMissingError, isChunkFault } from "../errors.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import {
  Control,
  Counter,
  type Note,
  ReadAheadBy,
  type ReadAheadMessage,
  type StartMessage,
} from "./messages.ts";
import { ReadWaits } from "./read_waits.ts";
import type { SeqRuns, WantedChunk } from "./seq_runs.ts";
import { Throttle } from "./throttle.ts";

/** Sends a message to the main thread. */
export type Notify = (message: Note | ReadAheadMessage) => void;

/** Chunk files read ahead for each worker: enough to keep a disk with a command queue busy. */
const FILES_AHEAD = 4;

/** Slow storage gets more of small files to do at a time: these bytes of them, to a limit. */
const SLOW_BYTES_AHEAD = 16 * 1_048_576, MOST_FILES_AHEAD = 32;

const NO_RUNS = new Uint32Array(0);

/** One worker's part of a task; each kind of task has a class of its own. */
export abstract class Work<T> {
  protected readonly start: StartMessage<T>;
  protected readonly task: T;
  protected readonly notify: Notify;
  protected readonly sources: ChunkSources;
  protected readonly waits = new ReadWaits();
  readonly #throttle: Throttle | null;
  /** Bytes of a chunk file, on average of the last ones. */
  #meanFileBytes = CHUNK_BYTES;

  constructor(start: StartMessage<T>, notify: Notify) {
    this.start = start;
    this.task = start.task;
    this.notify = notify;
    const { verify, throttle } = start;
    this.sources = new ChunkSources(start.sources, { verify, pageCache: "drop" });
    const { shouldStop } = this;
    this.#throttle = throttle && new Throttle(throttle, { shouldStop });
  }

  /** Works until no job is left, or until it should stop. */
  abstract run(): void;

  protected readonly shouldStop = (): boolean =>
    Atomics.load(this.start.control, Control.STOP) !== 0;

  /** Adds to a shared counter. */
  protected count(counter: number, amount: number): void {
    Atomics.add(this.start.counters, counter, BigInt(amount));
  }

  /**
   * Yields the numbers of jobs until none is left, or until it should stop. Counts each when it is
   * done.
   */
  protected *takeJobs(jobCount: number): Generator<number, void> {
    while (!this.shouldStop()) {
      const job = this.take(Control.NEXT_JOB);
      if (job >= jobCount) return;
      yield job;
      this.count(Counter.JOBS, 1);
    }
  }

  /** Takes the next number of a counter that all workers share. */
  protected take(cell: number): number {
    return Atomics.add(this.start.control, cell, 1);
  }

  /**
   * Has chunk files read ahead of a job. Only one worker asks for each file.
   *
   * @param idOfJob Returns the id of a job's chunk; `null` if it needs no file.
   */
  protected prefetchAfter(
    job: number,
    jobCount: number,
    idOfJob: (job: number) => string | null,
  ): void {
    const { control } = this.start;
    const end = Math.min(job + 1 + this.#filesAhead(), jobCount);
    for (;;) {
      const next = Atomics.load(control, Control.NEXT_PREFETCH);
      if (next >= end) return;
      if (Atomics.compareExchange(control, Control.NEXT_PREFETCH, next, next + 1) !== next) {
        continue;
      }
      // The files of jobs up to this one are being read already.
      const chunkId = next > job ? idOfJob(next) : null;
      if (chunkId === null) continue;
      if (this.#isMainReadingAhead) {
        this.notify({ type: "read-ahead", chunkId, job: next });
      } else {
        this.#addWait(this.sources.prefetch(chunkId));
      }
    }
  }

  #filesAhead(): number {
    const files = this.#isMainReadingAhead ? Math.floor(SLOW_BYTES_AHEAD / this.#meanFileBytes) : 0;
    return this.start.workers * Math.min(Math.max(files, FILES_AHEAD), MOST_FILES_AHEAD);
  }

  get #isMainReadingAhead(): boolean {
    return Atomics.load(this.start.control, Control.READ_AHEAD_BY) === ReadAheadBy.MAIN_THREAD;
  }

  /** Once one worker has to wait too long, all leave reading ahead to the main thread. */
  #addWait(waitMs: number): void {
    if (waitMs === 0) return;
    this.waits.add(waitMs);
    if (!this.waits.areLong) return;
    const { WORKERS, MAIN_THREAD } = ReadAheadBy;
    Atomics.compareExchange(this.start.control, Control.READ_AHEAD_BY, WORKERS, MAIN_THREAD);
  }

  /**
   * Decodes a chunk into output buffer `output`, and counts it.
   *
   * @param chunk Its seqs are reported if it is bad.
   * @param needed Bytes that the image needs of it; `null`: all that it has.
   * @returns The number of bytes it has; `null` if it is bad and the work goes on.
   * @throws {ChunkMissingError | ChunkCorruptError} If it is bad and `onError` is "abort".
   */
  protected decode(chunk: WantedChunk, output: number, needed: number | null): number | null {
    try {
      const { bytes, fileBytes, waitMs, source } = this.sources.decode(chunk, output, needed ?? 1);
      this.#addWait(waitMs);
      this.#meanFileBytes += (fileBytes - this.#meanFileBytes) / 8;
      // Pay first: bytes that are counted before they have cost time would look like great speed.
      this.#throttle?.pay(fileBytes);
      this.count(Counter.READ, fileBytes);
      this.count(Counter.DECODED, needed ?? bytes);
      this.count(Counter.CHUNKS_FROM + source, 1);
      return bytes;
    } catch (error) {
      if (this.start.onError === "abort" || !isChunkFault(error)) throw error;
      this.noteBadChunk(error, chunk.runs?.());
      this.count(Counter.BAD, needed ?? CHUNK_BYTES);
      return null;
    }
  }

  /** Reports a chunk that cannot be used to the main thread. */
  protected noteBadChunk(
    error: ChunkMissingError | ChunkCorruptError,
    runs: SeqRuns | undefined,
  ): void {
    const reason = error instanceof ChunkCorruptError ? error.reason : "missing";
    const { chunkId, message: detail } = error;
    this.notify({ type: "bad-chunk", chunkId, runs: runs?.pairs() ?? NO_RUNS, reason, detail });
  }
}
