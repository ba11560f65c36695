/**
 * The ways in which a chunk's file can be bad.
 *
 * @module
 */

import { encodeChunk } from "../../lib/chunk/encoder.ts";
import type { ChunkReason } from "../../lib/work/messages.ts";

/** Makes a chunk's file bad in such a way that this is the reason that is found. */
export function damageChunk(path: string, reason: ChunkReason): void {
  const good = Deno.readFileSync(path);
  // Chunk files are read-only, so this makes a new one.
  Deno.removeSync(path);
  const bad = badContent(good, reason);
  if (bad !== null) Deno.writeFileSync(path, bad);
}

function badContent(good: Uint8Array, reason: ChunkReason): Uint8Array | null {
  switch (reason) {
    case "missing":
      return null;
    case "header":
      return new TextEncoder().encode("garbage");
    case "encoding":
      return good.subarray(0, good.length - 1);
    case "size":
      return encodeChunk(new Uint8Array(16).fill(1)).file;
    case "hash":
      return encodeChunk(new Uint8Array(4_194_304).fill(1)).file;
  }
}
