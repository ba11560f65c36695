/**
 * Step 5 of a restore: one worker. Takes jobs from the shared counter until none is left, and for each reads, decodes and
 * verifies a chunk and writes it to the target from where it was decoded.
 *
 * It reads chunk files, writes to the target's descriptor and touches nothing else. It sleeps only while it waits for
 * its turn on a stream, and ends by one message.
 *
 * @module
 */

import * as codec from "lzo-wasm";
import { ChunkDecoder } from "../chunk/decoder.ts";
import type { ChunkRef } from "../chunk/places.ts";
import { toWireError } from "../errors.ts";
import { CHUNK_BYTES, chunkIdToHex } from "../store/layout.ts";
import { GRANULE_BYTES } from "../target/target.ts";
import { RandomAccessWriter, StreamWriter } from "../target/writer.ts";
import { zeroRuns } from "../target/zero_runs.ts";
import { Control, Counter, type EndMessage, type StartMessage } from "./messages.ts";
import { bytesOfSeq, idOfSeq, NO_SEQ, seqsOfJob, ZeroTest } from "./plan.ts";

/** A wait for a turn looks up this often, should a notification be lost. */
const TURN_POLL_MS = 1000;

/** What both kinds of work need. */
abstract class Work {
  protected readonly start: StartMessage;
  protected readonly decoder: ChunkDecoder;

  constructor(start: StartMessage) {
    this.start = start;
    this.decoder = new ChunkDecoder(start.basedir, { verify: start.verify, pageCache: "drop" });
  }

  /** Works until nothing is left to take or stopping is asked for. */
  abstract run(): void;

  protected readonly shouldStop = (): boolean =>
    Atomics.load(this.start.control, Control.STOP) !== 0;

  protected count(counter: number, bytes: number): void {
    Atomics.add(this.start.counters, counter, BigInt(bytes));
  }

  /** Takes the next number of a counter that all workers share. */
  protected take(cell: number): number {
    return Atomics.add(this.start.control, cell, 1);
  }

  protected idOf(seq: number): string {
    return chunkIdToHex(idOfSeq(this.start.plan, seq));
  }

  /**
   * Requests chunk files from the disk up to `prefetchDepth` jobs ahead; each is requested by one worker.
   *
   * @param seqOfJob Returns the seq of a job's chunk; `null` where it needs no file.
   */
  protected prefetchAfter(job: number, jobCount: number, seqOfJob: (job: number) => number | null) {
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
      if (seq !== null) this.decoder.prefetch(this.idOf(seq));
    }
  }

  /** Decodes a chunk into output buffer `output`, and counts it. */
  protected decode(chunk: ChunkRef, output: number, needed: number): void {
    const { fileBytes } = this.decoder.decode(chunk, output, needed);
    this.count(Counter.READ, fileBytes);
    this.count(Counter.DECODED, needed);
  }
}

/** Files and block devices: each distinct chunk is decoded once and written wherever it belongs. */
class RandomAccessWork extends Work {
  readonly #writer = new RandomAccessWriter(this.start.target, {
    imageBytes: this.start.plan.imageBytes,
    shouldStop: this.shouldStop,
  });

  override run(): void {
    // Zeros first: on thin storage they give back the room that the data will need.
    this.#writeZeroRanges();
    const { firstSeqs } = this.start.plan;
    while (!this.shouldStop()) {
      const job = this.take(Control.NEXT_JOB);
      const seq = firstSeqs[job];
      if (seq === undefined) return;
      this.prefetchAfter(job, firstSeqs.length, (next) => firstSeqs[next]!);
      this.#restoreChunk(seq);
    }
  }

  #writeZeroRanges(): void {
    const { zeroRanges } = this.start.plan;
    while (!this.shouldStop()) {
      const index = 2 * this.take(Control.NEXT_ZERO_RANGE);
      const offset = zeroRanges[index], length = zeroRanges[index + 1];
      if (offset === undefined || length === undefined) return;
      this.#writer.writeZeros(offset, length);
      if (this.start.target.zeroPolicy === "write") this.count(Counter.WRITTEN, length);
      this.count(Counter.IMAGE, length);
    }
  }

  #restoreChunk(firstSeq: number): void {
    const { plan } = this.start;
    // The first seq needs as much as any other: only the image's last seq may be short.
    const bytes = bytesOfSeq(plan.imageBytes, firstSeq);
    const seqs = () => seqsOfJob(plan, firstSeq);
    this.decode({ id: this.idOf(firstSeq), seqs, imageBytes: plan.imageBytes }, 0, bytes);
    const isPlain = this.start.target.zeroPolicy === "write";
    const flags = isPlain ? null : codec.scanZeros(0, { bytes, granuleBytes: GRANULE_BYTES });
    for (let seq = firstSeq; seq !== NO_SEQ && !this.shouldStop(); seq = plan.nextSeqs[seq]!) {
      this.#writeChunk(seq, flags);
    }
  }

  /** @param flags One byte a granule, 1 for zeros; `null` to write all bytes alike. */
  #writeChunk(seq: number, flags: Uint8Array | null): void {
    const content = codec.outputs[0]!;
    const offset = seq * CHUNK_BYTES;
    const bytes = bytesOfSeq(this.start.plan.imageBytes, seq);
    let written = 0;
    const runs = flags ? zeroRuns(flags, bytes) : [{ offset: 0, length: bytes, isZero: false }];
    for (const run of runs) {
      if (run.isZero) {
        this.#writer.writeZeros(offset + run.offset, run.length);
      } else {
        const data = content.subarray(run.offset, run.offset + run.length);
        this.#writer.writeData(data, offset + run.offset);
        written += run.length;
      }
    }
    this.count(Counter.WRITTEN, written);
    this.count(Counter.IMAGE, bytes);
  }
}

