/**
 * What all kinds of work on chunks have in common: taking jobs, reading ahead, decoding, and what
 * happens to a bad chunk.
 *
 * @module
 */

import type { ChunkRef } from "../chunk/chunk_ref.ts";
import { ChunkSources } from "../chunk/chunk_sources.ts";
import { ChunkCorruptError, type ChunkMissingError, isChunkFault } from "../errors.ts";
import { chunkIdAt } from "../store/chunk_ids.ts";
import { bytesOfSeq } from "../store/layout.ts";
import { Control, Counter, type Note, type StartMessage } from "./messages.ts";
import { SeqRuns } from "./seq_runs.ts";
import { Throttle } from "./throttle.ts";

/** A chunk with its places. */
export interface PlacedChunk extends ChunkRef {
  readonly places: () => SeqRuns;
}

/** Sends a note to the orchestrator. */
export type Notify = (note: Note) => void;

/** One worker's part of the work. */
export abstract class Work {
  protected readonly start: StartMessage;
  protected readonly notify: Notify;
  protected readonly sources: ChunkSources;
  readonly #throttle: Throttle | null;

  constructor(start: StartMessage, notify: Notify) {
    this.start = start;
    this.notify = notify;
    const { verify, throttle } = start;
    this.sources = new ChunkSources(start.sources, { verify, pageCache: "drop" });
    const { shouldStop } = this;
    this.#throttle = throttle && new Throttle(throttle, { shouldStop });
  }

  /** Works until nothing is left to take or stopping is asked for. */
  abstract run(): void;

  protected readonly shouldStop = (): boolean =>
    Atomics.load(this.start.control, Control.STOP) !== 0;

  /** Adds to a shared counter. */
  protected count(counter: number, amount: number): void {
    Atomics.add(this.start.counters, counter, BigInt(amount));
  }

  /**
   * Takes jobs until there are none, or stopping is asked for, and counts each when it is done.
   * Yields first seqs.
   */
  protected *takeJobs(): Generator<{ job: number; firstSeq: number }, void> {
    const { firstSeqs } = this.start.plan;
    while (!this.shouldStop()) {
      const job = this.take(Control.NEXT_JOB);
      const firstSeq = firstSeqs[job];
      if (firstSeq === undefined) return;
      yield { job, firstSeq };
      this.count(Counter.JOBS, 1);
    }
  }

  /** Takes the next number of a counter that all workers share. */
  protected take(cell: number): number {
    return Atomics.add(this.start.control, cell, 1);
  }

  protected idOf(seq: number): string {
    return chunkIdAt(this.start.plan.ids, seq);
  }

  /** The chunk that stands first at a seq, with the given places; default: all of the plan. */
  protected chunkAt(firstSeq: number, givenPlaces?: SeqRuns): PlacedChunk {
    const { plan } = this.start;
    const places = () => givenPlaces ?? SeqRuns.ofJob(plan, firstSeq);
    const seqs = () => places().list();
    return { id: this.idOf(firstSeq), seqs, places, imageBytes: plan.imageBytes };
  }

  /**
   * Requests chunk files from the disk up to `prefetchDepth` jobs ahead; each is requested by one
   * worker.
   *
   * @param seqOfJob Returns the seq of a job's chunk; `null` where it needs no file.
   */
  protected prefetchAfter(
    job: number,
    jobCount: number,
    seqOfJob: (job: number) => number | null,
  ): void {
    const { control, prefetchDepth } = this.start;
    const end = Math.min(job + 1 + prefetchDepth, jobCount);
    for (;;) {
      const next = Atomics.load(control, Control.NEXT_PREFETCH);
      if (next >= end) return;
      if (Atomics.compareExchange(control, Control.NEXT_PREFETCH, next, next + 1) !== next) {
        continue;
      }
      // What a worker is about to read itself need not be announced.
      const seq = next > job ? seqOfJob(next) : null;
      if (seq !== null) this.sources.prefetch(this.idOf(seq));
    }
  }

  /**
   * Decodes a chunk into output buffer `output`, and counts it.
   *
   * @param chunk With the seqs that are told if it is bad.
   * @param needed Bytes that the image needs of it.
   * @returns The number of bytes it has; `null` if it is bad and the work is to go on.
   * @throws {ChunkMissingError | ChunkCorruptError} If it is bad and that is the end.
   */
  protected decode(chunk: PlacedChunk, output: number, needed: number): number | null {
    try {
      const { bytes, fileBytes, source } = this.sources.decode(chunk, output, needed);
      // First: what is counted before the time that it costs would look like great speed.
      this.#throttle?.pay(fileBytes);
      this.count(Counter.READ, fileBytes);
      this.count(Counter.DECODED, needed);
      this.count(Counter.CHUNKS_FROM + source, 1);
      return bytes;
    } catch (error) {
      if (this.start.onError === "abort" || !isChunkFault(error)) throw error;
      this.noteBadChunk(error, chunk.places());
      this.count(Counter.BAD, needed);
      return null;
    }
  }

  /** Tells the orchestrator of a chunk that cannot be used. */
  protected noteBadChunk(error: ChunkMissingError | ChunkCorruptError, places: SeqRuns): void {
    const reason = error instanceof ChunkCorruptError ? error.reason : "missing";
    const { chunkId, message: detail } = error;
    this.notify({ type: "bad-chunk", chunkId, runs: places.pairs(), reason, detail });
  }

  /** Bytes that the image needs of the chunk that stands first at a seq. */
  protected neededAt(firstSeq: number): number {
    // The first seq needs as much as any other: only the image's last seq may be short.
    return bytesOfSeq(this.start.plan.imageBytes, firstSeq);
  }
}
