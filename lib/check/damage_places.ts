/**
 * Finds the places of bad chunks in images, by reading the maps again.
 *
 * A chunk may stand at millions of seqs, and millions of chunks may be bad. Neighbouring seqs of a
 * chunk are one place. Details are kept only of the first bad chunks and places; the totals of a
 * revision are complete.
 *
 * @module
 */

import { chunkPath, inFile } from "../chunk/chunk_file.ts";
import type { ChunkReason, Note } from "../work/messages.ts";
import type { Steps } from "../slices.ts";
import { ChunkIdSet } from "../store/chunk_id_set.ts";
import { wordsOf } from "../store/chunk_ids.ts";
import { bytesOfSeq, CHUNK_BYTES, chunkIdFromHex } from "../store/layout.ts";
import type { MapBatch, MappedImage, MapVisitor } from "../store/map_parser.ts";
import { type ReadMapOptions, scanRevisionMap } from "../store/revision_map.ts";
import { quote } from "../wording.ts";

/** A range of an image that is lost because of a bad chunk. */
export interface DamagedPlace {
  /** The revision's name. */
  readonly revision: string;
  /** First byte of its image that is lost. */
  readonly offset: number;
  /** Number of bytes. */
  readonly length: number;
}

/** A bad chunk with its places, in the order of revisions and images. */
export interface DamagedChunk {
  /** The backup directory. */
  readonly basedir: string;
  /** 32 lower-case hex digits. */
  readonly chunkId: string;
  /** Path of the chunk's file. */
  readonly path: string;
  /** What is wrong with it. */
  readonly reason: ChunkReason;
  /** One line. */
  readonly detail: string;
  /** Where its bytes are missing. */
  readonly places: readonly DamagedPlace[];
}

/** What a revision loses because of bad chunks. */
export interface RevisionDamage {
  /** Number of its bad chunks. */
  readonly chunks: number;
  /** Number of its bytes that are lost. */
  readonly bytes: number;
  /** Number of ranges of its image that are lost. */
  readonly ranges: number;
}

/** A chunk that workers reported. */
interface Suspect {
  readonly chunkId: string;
  /** What is wrong with it. */
  readonly reason: ChunkReason;
  readonly detail: string;
  readonly places: DamagedPlace[];
}

/** Number of bad chunks whose details are kept. */
const SUSPECTS_MAX = 50_000;

/** Most places that are kept. */
const DAMAGED_PLACES_MAX = 100_000;

/** Collects what workers report of chunks, and finds their places. */
export class DamageFinder {
  readonly #basedir: string;
  readonly #ids = new ChunkIdSet();
  /** By the number of the chunk in the set. */
  readonly #suspects: Suspect[] = [];
  /** Length of short chunks, by number. Seqs that need no more than that are not damaged. */
  readonly #shortBytes = new Map<number, number>();
  /** Chunks that do not have all the bytes that some image needs, by number. */
  readonly #missed = new BitSet();
  #places = 0;

  constructor(basedir: string) {
    this.#basedir = basedir;
  }

  /** Number of chunks that workers reported. */
  get suspectCount(): number {
    return this.#ids.size;
  }

  /** Number of chunks that lack bytes some image needs, among those whose places were looked up. */
  get damagedCount(): number {
    return this.#missed.count;
  }

  /** Number of chunks that are bad for any image: at least so many are damaged. */
  get badCount(): number {
    return this.#ids.size - this.#shortBytes.size;
  }

