/**
 * Says in words where in the image a chunk belongs, for error messages.
 *
 * @module
 */

import { CHUNK_BYTES } from "../store/layout.ts";

/** Seqs, of which there may be millions. */
export interface SeqList {
  /** The first of them, ascending. */
  readonly first: readonly number[];
  /** Number of all. */
  readonly count: number;
}

/** A chunk that is to be read, and where its content belongs. */
export interface ChunkRef {
  /** 32 lower-case hex digits. */
  readonly id: string;
  /**
   * Lists the numbers of the chunk's places in the image, ascending; called only to describe a
   * failure.
   */
  readonly seqs: () => SeqList | readonly number[];
  /**
   * Size of the image in bytes, which ends the range of its last chunk; default: all chunks count
   * in full.
   */
  readonly imageBytes?: number;
}

/** More places than this are counted, not listed. */
const LISTED_PLACES = 4;

/**
 * Renders a chunk with its places: `"4db6…" (seq 17, image bytes 71303168 to 75497471)`.
 */
export function describeChunk(chunk: ChunkRef): string {
  const { imageBytes = Infinity } = chunk;
  const { first, count } = seqListOf(chunk);
  if (count === 0) return `"${chunk.id}"`;
  const listed = first.slice(0, LISTED_PLACES);
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

/** The fields of an error that say where a chunk belongs. */
export function seqFields(chunk: ChunkRef): { seqs: readonly number[]; seqCount: number } {
  const { first, count } = seqListOf(chunk);
  return { seqs: first, seqCount: count };
}
