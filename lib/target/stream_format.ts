/**
 * What a stream consists of: the bytes of the image one after the other, or the records of an `rbd`
 * diff (`rbd_diff.ts`). Used in the worker, on top of `StreamWriter`.
 *
 * @module
 */

import * as codec from "lzo-wasm";
import { rbdDataHeader, rbdZeroRecord } from "./rbd_diff.ts";
import type { StreamFormat } from "./stream_frame.ts";
import { GRANULE_BYTES } from "./target.ts";
import type { StreamWriter } from "./stream_writer.ts";
import { zeroRuns } from "./zero_runs.ts";

/** Writes pieces of an image to a stream, in order. */
export interface FormattedStream {
  /**
   * Writes a part of a decoded chunk.
   *
   * @param output Index of the codec's output buffer that holds it.
   * @param part.start First byte in that buffer, a multiple of 16.
   * @param part.length Number of bytes, > 0.
   * @param part.offset Where in the image they lie.
   */
  writeChunk(output: number, part: { start: number; length: number; offset: number }): void;
  /** Writes zeros, at an offset of the image. */
  writeZeros(offset: number, length: number): void;
}

/** Puts a format on top of a writer. */
export function createStreamFormat(
  format: StreamFormat,
  writer: StreamWriter,
): FormattedStream {
  return format === "raw" ? new RawStream(writer) : new RbdDiffStream(writer);
}

class RawStream implements FormattedStream {
  readonly #writer: StreamWriter;

  constructor(writer: StreamWriter) {
    this.#writer = writer;
  }

  writeChunk(output: number, { start, length }: { start: number; length: number }): void {
    this.#writer.write(codec.outputs[output]!.subarray(start, start + length));
  }

  writeZeros(_offset: number, length: number): void {
    this.#writer.writeZeros(length);
  }
}

class RbdDiffStream implements FormattedStream {
  readonly #writer: StreamWriter;

  constructor(writer: StreamWriter) {
    this.#writer = writer;
  }

  writeChunk(output: number, part: { start: number; length: number; offset: number }): void {
    // A diff is of whole images, so that a chunk is always wanted from its start on.
    const content = codec.outputs[output]!;
    const flags = codec.scanZeros(output, { bytes: part.length, granuleBytes: GRANULE_BYTES });
    for (const run of zeroRuns(flags, part.length)) {
      const offset = part.offset + run.offset;
      if (run.isZero) {
        this.writeZeros(offset, run.length);
      } else {
        this.#writer.write(rbdDataHeader(offset, run.length));
        this.#writer.write(content.subarray(run.offset, run.offset + run.length));
      }
    }
  }

  writeZeros(offset: number, length: number): void {
    this.#writer.write(rbdZeroRecord(offset, length));
  }
}
