/**
 * Writes an image to a stream (`target/stream_writer.ts`), in order: each item is written by the
 * worker that took it, when its turn comes. While it waits, a worker decodes ahead as far as its
 * output buffers go, so the memory is bounded even if the reader is slow.
 *
 * @module
 */

import * as codec from "../../wasm/mod.ts";
import { chunkIdAt, ZeroTest } from "../store/chunk_ids.ts";
import { bytesOfSeq } from "../store/layout.ts";
import { STREAM_FORMATS, type StreamFormat } from "../target/stream_format.ts";
import { type StreamEncoding, StreamWriter } from "../target/stream_writer.ts";
import { GRANULE_BYTES, type StreamHandle } from "../target/target.ts";
import { runsBetween } from "../target/zero_runs.ts";
import { partOfSeq, seqsOfExtent } from "./extent.ts";
import { type SourceImage, ZERO_RANGE_ITEM } from "./jobs.ts";
import { Control, Counter, type StartMessage } from "./messages.ts";
import { chunkAt, SeqRuns } from "./seq_runs.ts";
import { type Notify, Work } from "./work.ts";

/** A worker that waits for its turn checks it this often, in case a notification was lost. */
const TURN_POLL_MS = 1000;

/** Write an image in order to a pipe. */
export interface StreamTask {
  readonly kind: "stream";
  readonly target: StreamHandle;
  readonly format: StreamFormat;
  readonly image: SourceImage;
  /**
   * What is written, in the order of the image: seqs, and zero ranges as
   * {@linkcode ZERO_RANGE_ITEM} plus their index. `null`: all seqs of the extent.
   */
  readonly items: Uint32Array<SharedArrayBuffer> | null;
  /** Ranges of zeros as pairs: first byte of the image, number of bytes. */
  readonly zeroRanges: Float64Array<SharedArrayBuffer>;
}

/** A piece of a stream: the bytes of a seq, or zeros. */
interface Item {
  /** Seq with data; `null` for zeros. */
  readonly seq: number | null;
  /** First byte of the image, and number of bytes. */
  readonly offset: number;
  readonly length: number;
}

/** An item that a worker has taken and will write in its turn. */
interface PendingItem extends Item {
  readonly turn: number;
  /** Output buffer with its content; `null` for zeros. */
  readonly output: number | null;
  /** First byte of that buffer to write. */
  readonly outputOffset: number;
}

/** Writes chunks and zeros in the order of the image. */
export class StreamWork extends Work<StreamTask> {
  readonly #writer: StreamWriter;
  readonly #format: StreamEncoding;
  readonly #zeroTest: ZeroTest;
  readonly #firstSeq: number;
  readonly #itemCount: number;
  readonly #pending: PendingItem[] = [];
  readonly #freeOutputs = codec.outputs.map((_, index) => index);
  #hasMore = true;

  constructor(start: StartMessage<StreamTask>, notify: Notify) {
    super(start, notify);
    const { task } = start;
    const { image: { ids, extent }, items } = task;
    const { firstSeq, endSeq } = seqsOfExtent(extent);
    this.#writer = new StreamWriter(task.target, { shouldStop: this.shouldStop });
    this.#format = STREAM_FORMATS[task.format];
    this.#zeroTest = new ZeroTest(ids);
    this.#firstSeq = firstSeq;
    this.#itemCount = items?.length ?? endSeq - firstSeq;
  }

  override run(): void {
    while (!this.shouldStop() && (this.#hasMore || this.#pending.length > 0)) {
      const next = this.#pending[0];
      if (next && this.#isTurn(next.turn)) {
        this.#write(next);
        this.#pending.shift();
        if (next.output !== null) this.#freeOutputs.push(next.output);
      } else if (this.#hasMore && this.#pending.length < codec.OUTPUT_COUNT) {
        this.#takeItem();
      } else if (next) {
        this.#waitForTurn(next.turn);
      }
    }
  }

  #takeItem(): void {
    const turn = this.take(Control.NEXT_JOB);
    if (turn >= this.#itemCount) {
      this.#hasMore = false;
      return;
    }
    this.prefetchAfter(turn, this.#itemCount, (next) => {
      const { seq } = this.#itemAt(next);
      return seq === null ? null : chunkIdAt(this.task.image.ids, seq);
    });
    const item = this.#itemAt(turn);
    const output = item.seq === null ? null : this.#decodeInto(this.#freeOutputs.pop()!, item.seq);
    const outputOffset = item.seq === null
      ? 0
      : partOfSeq(this.task.image.extent, item.seq).chunkOffset;
    this.#pending.push({ ...item, turn, output, outputOffset });
  }

  /** @returns The output buffer; `null` if the chunk is bad and zeros take its place. */
  #decodeInto(output: number, seq: number): number | null {
    const { image } = this.task;
    const chunk = chunkAt(image, seq, () => SeqRuns.of(seq));
    if (this.decode(chunk, output, bytesOfSeq(image.imageBytes, seq)) !== null) return output;
    this.#freeOutputs.push(output);
    return null;
  }

  #itemAt(turn: number): Item {
    const { items, zeroRanges, image: { extent } } = this.task;
    const item = items ? items[turn]! : this.#firstSeq + turn;
    if (item >= ZERO_RANGE_ITEM) {
      const at = 2 * (item - ZERO_RANGE_ITEM);
      return { seq: null, offset: zeroRanges[at]!, length: zeroRanges[at + 1]! };
    }
    const { imageOffset, length } = partOfSeq(extent, item);
    return { seq: this.#zeroTest.isZero(item) ? null : item, offset: imageOffset, length };
  }

  #write({ turn, offset, length, output, outputOffset }: PendingItem): void {
    const { control } = this.start;
    this.#writer.position = offset;
    if (output === null) this.#format.writeZeros(this.#writer, offset, length);
    else this.#writeChunk(output, { start: outputOffset, length, offset });
    if (this.shouldStop()) return; // it may be incomplete, so nobody may write behind it
    this.count(Counter.WRITTEN, length);
    this.count(Counter.IMAGE, length);
    this.count(Counter.JOBS, 1);
    Atomics.store(control, Control.TURN, turn + 1);
    Atomics.notify(control, Control.TURN);
  }

  /**
   * Writes bytes of an output buffer.
   *
   * @param part.start First byte in that buffer.
   * @param part.offset Where in the image they lie.
   */
  #writeChunk(output: number, part: { start: number; length: number; offset: number }): void {
    const content = codec.outputs[output]!;
    const { start, length } = part;
    const end = start + length;
    const flags = this.#format.hasRecords
      ? codec.scanZeros(output, { bytes: end, granuleBytes: GRANULE_BYTES })
      : null;
    for (const run of runsBetween(flags, start, end)) {
      const offset = part.offset + run.offset - start;
      if (run.isZero) {
        this.#format.writeZeros(this.#writer, offset, run.length);
      } else {
        const bytes = content.subarray(run.offset, run.offset + run.length);
        this.#format.writeData(this.#writer, bytes, offset);
      }
    }
  }

  #isTurn(turn: number): boolean {
    return Atomics.load(this.start.control, Control.TURN) === turn;
  }

  #waitForTurn(own: number): void {
    const { control } = this.start;
    const turn = Atomics.load(control, Control.TURN);
    if (turn === own || this.shouldStop()) return;
    Atomics.wait(control, Control.TURN, turn, TURN_POLL_MS);
  }
}
