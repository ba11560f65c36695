/**
 * Writes an image to a target that takes bytes at any offset (`target/block_io.ts`). Each distinct
 * chunk is decoded once and written wherever it belongs.
 *
 * An update compares the target first (`target_comparer.ts`): what it holds already is neither
 * decoded nor written.
 *
 * @module
 */

import * as codec from "../../wasm/mod.ts";
import { chunkIdAt } from "../store/chunk_ids.ts";
import { bytesOfSeq, CHUNK_BYTES } from "../store/layout.ts";
import { openBlockIo } from "../target/block_kinds.ts";
import type { BlockIo } from "../target/block_io.ts";
import { type BlockHandle, GRANULE_BYTES } from "../target/target.ts";
import { runsBetween } from "../target/zero_runs.ts";
import { partOfSeq, targetEndOf, targetOffsetOf } from "./extent.ts";
import { type ChunkJobs, NO_SEQ, type SourceImage } from "./jobs.ts";
import { Control, Counter, type StartMessage } from "./messages.ts";
import { chunkAt, SeqRuns, type WantedChunk } from "./seq_runs.ts";
import { TargetComparer } from "./target_comparer.ts";
import { type Notify, Work } from "./work.ts";

/** What both tasks work on. */
interface BlockTask {
  readonly target: BlockHandle;
  readonly image: SourceImage;
  readonly chunks: ChunkJobs;
  /** Ranges of zeros as pairs: first byte of the image, number of bytes. */
  readonly zeroRanges: Float64Array<SharedArrayBuffer>;
}

/** Write all chunks and zeros to a file or device. */
export interface WriteTask extends BlockTask {
  readonly kind: "write";
}

/** Compare a file or device with the image, and write what differs. */
export interface UpdateTask extends BlockTask {
  readonly kind: "update";
  /** From `Target.comparable()`. */
  readonly target: BlockHandle;
  /** Whether what differs is written, or only reported. */
  readonly mayWrite: boolean;
}

/** Writes chunks and zeros to any offset. */
export class RandomAccessWork extends Work<WriteTask | UpdateTask> {
  readonly #io: BlockIo;
  readonly #comparer: TargetComparer | null;
  /**
   * The codec's output buffer that the next chunk is decoded into. A write task takes both in turn,
   * so that one may be written meanwhile; of an update the comparer has the other one.
   */
  #output = 0;

