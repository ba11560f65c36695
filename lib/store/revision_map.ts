/**
 * Turns a revision map, JSON of up to 750 MB, into 16 bytes per seq of shared memory.
 *
 * `store.ts` finds the file, `map_file.ts` opens it, `map_parser.ts` parses it, and this file
 * stores each id at its seq. `lib/chunk` then reads the chunks.
 *
 * @module
 */

import { OsError, RevisionError } from "../errors.ts";
import { runSteps, type Steps } from "../slices.ts";
import type { ByteSource } from "./json_reader.ts";
import { CHUNK_ID_BYTES, CHUNK_ID_WORDS } from "./layout.ts";
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
 * Which chunk stands at which seq of an image. Plain data that can be posted to workers, which then
 * share `ids`.
 */
export interface RevisionMap {
  /** Size of the image in bytes. */
  readonly imageBytes: number;
  /** Number of seqs of the image. */
  readonly seqCount: number;
  /**
   * Chunk ids, 16 bytes per seq, in the byte order of their text. 16 zero bytes: the mapping does
   * not name the seq, so the image is zero there.
   */
  readonly ids: Uint8Array<SharedArrayBuffer>;
  /** Number of seqs that the mapping names. */
  readonly mappedCount: number;
}

/** A map, and the state of its file when it was read. */
export interface StoredRevisionMap extends RevisionMap {
  /** Tells a later change of the file. */
  readonly state: FileState;
}

/** How much of one or more revision maps has been read. */
export interface MapProgress {
  /** Bytes that have been read. */
  readonly doneBytes: number;
  /** Length of the files. */
  readonly totalBytes: number;
}

/** Options of {@linkcode readRevisionMap}. */
export interface ReadMapOptions {
  /** Called about once per MiB with the bytes parsed and the file's length. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

/**
 * Reads and checks a revision map. Blocks the thread: about 0.1 s for a map of 47 MB (4 TiB).
 *
 * @param path A regular file.
 * @throws {RevisionError} If the file cannot be read, changes meanwhile, or is not a valid map.
 */
export function readRevisionMap(path: string, options: ReadMapOptions = {}): StoredRevisionMap {
  return runSteps(readMapSteps(path, options));
}

/** {@linkcode readRevisionMap} in steps, for a thread that must not block. */
export function* readMapSteps(
  path: string,
  options: ReadMapOptions = {},
): Steps<StoredRevisionMap> {
  const parse = (source: ByteSource) => parseMapSteps(source, { ...options, path });
  const { result, state } = yield* readMapFile(path, parse);
  return { ...result, state };
}

/**
 * Reads and checks a revision map, and hands it to a visitor instead of keeping it.
 *
 * @param path A regular file.
 * @returns The image's size, and the number of seqs that the mapping names.
 * @throws {RevisionError} As {@linkcode readRevisionMap} does. What the visitor was told before
 *   must not be used then.
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
 * Reads only the image's size. This is quick: the whole file is read only if the size is neither at
 * its end nor before the mapping. Other faults of the map may go unnoticed.
 *
 * @param path A regular file.
 * @returns Size of the image in bytes.
 * @throws {RevisionError} If the file cannot be read, or no valid size is found.
 */
export function readRevisionSize(path: string): number {
  return runSteps(readMapFile(path, (source) => findSize(source, { path }))).result;
}

/**
 * Whether the map at a path is still the one that was read, judging by the file's state, or by its
 * content if the state is inconclusive. A map that is gone has not changed: a revision may expire
 * while it is restored.
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

/** Words compared per step. */
const WORDS_PER_STEP = 0x4_0000;

/** Whether two maps describe the same image. */
export function* isSameMap(a: RevisionMap, b: RevisionMap): Steps<boolean> {
  if (a.imageBytes !== b.imageBytes) return false;
  const one = new Uint32Array(a.ids.buffer), other = new Uint32Array(b.ids.buffer);
  for (let word = 0; word < one.length; word++) {
    if (word % WORDS_PER_STEP === 0) yield;
    if (one[word] !== other[word]) return false;
  }
  return true;
}

/** {@linkcode readRevisionMap} for any bytes. */
export function parseRevisionMap(source: ByteSource, options: ScanOptions): RevisionMap {
  return runSteps(parseMapSteps(source, options));
}

/** {@linkcode readRevisionSize} for any bytes. */
export function parseRevisionSize(source: ByteSource, options: ScanOptions): number {
  return runSteps(findSize(source, options));
}

function* parseMapSteps(source: ByteSource, options: ScanOptions): Steps<RevisionMap> {
  const collector = new IdCollector(options.path);
  const image = yield* scanMap(source, collector, options);
  return { ...image, ids: collector.ids };
}

/** Puts the ids of a map into the order of the image. */
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
      const at = seqs[index]! * CHUNK_ID_WORDS;
      for (let word = 0; word < CHUNK_ID_WORDS; word++) {
        words[at + word] = from[index * CHUNK_ID_WORDS + word]!;
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
