/**
 * A backup directory for tests of the command line: its one revision has chunks of every kind.
 *
 * @module
 */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { type ChunkContent, sampleBytes } from "../support/store_builder.ts";
import { type StoredRevision, TestStore } from "../support/test_store.ts";
import { dataBytesOf } from "../support/bytes.ts";

const GRANULE_BYTES = 65_536;

/** Seqs of the sample's chunks, by kind. */
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

/** Size of the last chunk: not a multiple of a block, a page or a granule. */
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

/** A store with the sample revision. */
export class SampleStore extends TestStore {
  /** The sample revision, which has a link "last". */
  readonly revision: StoredRevision;
  readonly image: Uint8Array<ArrayBuffer>;
  /** Bytes of the image that a restore with holes must store at least, and little more. */
  readonly dataBytes: number;

  constructor() {
    super();
    this.revision = this.add("SampleRevision", sampleChunks());
    this.image = this.revision.image;
    this.dataBytes = dataBytesOf(this.image);
    Deno.symlinkSync("SampleRevision", `${this.basedir}/last`);
    Deno.symlinkSync("SampleRevision.rev", `${this.basedir}/last.rev`);
  }

  /** Id of the chunk at a seq of the sample, which must have one. */
  idAt(seq: number): string {
    return this.revision.ids[seq]!;
  }

  /** Chunk file of a seq of the sample. */
  chunkFileAt(seq: number): string {
    return this.chunkFile(this.idAt(seq));
  }

  /** The image with zeros in place of some seqs. */
  imageWithout(...seqs: number[]): Uint8Array<ArrayBuffer> {
    const image = this.image.slice();
    for (const seq of seqs) image.fill(0, seq * CHUNK_BYTES, (seq + 1) * CHUNK_BYTES);
    return image;
  }
}

/** The part of a message that names the places of a chunk. */
export function placesOf(seqs: readonly number[], imageBytes = Infinity): string {
  const ranges = seqs.map((seq) =>
    `${seq * CHUNK_BYTES} to ${Math.min((seq + 1) * CHUNK_BYTES, imageBytes) - 1}`
  );
  return `(seq${seqs.length > 1 ? "s" : ""} ${seqs.join(", ")}, image bytes ${ranges.join(", ")})`;
}
