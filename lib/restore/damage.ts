/**
 * Collects what workers report of bad chunks, and says which ranges of the image are lost. Pure.
 *
 * A chunk may stand at millions of seqs, and millions of chunks may be bad. So neighbouring seqs of
 * a chunk are one range, and only the first ranges are kept; the totals are complete.
 *
 * @module
 */

import { ChunkIdSet } from "../store/chunk_id_set.ts";
import { wordsOf } from "../store/chunk_ids.ts";
import { chunkIdFromHex } from "../store/layout.ts";
import { type ImageExtent, partOfSeq, seqsOfExtent } from "../work/extent.ts";
import type { ChunkReason, Note } from "../work/messages.ts";

/** A range of the image that could not be restored: no good copy of its chunk was found. */
export interface BadRange {
  /** First byte of the image. */
  readonly offset: number;
  /** Number of bytes. */
  readonly length: number;
  /** 32 lower-case hex digits. */
  readonly chunkId: string;
  /** What is wrong with the chunk. */
  readonly reason: ChunkReason;
  /** One line. */
  readonly detail: string;
}

/** What is lost because of bad chunks. */
export interface Loss {
  /** The ranges that were found first, at most 100,000, in the order of the image. */
  readonly badRanges: readonly BadRange[];
  /** Number of all ranges. */
  readonly badRangeCount: number;
  /** Number of bytes in all ranges. */
  readonly badBytes: number;
  /** Number of bad chunks. */
  readonly badChunks: number;
}

type BadChunkNote = Extract<Note, { type: "bad-chunk" }>;

/** A chunk is bad, and the work goes on. */
export interface BadChunkEvent {
  /** Tells events apart. */
  readonly type: "bad-chunk";
  /** 32 lower-case hex digits. */
  readonly chunkId: string;
  /** One line. */
  readonly detail: string;
}

/** Most ranges that are kept. */
const RANGES_MAX = 100_000;

/** Neighbouring seqs of a chunk. */
interface Run extends Pick<BadChunkNote, "chunkId" | "reason" | "detail"> {
  readonly firstSeq: number;
  endSeq: number;
}

/** The bad chunks of one restore. */
export class DamageCollector {
  readonly #extent: ImageExtent;
  readonly #firstSeq: number;
  /** One bit for each seq of the extent; takes memory only where bits are set. */
  readonly #bad: Uint32Array;
  readonly #chunks = new ChunkIdSet();
  readonly #runs: Run[] = [];
  #droppedRuns = 0;
  #bytes = 0;

  constructor(extent: ImageExtent) {
    const { firstSeq, endSeq } = seqsOfExtent(extent);
    this.#extent = extent;
    this.#firstSeq = firstSeq;
    this.#bad = new Uint32Array(Math.ceil((endSeq - firstSeq) / 32));
  }

  /** Returns a function that takes workers' notes, and reports each bad chunk once. */
  listener(onEvent: (event: BadChunkEvent) => void): (note: Note) => void {
    return (note) => {
      if (note.type !== "bad-chunk") return;
      const { chunkId, detail } = note;
      if (this.add(note)) onEvent({ type: "bad-chunk", chunkId, detail });
    };
  }

  /** Takes a note; taking it again changes nothing. @returns Whether the chunk is a new one. */
  add(note: BadChunkNote): boolean {
    const chunks = this.#chunks.size;
    this.#chunks.add(wordsOf(chunkIdFromHex(note.chunkId)), 0);
    for (let at = 0; at < note.runs.length; at += 2) {
      this.#addRun(note, note.runs[at]!, note.runs[at]! + note.runs[at + 1]!);
    }
    return this.#chunks.size > chunks;
  }

  /** Number of bytes of the image that are bad. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the chunk at a seq is bad. */
  isBad(seq: number): boolean {
    const index = seq - this.#firstSeq;
    return (this.#bad[index >>> 5]! >>> (index & 31) & 1) !== 0;
  }

  /** Returns what is lost. */
  loss(): Loss {
    const runs: Run[] = [];
    for (const run of this.#runs.toSorted((a, b) => a.firstSeq - b.firstSeq)) {
      const last = runs.at(-1);
      // A stream reports neighbours one by one.
      if (last && last.endSeq === run.firstSeq && last.chunkId === run.chunkId) {
        last.endSeq = run.endSeq;
      } else runs.push({ ...run });
    }
    return {
      badRanges: runs.map(({ chunkId, reason, detail, firstSeq, endSeq }) => {
        const offset = partOfSeq(this.#extent, firstSeq).imageOffset;
        const last = partOfSeq(this.#extent, endSeq - 1);
        const length = last.imageOffset + last.length - offset;
        return { offset, length, chunkId, reason, detail };
      }),
      badRangeCount: runs.length + this.#droppedRuns,
      badBytes: this.#bytes,
      badChunks: this.#chunks.size,
    };
  }

  /** Adds neighbouring seqs, except those that are known. */
  #addRun(note: BadChunkNote, firstSeq: number, endSeq: number): void {
    let start = firstSeq;
    for (let seq = firstSeq; seq < endSeq; seq++) {
      const index = seq - this.#firstSeq;
      const word = index >>> 5, bit = 1 << (index & 31);
      if ((this.#bad[word]! & bit) === 0) {
        this.#bad[word]! |= bit;
        continue;
      }
      this.#keep(note, start, seq);
      start = seq + 1;
    }
    this.#keep(note, start, endSeq);
  }

  #keep(note: BadChunkNote, firstSeq: number, endSeq: number): void {
    if (firstSeq >= endSeq) return;
    const first = partOfSeq(this.#extent, firstSeq), last = partOfSeq(this.#extent, endSeq - 1);
    this.#bytes += last.imageOffset + last.length - first.imageOffset;
    // Without the note's runs, which may take a lot of memory.
    const { chunkId, reason, detail } = note;
    if (this.#runs.length < RANGES_MAX) {
      this.#runs.push({ chunkId, reason, detail, firstSeq, endSeq });
    } else this.#droppedRuns++;
  }
}
