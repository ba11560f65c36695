/**
 * Refers to a chunk that is to be read, and describes it in error messages by where it belongs in
 * the image.
 *
 * @module
 */

import { CHUNK_BYTES } from "../store/layout.ts";

/** A list of seqs, possibly millions. */
export interface SeqList {
  /** The first few seqs, ascending. */
  readonly first: readonly number[];
  /** Number of all seqs. */
  readonly count: number;
}

/** A chunk to be read, and where its content belongs. */
export interface ChunkRef {
  /** 32 lower-case hex digits. */
  readonly id: string;
  /** Lists the seqs of the chunk in the image, ascending; called only to describe a failure. */
  readonly seqs: () => SeqList | readonly number[];
  /** Size of the image, where its last seq ends; default: all seqs count in full. */
  readonly imageBytes?: number;
}

/** How many seqs a message lists; it counts the others. */
const LISTED_SEQS = 4;

/** Describes a chunk with its seqs: `"4db6…" (seq 17, image bytes 71303168 to 75497471)`. */
export function describeChunk(chunk: ChunkRef): string {
  const { imageBytes = Infinity } = chunk;
  const { first, count } = seqListOf(chunk);
  if (count === 0) return `"${chunk.id}"`;
  const listed = first.slice(0, LISTED_SEQS);
  const more = count - listed.length;
  const ranges = listed.map((seq) =>
    `${seq * CHUNK_BYTES} to ${Math.min((seq + 1) * CHUNK_BYTES, imageBytes) - 1}`
  );
  const tail = more > 0 ? ` and ${more} more` : "";
  const noun = count === 1 ? "seq" : "seqs";
  return `"${chunk.id}" (${noun} ${listed.join(", ")}${tail}, image bytes ${
    ranges.join(", ")
  }${tail})`;
}

function seqListOf(chunk: ChunkRef): SeqList {
  const seqs = chunk.seqs();
  return "count" in seqs ? seqs : { first: seqs, count: seqs.length };
}

/** Returns the fields of an error that say where a chunk belongs. */
export function seqFields(chunk: ChunkRef): { seqs: readonly number[]; seqCount: number } {
  const { first, count } = seqListOf(chunk);
  return { seqs: first, seqCount: count };
}
