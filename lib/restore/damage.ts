/**
 * Collects what workers tell of bad chunks, and says which ranges of the image they touch. Pure.
 *
 * @module
 */

import { type ImageExtent, placeOfSeq } from "./extent.ts";
import type { ChunkReason, Note } from "./messages.ts";

/** A range of the image that could not be restored: a place of a chunk of which no good copy was found. */
export interface BadRange {
  /** First byte of the image. */
  readonly offset: number;
  /** Number of bytes. */
  readonly length: number;
  /** 32 lower-case hex digits. */
  readonly chunkId: string;
  readonly reason: ChunkReason;
  /** One line. */
  readonly detail: string;
}

type BadChunkNote = Extract<Note, { type: "bad-chunk" }>;

/** The bad chunks of one restore. */
export class DamageCollector {
  readonly #extent: ImageExtent;
  readonly #notes = new Map<number, BadChunkNote>();
  readonly #chunkIds = new Set<string>();

  constructor(extent: ImageExtent) {
    this.#extent = extent;
  }

  /** Takes a note; what is known already changes nothing. @returns Whether the chunk is a new one. */
  add(note: BadChunkNote): boolean {
    const isNew = !this.#chunkIds.has(note.chunkId);
    this.#chunkIds.add(note.chunkId);
    for (const seq of note.seqs) this.#notes.set(seq, note);
    return isNew;
  }

  /** Number of bytes of the image that are bad. */
  get bytes(): number {
    return this.ranges().reduce((sum, { length }) => sum + length, 0);
  }

  /** Lists the ranges that are bad, in the order of the image, one for each place of a chunk. */
  ranges(): BadRange[] {
    const seqs = [...this.#notes.keys()].sort((a, b) => a - b);
    return seqs.map((seq) => {
      const { imageOffset: offset, length } = placeOfSeq(this.#extent, seq);
      const { chunkId, reason, detail } = this.#notes.get(seq)!;
      return { offset, length, chunkId, reason, detail };
    });
  }
}
