/**
 * Finds a partition in an image. Reads only the few chunks that hold the partition table.
 *
 * @module
 */

import * as codec from "lzo-wasm";
import { ChunkSources } from "../chunk/chunk_sources.ts";
import { UsageError } from "../errors.ts";
import {
  findPartition,
  type ImageSource,
  type PartitionTable,
  readPartitionTable,
  SECTOR_SIZES,
  type SectorBytes,
} from "../image/partition_table.ts";
import { ZeroTest } from "../store/chunk_ids.ts";
import { bytesOfSeq, CHUNK_BYTES } from "../store/layout.ts";
import type { RevisionMap } from "../store/revision_map.ts";
import type { ImageExtent } from "../work/extent.ts";
import { chunkAt, SeqRuns } from "../work/seq_runs.ts";

/**
 * The extent of a partition, which goes to the target's start.
 *
 * @param options.sectorBytes Unit that the table counts in; default: found out from the table.
 * @param options.sources Backup directories to read chunks from.
 * @param options.onWarning Called with minor faults of the table, and if its meaning is uncertain.
 * @throws {UsageError} If the image has no partition table, or no such partition.
 * @throws {ChunkMissingError | ChunkCorruptError} If a chunk with a part of the table is bad.
 */
export function partitionOfImage(
  map: RevisionMap,
  number: number,
  options: {
    sectorBytes: SectorBytes | undefined;
    sources: readonly string[];
    onWarning: (text: string) => void;
  },
): ImageExtent {
  const reader = new ImageReader(map, options.sources);
  const image = {
    bytes: map.imageBytes,
    read: (offset: number, length: number) => reader.read(offset, length),
  };
  const table = readPartitionTable(image, options.sectorBytes);
  for (const warning of table.warnings) options.onWarning(warning);
  const { sectorBytes, doubt } = table;
  const extent = extentIn(table, number);
  if (doubt !== null) {
    options.onWarning(
      `cannot tell whether the partition table counts in sectors of 512 or 4096 bytes: ${doubt}; ` +
        `taking ${describeExtent(extent)} of the image, for ${sectorBytes}; ` +
        describeOther(image, number, sectorBytes),
    );
  }
  return extent;
}

function extentIn(table: PartitionTable, number: number): ImageExtent {
  const { offset, length } = findPartition(table, number);
  return { start: offset, end: offset + length, targetStart: 0 };
}

function describeExtent({ start, end }: ImageExtent): string {
  return `bytes ${start} to ${end - 1}`;
}

/** Says what would be restored with the other sector size. */
function describeOther(image: ImageSource, number: number, taken: SectorBytes): string {
  const other = SECTOR_SIZES.find((sectorBytes) => sectorBytes !== taken)!;
  try {
    const extent = extentIn(readPartitionTable(image, other), number);
    return `--sector-size=${other} takes ${describeExtent(extent)}`;
  } catch (error) {
    if (error instanceof UsageError) return `with ${other}, there is no such partition`;
    throw error;
  }
}

/** Reads pieces of an image. Keeps only the last decoded chunk. */
class ImageReader {
  readonly #map: RevisionMap;
  readonly #zeroTest: ZeroTest;
  readonly #sources: ChunkSources;
  #decodedSeq: number | null = null;

  constructor(map: RevisionMap, sources: readonly string[]) {
    this.#map = map;
    this.#zeroTest = new ZeroTest(map.ids);
    this.#sources = new ChunkSources(sources, { verify: true, pageCache: "keep" });
  }

  /** Returns a copy of bytes of the image, which must all lie within it. */
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