/** A seq that a worker has taken and will write in its turn. */
interface PendingSeq {
  readonly seq: number;
  /** Output buffer with its content; `null` for zeros. */
  readonly output: number | null;
}

/**
 * Pipes and standard output: every seq is written in order by the worker that took it. A worker decodes ahead while it
 * waits for its turn, as far as its output buffers go; that bounds the memory whatever the reader's speed.
 */
class StreamWork extends Work {
  readonly #writer = new StreamWriter(this.start.target, { shouldStop: this.shouldStop });
  readonly #zeroTest = new ZeroTest(this.start.plan.ids);
  readonly #pending: PendingSeq[] = [];
  readonly #freeOutputs = codec.outputs.map((_, index) => index);
  #hasMore = true;

  override run(): void {
    while (!this.shouldStop() && (this.#hasMore || this.#pending.length > 0)) {
      const next = this.#pending[0];
      if (next && this.#isTurnOf(next.seq)) {
        this.#writeSeq(next);
        this.#pending.shift();
        if (next.output !== null) this.#freeOutputs.push(next.output);
      } else if (this.#hasMore && this.#pending.length < codec.OUTPUT_COUNT) {
        this.#takeSeq();
      } else if (next) {
        this.#waitForTurnOf(next.seq);
      }
    }
  }

  #takeSeq(): void {
    const { plan } = this.start;
    const seq = this.take(Control.NEXT_JOB);
    if (seq >= plan.seqCount) {
      this.#hasMore = false;
      return;
    }
    this.prefetchAfter(seq, plan.seqCount, (next) => this.#zeroTest.isZero(next) ? null : next);
    if (this.#zeroTest.isZero(seq)) {
      this.#pending.push({ seq, output: null });
      return;
    }
    const output = this.#freeOutputs.pop()!;
    const bytes = bytesOfSeq(plan.imageBytes, seq);
    const { imageBytes } = plan;
    this.decode({ id: this.idOf(seq), seqs: () => [seq], imageBytes }, output, bytes);
    this.#pending.push({ seq, output });
  }

  #writeSeq({ seq, output }: PendingSeq): void {
    const { control, plan } = this.start;
    const bytes = bytesOfSeq(plan.imageBytes, seq);
    this.#writer.position = seq * CHUNK_BYTES;
    if (output === null) this.#writer.writeZeros(bytes);
    else this.#writer.write(codec.outputs[output]!.subarray(0, bytes));
    if (this.shouldStop()) return; // it may have been cut short: nobody may write behind it
    this.count(Counter.WRITTEN, bytes);
    this.count(Counter.IMAGE, bytes);
    Atomics.store(control, Control.TURN, seq + 1);
    Atomics.notify(control, Control.TURN);
  }

  #isTurnOf(seq: number): boolean {
    return Atomics.load(this.start.control, Control.TURN) === seq;
  }

  #waitForTurnOf(seq: number): void {
    const { control } = this.start;
    const turn = Atomics.load(control, Control.TURN);
    if (turn === seq || this.shouldStop()) return;
    Atomics.wait(control, Control.TURN, turn, TURN_POLL_MS);
  }
}

function work(start: StartMessage): EndMessage {
  const { control } = start;
  try {
    new (start.target.access === "random" ? RandomAccessWork : StreamWork)(start).run();
    return Atomics.load(control, Control.STOP) === 0 ? { type: "done" } : { type: "stopped" };
  } catch (error) {
    // The others stop too: what they could still write would belong to an incomplete image.
    Atomics.store(control, Control.STOP, 1);
    Atomics.notify(control, Control.TURN);
    return { type: "failed", error: toWireError(error) };
  }
}

declare const self: {
  onmessage: ((event: MessageEvent<StartMessage>) => void) | null;
  postMessage(message: EndMessage): void;
};

self.onmessage = (event) => self.postMessage(work(event.data));