  /** Takes a worker's note. */
  add(note: Note): void {
    if (note.type === "bad-chunk") {
      const { chunkId, reason, detail } = note;
      this.#add({ chunkId, reason, detail, places: [] });
    } else if (note.type === "short-chunk") {
      const { chunkId, bytes } = note;
      const detail = `Cannot use chunk ${quote(chunkId)} in full: it holds ${bytes} bytes` +
        inFile(chunkPath(this.#basedir, chunkId));
      const number = this.#add({ chunkId, reason: "size", detail, places: [] });
      this.#shortBytes.set(number, bytes);
    }
  }

  #add(suspect: Suspect): number {
    const number = this.#ids.size;
    this.#ids.add(wordsOf(chunkIdFromHex(suspect.chunkId)), 0);
    if (number < SUSPECTS_MAX) this.#suspects.push(suspect);
    return number;
  }

  /**
   * Finds the places of all bad chunks in a revision.
   *
   * @throws {RevisionError} If the map cannot be read any more.
   */
  *findIn(
    { name, mapPath }: { name: string; mapPath: string },
    options: ReadMapOptions = {},
  ): Steps<RevisionDamage> {
    if (this.#ids.size === 0) return { chunks: 0, bytes: 0, ranges: 0 };
    const room = DAMAGED_PLACES_MAX - this.#places;
    const collector = new RangeCollector({ ids: this.#ids, shortBytes: this.#shortBytes, room });
    yield* scanRevisionMap(mapPath, collector, options);
    collector.end();
    for (const { number, offset, length } of collector.kept()) {
      this.#suspects[number]?.places.push({ revision: name, offset, length });
    }
    this.#places += collector.kept().length;
    this.#missed.addAll(collector.missed);
    const { bytes, ranges } = collector;
    return { chunks: collector.missed.count, bytes, ranges };
  }

  /**
   * Lists the bad chunks with their places, as far as they were looked up. Leaves out short ones
   * that are long enough for all images.
   */
  damaged(): DamagedChunk[] {
    return this.#suspects.filter(({ places }) => places.length > 0).map(
      ({ chunkId, reason, detail, places }) => ({
        basedir: this.#basedir,
        chunkId,
        path: chunkPath(this.#basedir, chunkId),
        reason,
        detail,
        places,
      }),
    );
  }
}

/** Neighbouring seqs of one chunk, in bytes of the image. */
interface ChunkRange {
  /** Of the chunk. */
  readonly number: number;
  readonly offset: number;
  readonly length: number;
}

/** Collects the ranges of an image that some chunks cover. */
class RangeCollector implements MapVisitor {
  readonly #ids: ChunkIdSet;
  readonly #shortBytes: ReadonlyMap<number, number>;
  readonly #room: number;
  readonly #kept: ChunkRange[] = [];
  #imageBytes = 0;
  // The range that may still grow: its chunk, its first seq, and the seq after its last one.
  #number = -1;
  #firstSeq = 0;
  #endSeq = 0;
  /** Bytes and number of all ranges. */
  bytes = 0;
  ranges = 0;
  /** Their chunks, by number. */
  readonly missed = new BitSet();

  /** @param options.room Most ranges that are kept. */
  constructor(
    options: { ids: ChunkIdSet; shortBytes: ReadonlyMap<number, number>; room: number },
  ) {
    this.#ids = options.ids;
    this.#shortBytes = options.shortBytes;
    this.#room = options.room;
  }

  begin({ imageBytes }: MappedImage): void {
    this.#imageBytes = imageBytes;
  }

  take({ count, seqs, words }: MapBatch): void {
    for (let index = 0; index < count; index++) {
      const number = this.#ids.numberOf(words, 4 * index);
      if (number >= 0) this.#add(number, seqs[index]!);
    }
  }

  /** Ends the range that may still grow. */
  end(): void {
    if (this.#number < 0) return;
    const offset = this.#firstSeq * CHUNK_BYTES;
    const length = Math.min(this.#endSeq * CHUNK_BYTES, this.#imageBytes) - offset;
    this.bytes += length;
    this.ranges++;
    this.missed.add(this.#number);
    if (this.#kept.length < this.#room) this.#kept.push({ number: this.#number, offset, length });
    this.#number = -1;
  }

  /** The ranges that come first in the map's file, in the order of the image. */
  kept(): readonly ChunkRange[] {
    return this.#kept.sort((a, b) => a.offset - b.offset);
  }

  #add(number: number, seq: number): void {
    const shortBytes = this.#shortBytes.get(number);
    if (shortBytes !== undefined && bytesOfSeq(this.#imageBytes, seq) <= shortBytes) return;
    if (number === this.#number && seq === this.#endSeq) {
      this.#endSeq++;
      return;
    }
    this.end();
    this.#number = number;
    this.#firstSeq = seq;
    this.#endSeq = seq + 1;
  }
}

/** A set of small numbers, one bit each. */
class BitSet {
  #bits = new Uint32Array(64);
  /** How many there are. */
  count = 0;

  add(number: number): void {
    const word = number >>> 5, bit = 1 << (number & 31);
    while (word >= this.#bits.length) {
      const bits = new Uint32Array(2 * this.#bits.length);
      bits.set(this.#bits);
      this.#bits = bits;
    }
    if ((this.#bits[word]! & bit) !== 0) return;
    this.#bits[word]! |= bit;
    this.count++;
  }

  addAll(others: BitSet): void {
    for (const [word, bits] of others.#bits.entries()) {
      for (let bit = 0; bits >>> bit !== 0; bit++) {
        if ((bits >>> bit & 1) !== 0) this.add(32 * word + bit);
        if (bit === 31) break;
      }
    }
  }
}
