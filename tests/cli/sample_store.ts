/**
 * A backup directory for tests of the command line, with one revision that has a bit of everything.
 *
 * @module
 */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import {
  addRevision,
  type BuiltRevision,
  type ChunkContent,
  chunkFile,
  imageOf,
  makeStore,
  type RevisionMetadata,
  sampleBytes,
} from "../support/store_builder.ts";
import { dataBytesOf } from "../support/bytes.ts";
import { Scratch } from "../support/machine.ts";

const GRANULE_BYTES = 65_536;

/** Seqs of the sample's chunks, by what is special about them. */
export const Seq = {
  FIRST: 0,
  ABSENT: 1,
  ZERO: 2,
  /** Zero granules at its start, in its middle and at its end. */
  HOLES: 3,
  /** Content of FIRST. */
  REPEATED: 4,
  /** Zeros that begin and end in the middle of granules. */
  UNALIGNED_ZEROS: 5,
  ABSENT_AGAIN: 6,
  /** Content of HOLES. */
  HOLES_REPEATED: 7,
  /** Shorter than a full chunk, with zeros at its end. */
  LAST: 8,
} as const;

/** Size of the last chunk: no multiple of a block, a page or a granule. */
const LAST_BYTES = 1_048_576 + 777;

/** Contents of the sample image, by seq. */
function sampleChunks(): ChunkContent[] {
  const first = sampleBytes(1);
  const holes = sampleBytes(2);
  holes.fill(0, 0, 2 * GRANULE_BYTES);
  holes.fill(0, 20 * GRANULE_BYTES, 30 * GRANULE_BYTES);
  holes.fill(0, 60 * GRANULE_BYTES);
  const unaligned = sampleBytes(3);
  unaligned.fill(0, 1000, 10 * GRANULE_BYTES + 1);
  unaligned.fill(0, 40 * GRANULE_BYTES - 1, 45 * GRANULE_BYTES + 4097);
  const last = sampleBytes(4, LAST_BYTES);
  last.fill(0, 3 * GRANULE_BYTES);
  return [first, "absent", "zero", holes, first, unaligned, "absent", holes, last];
}

/** A store in a directory of its own, with room for targets beside it. */
export class SampleStore implements Disposable {
  readonly #scratch = new Scratch();
  readonly basedir = this.#scratch.file("vm0");
  /** The sample revision, which has a link "last". */
  readonly revision: BuiltRevision;
  readonly image: Uint8Array<ArrayBuffer>;
  /** Bytes of the image that a restore with holes must store at least, and little more. */
  readonly dataBytes: number;

  constructor() {
    makeStore(this.basedir);
    const chunks = sampleChunks();
    this.revision = addRevision(this.basedir, "SampleRevision", chunks);
    this.image = imageOf(chunks, this.revision.size);
    this.dataBytes = dataBytesOf(this.image);
    Deno.symlinkSync("SampleRevision", `${this.basedir}/last`);
    Deno.symlinkSync("SampleRevision.rev", `${this.basedir}/last.rev`);
  }

  /** Path beside the backup directory. */
  file(name: string, content?: string | Uint8Array): string {
    return this.#scratch.file(name, content);
  }

  /**
   * Adds a revision. Returns it with its image.
   *
   * @param about Size of the image, or that and metadata.
   */
  add(
    name: string,
    chunks: readonly ChunkContent[],
    about: number | undefined | (RevisionMetadata & { readonly size?: number }) = {},
  ): BuiltRevision & { readonly image: Uint8Array<ArrayBuffer> } {
    const options = typeof about === "number" ? { size: about } : about;
    const revision = addRevision(this.basedir, name, chunks, options);
    return { ...revision, image: imageOf(chunks, revision.size) };
  }

  /** Id of the chunk at a seq of the sample, which must have one. */
  idAt(seq: number): string {
    return this.revision.ids[seq]!;
  }

  /** Chunk file of a seq of the sample. */
  chunkFileAt(seq: number): string {
    return chunkFile(this.basedir, this.idAt(seq));
  }

  /** The image with zeros in place of some seqs. */
  imageWithout(...seqs: number[]): Uint8Array<ArrayBuffer> {
    const image = this.image.slice();
    for (const seq of seqs) image.fill(0, seq * CHUNK_BYTES, (seq + 1) * CHUNK_BYTES);
    return image;
  }

  /** Names of what lies beside the backup directory, sorted. */
  namesBeside(): string[] {
    return [...Deno.readDirSync(this.file("."))].map(({ name }) => name).sort();
  }

  /**
   * Runs with another file, or none, in place of one of the store's; what was there is put back.
   */
  async withDamage(
    path: string,
    damage: (path: string, content: Uint8Array<ArrayBuffer>) => void,
    run: () => Promise<void>,
  ): Promise<void> {
    const aside = `${path}.aside`;
    Deno.renameSync(path, aside);
    try {
      damage(path, Deno.readFileSync(aside));
      await run();
    } finally {
      if (exists(path)) Deno.removeSync(path);
      Deno.renameSync(aside, path);
    }
  }

  [Symbol.dispose](): void {
    this.#scratch[Symbol.dispose]();
  }
}

/** The part of a message that says where a chunk stands. */
export function placesOf(seqs: readonly number[], imageBytes = Infinity): string {
  const ranges = seqs.map((seq) =>
    `${seq * CHUNK_BYTES} to ${Math.min((seq + 1) * CHUNK_BYTES, imageBytes) - 1}`
  );
  return `(seq${seqs.length > 1 ? "s" : ""} ${seqs.join(", ")}, image bytes ${ranges.join(", ")})`;
}

function exists(path: string): boolean {
  try {
    return Deno.lstatSync(path) !== null;
  } catch {
    return false;
  }
}
