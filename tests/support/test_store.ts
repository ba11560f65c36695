/**
 * A backup directory of a test, in a folder of its own with room beside it.
 *
 * Revisions are described by their chunks, or by letters, one a seq: a lower-case letter is a chunk
 * without a granule of zeros, an upper-case one has some, "." is absent from the map, "0" the
 * all-zero chunk. The same letter is the same chunk.
 *
 * @module
 */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { GRANULE_BYTES } from "../../lib/target/target.ts";
import { isFilled } from "./bytes.ts";
import { Scratch } from "./machine.ts";
import {
  addRevision,
  type BuiltRevision,
  type ChunkContent,
  chunkFile,
  imageOf,
  makeStore,
  type RevisionMetadata,
} from "./store_builder.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** How a revision is made. */
export interface RevisionOptions extends RevisionMetadata {
  /** Size of the image; default: that of the chunks together. */
  readonly size?: number;
  /**
   * Whether the last chunk's file has the whole chunk even where the image ends before; default
   * false. Only for revisions described by letters.
   */
  readonly isLastFull?: boolean;
}

/** A revision with its image. */
export interface StoredRevision extends BuiltRevision {
  readonly image: Bytes;
}

/** A backup directory, empty at first. */
export class TestStore implements Disposable {
  #scratch: Scratch | null = null;
  readonly basedir: string;

  /**
   * @param at Where it is; default: in a folder of its own, which is removed with it.
   * @param name Its name in that folder.
   */
  constructor(
    { at, name = "vm0" }: { readonly at?: string | undefined; readonly name?: string } = {},
  ) {
    this.basedir = at ?? this.file(name);
    makeStore(this.basedir);
  }

  /** Path in the store's folder: beside the backup directory, unless that was put elsewhere. */
  file(name: string, content?: string | Uint8Array): string {
    return (this.#scratch ??= new Scratch()).file(name, content);
  }

  /** Names of what lies in the store's folder, sorted. */
  namesBeside(): string[] {
    return [...Deno.readDirSync(this.file("."))].map(({ name }) => name).sort();
  }

  /** Adds a revision. Returns it with its image, which is made when it is asked for. */
  add(
    name: string,
    content: string | readonly ChunkContent[],
    options: RevisionOptions = {},
  ): StoredRevision {
    const chunks = typeof content === "string" ? lettersToChunks(content, options) : content;
    const revision = addRevision(this.basedir, name, chunks, options);
    let image: Bytes | null = null;
    return {
      ...revision,
      get image() {
        return image ??= imageOf(chunks, revision.size);
      },
    };
  }

  /** Adds a revision of any image; chunks of zeros are left out of its map. */
  addImage(name: string, image: Bytes): StoredRevision {
    const chunks: ChunkContent[] = [];
    for (let at = 0; at < image.length; at += CHUNK_BYTES) {
      const chunk = image.subarray(at, at + CHUNK_BYTES);
      chunks.push(isFilled(chunk, 0) ? "absent" : chunk);
    }
    return this.add(name, chunks, { size: image.length });
  }

  /** Path of a chunk's file. */
  chunkFile(id: string | null | undefined): string {
    return chunkFile(this.basedir, id!);
  }

  /**
   * Runs with another file, or none, in place of one of the store's; what was there is put back.
   */
  async withDamage(
    path: string,
    damage: (path: string, content: Bytes) => void,
    run: () => Promise<void>,
  ): Promise<void> {
    const aside = `${path}.aside`;
    Deno.renameSync(path, aside);
    try {
      damage(path, Deno.readFileSync(aside));
      await run();
    } finally {
      removeIfThere(path);
      Deno.renameSync(aside, path);
    }
  }

  [Symbol.dispose](): void {
    this.#scratch?.[Symbol.dispose]();
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function lettersToChunks(letters: string, options: RevisionOptions): ChunkContent[] {
  const { size = letters.length * CHUNK_BYTES, isLastFull = false } = options;
  return [...letters].map((letter, seq) => {
    if (letter === ".") return "absent";
    if (letter === "0") return "zero";
    const bytes = Math.min(CHUNK_BYTES, size - seq * CHUNK_BYTES);
    return isLastFull ? contentOf(letter) : contentOf(letter).subarray(0, bytes);
  });
}

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