  constructor(start: StartMessage<WriteTask | UpdateTask>, notify: Notify) {
    super(start, notify);
    const { task } = start;
    const { extent } = task.image;
    this.#io = openBlockIo(task.target, {
      extent: { start: extent.targetStart, end: targetEndOf(extent) },
      shouldStop: this.shouldStop,
    });
    this.#comparer = task.kind === "update" ? new TargetComparer(this.#io) : null;
  }

  override run(): void {
    using io = this.#io;
    // Zeros first: on thin storage they give back the room that the data will need.
    this.#doZeroRanges();
    const { image: { ids }, chunks: { firstSeqs } } = this.task;
    const jobCount = firstSeqs.length;
    const idOfJob = (job: number) => chunkIdAt(ids, firstSeqs[job]!);
    for (const job of this.takeJobs(jobCount)) {
      // Updates usually need few chunks, so do not prefetch.
      if (!this.#comparer) this.prefetchAfter(job, jobCount, idOfJob);
      this.#doChunk(firstSeqs[job]!);
    }
    io.drain();
  }

  #doZeroRanges(): void {
    const { zeroRanges, image: { extent } } = this.task;
    while (!this.shouldStop()) {
      const index = 2 * this.take(Control.NEXT_ZERO_RANGE);
      const imageOffset = zeroRanges[index], length = zeroRanges[index + 1];
      if (imageOffset === undefined || length === undefined) return;
      const offset = targetOffsetOf(extent, imageOffset);
      if (this.#comparer) {
        this.#clearDifferent(this.#comparer, offset, length);
      } else {
        this.count(Counter.WRITTEN, this.#io.zero(offset, length));
        this.count(Counter.IMAGE, length);
      }
    }
  }

  /** Reads a range that should be zeros, and clears the parts that are not. */
  #clearDifferent(comparer: TargetComparer, offset: number, length: number): void {
    const pieces = comparer.comparedToZeros(offset, length);
    for (const { offset: at, length: bytes, isZero, isHole } of pieces) {
      if (this.shouldStop()) return;
      if (isZero && isHole) this.count(Counter.FREE, bytes);
      if (isZero) this.count(Counter.SAME, bytes);
      else if (this.#mayWrite) this.#clear(at, bytes);
      else this.notify({ type: "mismatch", offset: at, length: bytes });
      this.count(Counter.IMAGE, bytes);
    }
  }

  #doChunk(firstSeq: number): void {
    if (this.#comparer) {
      const seqs = this.#differentSeqs(this.#comparer, firstSeq);
      if (seqs.count > 0) this.#replace(this.#comparer, firstSeq, seqs);
      return;
    }
    const { image, chunks } = this.task;
    const { nextSeqs } = chunks;
    const chunk = chunkAt(image, firstSeq, () => SeqRuns.ofJob(chunks, firstSeq));
    const { isGood, flags } = this.#decode(chunk, firstSeq);
    for (let seq = firstSeq; seq !== NO_SEQ && !this.shouldStop(); seq = nextSeqs[seq]!) {
      if (isGood) this.#write(seq, flags);
      else this.#clearSeq(seq);
    }
    this.#output = 1 - this.#output;
  }

  /**
   * Decodes a chunk into the output buffer whose turn it is.
   *
   * @returns Whether the chunk is good, and which of its granules are zeros; `null` if zeros are
   *   written like data.
   */
  #decode(chunk: WantedChunk, firstSeq: number): { isGood: boolean; flags: Uint8Array | null } {
    // The first seq needs as much as any other: only the image's last seq may be short.
    const needed = bytesOfSeq(this.task.image.imageBytes, firstSeq);
    this.#io.drain(codec.outputs[this.#output]!);
    const isGood = this.decode(chunk, this.#output, needed) !== null;
    if (!isGood || !this.#io.tellsZeros) return { isGood, flags: null };
    const flags = codec.scanZeros(this.#output, { bytes: needed, granuleBytes: GRANULE_BYTES });
    return { isGood, flags };
  }

  /** Lists the seqs of a chunk at which the target does not hold it, or perhaps not. */
  #differentSeqs(comparer: TargetComparer, firstSeq: number): SeqRuns {
    const { image: { ids, extent }, chunks: { nextSeqs } } = this.task;
    const id = chunkIdAt(ids, firstSeq);
    const seqs = new SeqRuns();
    for (let seq = firstSeq; seq !== NO_SEQ && !this.shouldStop(); seq = nextSeqs[seq]!) {
      const part = partOfSeq(extent, seq);
      if (comparer.holdsChunk(id, part)) this.#countSame(part.length);
      else seqs.add(seq);
    }
    return seqs;
  }

  /** Decodes a chunk and writes it where the target holds something else. */
  #replace(comparer: TargetComparer, firstSeq: number, seqs: SeqRuns): void {
    const { image } = this.task;
    const { isGood, flags } = this.#decode(chunkAt(image, firstSeq, () => seqs), firstSeq);
    for (const seq of seqs) {
      if (this.shouldStop()) return;
      const part = partOfSeq(image.extent, seq);
      const { chunkOffset, length, targetOffset } = part;
      const content = codec.outputs[this.#output]!.subarray(chunkOffset, chunkOffset + length);
      // The ids did not match, but a part of a chunk has none, and without verification the chunk's
      // bytes may not match its id either.
      const mayBeSame = part.length < CHUNK_BYTES || !this.start.verify;
      if (isGood && mayBeSame && comparer.holdsBytes(content, part)) {
        this.#countSame(length);
      } else if (!this.#mayWrite) {
        this.notify({ type: "mismatch", offset: targetOffset, length });
        this.count(Counter.IMAGE, length);
      } else if (isGood) {
        this.#write(seq, flags);
      } else {
        this.#clearSeq(seq);
      }
    }
  }

  get #mayWrite(): boolean {
    return this.task.kind === "write" || this.task.mayWrite;
  }

  /** @param flags One byte a granule, 1 for zeros; `null` to write everything as data. */
  #write(seq: number, flags: Uint8Array | null): void {
    const { chunkOffset, length, targetOffset } = partOfSeq(this.task.image.extent, seq);
    const content = codec.outputs[this.#output]!;
    let written = 0;
    for (const run of runsBetween(flags, chunkOffset, chunkOffset + length)) {
      if (this.shouldStop()) return;
      const offset = targetOffset + run.offset - chunkOffset;
      if (run.isZero) {
        written += this.#io.zero(offset, run.length);
      } else {
        this.#io.write(content.subarray(run.offset, run.offset + run.length), offset);
        written += run.length;
      }
    }
    this.count(Counter.WRITTEN, written);
    this.count(Counter.IMAGE, length);
  }

  /** Leaves zeros in place of a bad chunk. */
  #clearSeq(seq: number): void {
    const { length, targetOffset } = partOfSeq(this.task.image.extent, seq);
    this.#clear(targetOffset, length);
    this.count(Counter.IMAGE, length);
  }

  #clear(offset: number, length: number): void {
    this.count(Counter.WRITTEN, this.#io.clear(offset, length));
  }

  #countSame(bytes: number): void {
    this.count(Counter.SAME, bytes);
    this.count(Counter.IMAGE, bytes);
  }
}
