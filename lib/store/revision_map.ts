/**
 * Step 3 of every path: turns a revision map, JSON of up to 750 MB, into 16 bytes a seq of shared
 * memory.
 *
 * `map_file.ts` opens the file, `map_parser.ts` parses it; this file puts the ids where they
 * belong. Before: `store.ts`; the chunks are then read by lib/chunk.
 *
 * @module
 */

import { OsError, RevisionError } from "../errors.ts";
import { runSteps, type Steps } from "../slices.ts";
import type { ByteSource } from "./json_reader.ts";
import { CHUNK_ID_BYTES } from "./layout.ts";
import {
  findSize,
  type MapBatch,
  type MappedImage,
  type MapVisitor,
  scanMap,
  type ScanOptions,
} from "./map_parser.ts";
import { Errno } from "../linux/errno.ts";
import { type FileState, fileState } from "../linux/file_state.ts";
import { readMapFile } from "./map_file.ts";
import { quote } from "../wording.ts";

/**
 * Which chunk stands at which seq of an image. Plain data: it can be posted to workers, `ids` is
 * shared then.
 */
export interface RevisionMap {
  /** Size of the image in bytes. */
  readonly imageBytes: number;
  /** Number of seqs of the image. */
  readonly seqCount: number;
  /**
   * Chunk ids, 16 bytes a seq, in the byte order of their text. 16 zero bytes: the mapping does not
   * name the seq, which is all zeros then.
   */
  readonly ids: Uint8Array<SharedArrayBuffer>;
  /** Number of seqs that the mapping names. */
  readonly mappedCount: number;
}

/** A map, and the state that its file was in. */
export interface StoredRevisionMap extends RevisionMap {
  readonly state: FileState;
}

/** How much of one or several revision maps has been read. */
export interface MapProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** Options of {@linkcode readRevisionMap}. */
export interface ReadMapOptions {
  /** Called about once a MiB with the bytes parsed and the file's length. */
  readonly onProgress?: ScanOptions["onProgress"];
}

/** Number of u32 words of an id. */
const ID_WORDS = CHUNK_ID_BYTES / 4;

/**
 * Reads and checks a revision map. Blocks the thread while it runs (a 47 MB map, 4 TiB: about 0.1
 * s).
 *
 * @param path A regular file.
 * @throws {RevisionError} If the file cannot be read, changes meanwhile, or is no valid map.
 */
export function readRevisionMap(path: string, options: ReadMapOptions = {}): StoredRevisionMap {
  return runSteps(readMapSteps(path, options));
}

/** {@linkcode readRevisionMap} in steps, for a thread that has other things to do as well. */
export function* readMapSteps(
  path: string,
  options: ReadMapOptions = {},
): Steps<StoredRevisionMap> {
  const parse = (source: ByteSource) => parseMapSteps(source, { ...options, path });
  const { result, state } = yield* readMapFile(path, parse);
  return { ...result, state };
}

/**
 * Reads and checks a revision map, and keeps nothing of it but what the visitor does.
 *
 * @param path A regular file.
 * @returns The image's size, and the number of seqs that the mapping names.
 * @throws {RevisionError} As {@linkcode readRevisionMap}. What the visitor was told before is not
 *   to be used then.
 */
export function* scanRevisionMap(
  path: string,
  visitor: MapVisitor,
  options: ReadMapOptions = {},
): Steps<MappedImage & { mappedCount: number }> {
  const scan = (source: ByteSource) => scanMap(source, visitor, { ...options, path });
  return (yield* readMapFile(path, scan)).result;
}

/**
 * Reads no more than the image's size. That is quick: the whole file is read only if the size
 * stands neither at its end nor before the mapping. A map with other faults may go unnoticed.
 *
 * @param path A regular file.
 * @returns Size of the image in bytes.
 * @throws {RevisionError} If the file cannot be read, or no valid size is found.
 */
export function readRevisionSize(path: string): number {
  return runSteps(readMapFile(path, (source) => findSize(source, { path }))).result;
}

/**
 * Tells whether a map still stands where it was read, by its file's state, and if that says
 * nothing, by its content. A map that is gone has not changed: a revision may expire while it is
 * restored.
 */
export function* isStillThere(map: StoredRevisionMap, path: string): Steps<boolean> {
  let state: FileState;
  try {
    state = fileState(path);
  } catch (error) {
    return error instanceof OsError && error.errno === Errno.ENOENT;
  }
  if (state.version === map.state.version && map.state.isSettled) return true;
  try {
    return yield* isSameMap(yield* readMapSteps(path), map);
  } catch (error) {
    if (error instanceof RevisionError) return false;
    throw error;
  }
}

/** Words that are compared between two pauses. */
const WORDS_PER_STEP = 0x4_0000;

/** Tells whether two maps stand for the same image. */
export function* isSameMap(a: RevisionMap, b: RevisionMap): Steps<boolean> {
  if (a.imageBytes !== b.imageBytes) return false;
  const one = new Uint32Array(a.ids.buffer), other = new Uint32Array(b.ids.buffer);
  for (let word = 0; word < one.length; word++) {
    if (word % WORDS_PER_STEP === 0) yield;
    if (one[word] !== other[word]) return false;
  }
  return true;
}

/** {@linkcode readRevisionMap} on any bytes. */
export function parseRevisionMap(source: ByteSource, options: ScanOptions): RevisionMap {
  return runSteps(parseMapSteps(source, options));
}

/** {@linkcode readRevisionSize} on any bytes. */
export function parseRevisionSize(source: ByteSource, options: ScanOptions): number {
  return runSteps(findSize(source, options));
}

function* parseMapSteps(source: ByteSource, options: ScanOptions): Steps<RevisionMap> {
  const collector = new IdCollector(options.path);
  const image = yield* scanMap(source, collector, options);
  return { ...image, ids: collector.ids };
}

/** Puts the entries of a map in the order of the image. */
class IdCollector implements MapVisitor {
  readonly #path: string;
  ids = new Uint8Array(new SharedArrayBuffer(0));
  #words: Uint32Array = new Uint32Array(0);

  constructor(path: string) {
    this.#path = path;
  }

  begin({ seqCount }: MappedImage): void {
    this.ids = allocateIds(seqCount, this.#path);
    this.#words = new Uint32Array(this.ids.buffer);
  }

  take({ count, seqs, words: from }: MapBatch): void {
    const words = this.#words;
    for (let index = 0; index < count; index++) {
      const at = seqs[index]! * ID_WORDS;
      for (let word = 0; word < ID_WORDS; word++) {
        words[at + word] = from[index * ID_WORDS + word]!;
      }
    }
  }
}

function allocateIds(seqCount: number, path: string): Uint8Array<SharedArrayBuffer> {
  try {
    return new Uint8Array(new SharedArrayBuffer(seqCount * CHUNK_ID_BYTES));
  } catch (cause) {
    throw new RevisionError(
      `Cannot read revision map ${quote(path)}: no memory for ${seqCount} chunk ids`,
      { path },
      { cause },
    );
  }
}
