/**
 * Finds out what a target holds already: reads it and compares it with chunk ids, with decoded
 * bytes, or with zeros.
 *
 * Uses the codec's second output buffer only, so the content of the first one stays.
 *
 * @module
 */

import * as codec from "../../wasm/mod.ts";
import { CHUNK_BYTES, chunkIdToHex } from "../store/layout.ts";
import type { BlockIo } from "../target/block_io.ts";
import { GRANULE_BYTES } from "../target/target.ts";
import { zeroRuns } from "../target/zero_runs.ts";
import type { ChunkPart } from "./extent.ts";

/** The codec's output buffer that the target is read into. */
const OUTPUT = 1;

/** A part of the target that is zeros, or must be written to become zeros. */
export interface ComparedRange {
  readonly offset: number;
  readonly length: number;
  readonly isZero: boolean;
  /** Whether that was found out without reading. */
  readonly isHole: boolean;
}

/** Compares a target with what it should hold. */
export class TargetComparer {
  readonly #io: BlockIo;

  /** @param io Of a handle from `Target.comparable()`. */
  constructor(io: BlockIo) {
    this.#io = io;
  }

  /**
   * Whether the target holds the chunk with the given id. If only a part of the chunk belongs
   * there, the answer is no, even if the bytes are the same: a part has no id.
   */
  holdsChunk(id: string, part: ChunkPart): boolean {
    if (!this.#read(part.targetOffset, part.length)) return false;
    return chunkIdToHex(codec.murmur3(OUTPUT, part.length)) === id;
  }

  /** Whether the target holds the given bytes where a part of a chunk belongs. */
  holdsBytes(content: Uint8Array, part: ChunkPart): boolean {
    if (!this.#read(part.targetOffset, part.length)) return false;
    const found = codec.outputs[OUTPUT]!;
    for (let index = 0; index < part.length; index++) {
      if (found[index] !== content[index]) return false;
    }
    return true;
  }

  /** Splits a range into parts that are zeros and parts that differ; together they cover it. */
  *comparedToZeros(offset: number, length: number): Generator<ComparedRange, void> {
    for (const range of this.#io.ranges(offset, length)) {
      if (range.content !== "unknown") {
        const { offset, length, content } = range;
        yield { offset, length, isZero: content === "zeros", isHole: true };
        continue;
      }
      const end = range.offset + range.length;
      for (let at = range.offset; at < end; at += CHUNK_BYTES) {
        yield* this.#scan(at, Math.min(CHUNK_BYTES, end - at));
      }
    }
  }

  *#scan(offset: number, length: number): Generator<ComparedRange, void> {
    if (!this.#read(offset, length)) return yield { offset, length, isZero: false, isHole: false };
    const flags = codec.scanZeros(OUTPUT, { bytes: length, granuleBytes: GRANULE_BYTES });
    // A copy, because whoever gets a range may use the codec before asking for the next.
    for (const run of zeroRuns(flags.slice(), length)) {
      yield { ...run, offset: offset + run.offset, isHole: false };
    }
  }

  #read(offset: number, length: number): boolean {
    return this.#io.read(codec.outputs[OUTPUT]!, offset, length);
  }
}
