/**
 * Reads pieces of an image on this thread: the few chunks that say what is in it. Used by
 * `partition.ts` and by `backy-extract list --partitions`.
 *
 * @module
 */

import * as codec from "../../wasm/mod.ts";
import { ChunkSources } from "../chunk/chunk_sources.ts";
import type { ImageSource } from "../image/partition_table.ts";
import { ZeroTest } from "../store/chunk_ids.ts";
import { bytesOfSeq, CHUNK_BYTES } from "../store/layout.ts";
import type { RevisionMap } from "../store/revision_map.ts";
import { chunkAt, SeqRuns } from "../work/seq_runs.ts";

/** An image in backup directories. Keeps only the last decoded chunk. */
export class StoredImage implements ImageSource {
  /** Size in bytes. */
  readonly bytes: number;
  readonly #map: RevisionMap;
  readonly #zeroTest: ZeroTest;
  readonly #sources: ChunkSources;
  #decodedSeq: number | null = null;

  /** @param sources Backup directories to read chunks from. */
  constructor(map: RevisionMap, sources: readonly string[]) {
    this.bytes = map.imageBytes;
    this.#map = map;
    this.#zeroTest = new ZeroTest(map.ids);
    this.#sources = new ChunkSources(sources, { verify: true, pageCache: "keep" });
  }

  /**
   * Returns a copy of bytes of the image, which must all lie within it.
   *
   * @throws {ChunkMissingError | ChunkCorruptError} If one of their chunks is bad.
   */
  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    for (let at = offset; at < offset + length;) {
      const seq = Math.floor(at / CHUNK_BYTES);
      const end = Math.min((seq + 1) * CHUNK_BYTES, offset + length);
      if (!this.#zeroTest.isZero(seq)) {
        const content = this.#decode(seq);
        const start = seq * CHUNK_BYTES;
        bytes.set(content.subarray(at - start, end - start), at - offset);
      }
      at = end;
    }
    return bytes;
  }

  #decode(seq: number): Uint8Array<ArrayBuffer> {
    const { imageBytes } = this.#map;
    if (this.#decodedSeq !== seq) {
      this.#decodedSeq = null;
      const chunk = chunkAt(this.#map, seq, () => SeqRuns.of(seq));
      this.#sources.decode(chunk, 0, bytesOfSeq(imageBytes, seq));
      this.#decodedSeq = seq;
    }
    return codec.outputs[0]!;
  }
}
