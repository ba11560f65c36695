/**
 * Backup directories whose revisions are described by letters, one a seq, and restores of them.
 *
 * A lower-case letter is a chunk without granules of zeros, an upper-case one has some; "." is one
 * that the map does not name, "0" the all-zero chunk. The same letter means the same chunk.
 *
 * @module
 */

import { restore, type RestoreEvent, type RestoreOptions } from "../../lib/restore/restore.ts";
import type { RestoreReport } from "../../lib/restore/report.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { GRANULE_BYTES } from "../../lib/target/target.ts";
import "../support/libraries.ts";
import { addRevision, chunkFile, imageOf, makeStore } from "../support/store_builder.ts";
import type { ChunkContent } from "../support/store_builder.ts";
import { copyFifo, makeFifo, Scratch } from "../support/machine.ts";

export { CHUNK_BYTES, GRANULE_BYTES };

type Bytes = Uint8Array<ArrayBuffer>;

const contents = new Map<string, Bytes>();

/** The full chunk that a letter stands for. */
function contentOf(letter: string): Bytes {
  const known = contents.get(letter);
  if (known) return known;
  const seed = letter.codePointAt(0)!;
  const words = new Uint32Array(CHUNK_BYTES / 4);
  for (let at = 0; at < words.length; at++) {
    words[at] = Math.imul(at % 4099 + 1, 0x9e3779b1) ^ Math.imul(seed, 0x85ebca6b);
  }
  const bytes = new Uint8Array(words.buffer);
  if (letter !== letter.toLowerCase()) {
    const zeroed: [number, number][] = [[0, 2], [20, 30], [60, 64]];
    for (const [from, to] of zeroed) bytes.fill(0, from * GRANULE_BYTES, to * GRANULE_BYTES);
    // Zeros that begin and end within granules.
    bytes.fill(0, 40 * GRANULE_BYTES - 1, 45 * GRANULE_BYTES + 4097);
  }
  contents.set(letter, bytes);
  return bytes;
}

/** A revision with the image that it describes. */
export interface SceneRevision {
  /** Path of its map. */
  readonly path: string;
  readonly image: Bytes;
  /** Chunk id of each seq; `null` for an absent one. */
  readonly ids: readonly (string | null)[];
}

/** How a revision is made. */
export interface SceneRevisionOptions {
  /** Size of the image; default: whole chunks. */
  readonly size?: number;
  /**
   * Whether the last chunk's file has the whole chunk even if the image ends earlier; default
   * false.
   */
  readonly isLastFull?: boolean;
}

/** What a restore did. */
export interface SceneRun {
  readonly report: RestoreReport;
  readonly events: readonly RestoreEvent[];
}

/** One backup directory, perhaps of several in one folder. */
export class SceneStore {
  readonly basedir: string;

  constructor(basedir: string) {
    this.basedir = basedir;
    makeStore(basedir);
  }

  add(name: string, letters: string, options: SceneRevisionOptions = {}): SceneRevision {
    const { size = letters.length * CHUNK_BYTES, isLastFull = false } = options;
    const chunks = [...letters].map((letter, seq): ChunkContent => {
      if (letter === ".") return "absent";
      if (letter === "0") return "zero";
      const bytes = Math.min(CHUNK_BYTES, size - seq * CHUNK_BYTES);
      return isLastFull ? contentOf(letter) : contentOf(letter).subarray(0, bytes);
    });
    const { path, ids } = addRevision(this.basedir, name, chunks, { size });
    return { path, ids, image: imageOf(chunks, size) };
  }

  /** Adds a revision of any image of whole chunks. */
  addImage(name: string, image: Bytes): SceneRevision {
    const chunks: ChunkContent[] = [];
    for (let at = 0; at < image.length; at += CHUNK_BYTES) {
      const chunk = image.subarray(at, at + CHUNK_BYTES);
      chunks.push(chunk.every((byte) => byte === 0) ? "absent" : chunk);
    }
    const { path, ids } = addRevision(this.basedir, name, chunks, { size: image.length });
    return { path, ids, image };
  }

  /** Path of a chunk's file. */
  chunkFile(id: string | null | undefined): string {
    return chunkFile(this.basedir, id!);
  }
}

/** A folder with backup directories and room for targets beside them. */
export class Scene implements Disposable {
  readonly #scratch = new Scratch();
  readonly store = this.addStore("vm0");
  #count = 0;

  addStore(name: string): SceneStore {
    return new SceneStore(this.#scratch.file(name));
  }

  /** Path of a new file beside the backup directories. */
  file(content?: Uint8Array): string {
    return this.#scratch.file(`target ${this.#count++}`, content);
  }

  /** Restores a revision, and collects the events. */
  async restore(options: Partial<RestoreOptions>): Promise<SceneRun> {
    const events: RestoreEvent[] = [];
    const { onEvent } = options;
    const report = await restore({
      revision: "",
      output: "/dev/null",
      threads: 2,
      ...options,
      onEvent(event) {
        events.push(event);
        onEvent?.(event);
      },
    });
    return { report, events };
  }

  /** Restores a revision to a pipe, and returns what came out of it. */
  async stream(options: Partial<RestoreOptions>): Promise<SceneRun & { readonly bytes: Bytes }> {
    const fifo = makeFifo(this.file()), to = this.file();
    const copying = copyFifo(fifo, to);
    const run = await this.restore({ ...options, output: fifo });
    await copying;
    return { ...run, bytes: Deno.readFileSync(to) };
  }

  [Symbol.dispose](): void {
    this.#scratch[Symbol.dispose]();
  }
}

/** Counts the bytes of all granules of `part` that are not all zeros. */
export function dataBytesOf(part: Uint8Array): number {
  let bytes = 0;
  for (let at = 0; at < part.length; at += GRANULE_BYTES) {
    const granule = part.subarray(at, at + GRANULE_BYTES);
    if (granule.some((byte) => byte !== 0)) bytes += granule.length;
  }
  return bytes;
}

/** Writes bytes into the middle of a file or device. */
export function patch(path: string, offset: number, bytes: Uint8Array): void {
  using file = Deno.openSync(path, { write: true });
  file.seekSync(offset, Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
}

/** Reads a range of a file or device. */
export function readRange(path: string, offset: number, length: number): Bytes {
  using file = Deno.openSync(path);
  file.seekSync(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const count = file.readSync(bytes.subarray(done));
    if (count === null) break;
    done += count;
  }
  return bytes.subarray(0, done);
}

/** A copy of some bytes with others in their middle. */
export function patched(bytes: Uint8Array, offset: number, content: Uint8Array): Bytes {
  const copy = new Uint8Array(bytes);
  copy.set(content, offset);
  return copy;
}

/** Bytes of one value. */
export function fill(length: number, byte = 0xaa): Bytes {
  return new Uint8Array(length).fill(byte);
}
