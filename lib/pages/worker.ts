/**
 * Step 6 of a FUSE read, the other half: one worker. Reads chunks, decodes them into pages and
 * verifies them; encodes and stores changed pages; reads revision maps.
 *
 * It does one job at a time and keeps nothing between them. Files of a store are never changed,
 * only added.
 *
 * @module
 */

import * as codec from "lzo-wasm";
import { chunkPath, inFile } from "../chunk/chunk_file.ts";
import { ChunkDecoder } from "../chunk/decoder.ts";
import { encodeChunk, exists, makeChunkFolder, writeChunkFile } from "../chunk/encoder.ts";
import { ChunkCorruptError, toWireError } from "../errors.ts";
import { CHUNK_BYTES, CHUNKS_DIR, ZERO_CHUNK_ID } from "../store/layout.ts";
import { toOsError } from "../linux/errno.ts";
import { readRevisionMap } from "../store/revision_map.ts";
import type { DecodeJob, Job, JobAnswer, Result, StoreJob, WorkerMessage } from "./messages.ts";

/** Chunks are shared by revisions, so where in an image they belong is known to the reader only. */
const noSeqs = () => [];

function decode({ dir, id, verify, page }: DecodeJob): number {
  // A user looks at the same files again and again, unlike a restore: the compressed chunk may stay
  // in the page cache.
  const decoder = new ChunkDecoder(dir, { verify, pageCache: "keep" });
  const isOwn = typeof page === "number";
  const { bytes } = decoder.decode({ id, seqs: noSeqs }, isOwn ? page : 0, 1);
  if (!isOwn) page.set(codec.outputs[0]!.subarray(0, bytes));
  return bytes;
}

/** Returns the id under which the content can be read from now on. */
function store({ dir, content }: StoreJob): string {
  // Encodes a copy, so that it does not matter if the content changes meanwhile: id and file agree.
  const chunk = encodeChunk(content);
  if (isAllZero(content.length)) return ZERO_CHUNK_ID;
  const path = chunkPath(dir, chunk.id);
  try {
    makeChunkFolder(`${dir}/${CHUNKS_DIR}`);
    if (exists(path)) requireContent(dir, chunk.id, content.length);
    else writeChunkFile(dir, chunk);
  } catch (error) {
    throw toOsError(error, `Cannot store chunk "${chunk.id}" in`, dir);
  }
  return chunk.id;
}

/** Tells whether what was just encoded is the chunk of zeros, which is never read from a file. */
function isAllZero(bytes: number): boolean {
  if (bytes !== CHUNK_BYTES) return false;
  const flags = codec.scanZeros(0, { bytes, granuleBytes: CHUNK_BYTES / 64 });
  return flags.every((flag) => flag === 1);
}

/** Decodes a file that is there already: it may be damaged, and it must not be replaced. */
function requireContent(dir: string, id: string, bytes: number): void {
  const decoder = new ChunkDecoder(dir, { verify: true, pageCache: "keep" });
  const found = decoder.decode({ id, seqs: noSeqs }, 1, bytes);
  if (found.bytes === bytes) return;
  const path = chunkPath(dir, id);
  throw new ChunkCorruptError(
    `Cannot use chunk "${id}": it holds ${found.bytes} bytes, not ${bytes}${inFile(path)}`,
    { chunkId: id, seqs: [], path, reason: "size" },
  );
}

function work(job: Job): Result {
  switch (job.type) {
    case "decode":
      return decode(job);
    case "store":
      return store(job);
    case "map":
      return readRevisionMap(job.path);
  }
}

function answer(job: Job): JobAnswer {
  try {
    return { type: "done", result: work(job) };
  } catch (error) {
    return { type: "failed", error: toWireError(error) };
  }
}

declare const self: {
  onmessage: ((event: MessageEvent<Job>) => void) | null;
  postMessage(message: WorkerMessage): void;
};

self.postMessage({
  type: "memory",
  memory: codec.memory,
  firstOutput: codec.OUTPUT_COUNT,
  ...codec.ADDED_OUTPUTS,
});
self.onmessage = (event) => self.postMessage(answer(event.data));
