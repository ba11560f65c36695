/**
 * A worker of `chunk_loader.ts`: reads chunks, decodes them into pages and verifies them; encodes
 * and stores changed pages; reads revision maps. The messages are in `messages.ts`.
 *
 * It does one job at a time and keeps nothing between jobs. Files are added to a store but never
 * changed.
 *
 * @module
 */

import * as codec from "../../wasm/mod.ts";
import { chunkPath, corruptChunk } from "../chunk/chunk_file.ts";
import { ChunkDecoder } from "../chunk/decoder.ts";
import { encodeChunk, exists, makeChunkFolder, writeChunkFile } from "../chunk/encoder.ts";
import { toWireError } from "../errors.ts";
import { CHUNK_BYTES, CHUNKS_DIR, ZERO_CHUNK_ID } from "../store/layout.ts";
import { toOsError } from "../linux/errno.ts";
import { readRevisionMap } from "../store/revision_map.ts";
import { ReadWaits } from "../work/read_waits.ts";
import type { DecodeJob, Job, JobAnswer, Result, StoreJob, WorkerMessage } from "./messages.ts";

/** Time that was spent on jobs, by which waits are measured: a worker of a mount is often idle. */
let busyMs = 0;
const waits = new ReadWaits(() => busyMs);

/** Images share chunks, so only the reader knows where in an image a chunk is. */
const noSeqs = () => [];

function decode({ dir, id, verify, page }: DecodeJob): number {
  // Unlike a restore, a user reads the same files again and again, so the chunk file may stay in
  // the kernel's page cache.
  const decoder = new ChunkDecoder(dir, { verify, pageCache: "keep" });
  const isOwn = typeof page === "number";
  const startMs = performance.now();
  const { bytes, waitMs } = decoder.decode({ id, seqs: noSeqs }, isOwn ? page : 0, 1);
  busyMs += performance.now() - startMs;
  waits.add(waitMs);
  if (!isOwn) page.set(codec.outputs[0]!.subarray(0, bytes));
  return bytes;
}

/** Returns the id under which the content can be read from now on. */
function store({ dir, content }: StoreJob): string {
  // Encodes a copy, so that id and file agree even if the content changes meanwhile.
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

/** Whether the content just encoded is the chunk of zeros, which is never read from a file. */
function isAllZero(bytes: number): boolean {
  if (bytes !== CHUNK_BYTES) return false;
  const flags = codec.scanZeros(0, { bytes, granuleBytes: CHUNK_BYTES / 64 });
  return flags.every((flag) => flag === 1);
}

/** Verifies a file that exists already: it may be damaged, and must not be replaced. */
function requireContent(dir: string, id: string, bytes: number): void {
  const decoder = new ChunkDecoder(dir, { verify: true, pageCache: "keep" });
  const found = decoder.decode({ id, seqs: noSeqs }, 1, bytes);
  if (found.bytes === bytes) return;
  const detail = `it holds ${found.bytes} bytes, not ${bytes}`;
  throw corruptChunk({ id, seqs: noSeqs }, { path: chunkPath(dir, id), reason: "size", detail });
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
    return { type: "done", result: work(job), readsAreSlow: waits.areLong };
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
