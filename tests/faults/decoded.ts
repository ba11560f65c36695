/**
 * What a chunk file decodes to, without a restore around it.
 *
 * @module
 */

import * as codec from "lzo-wasm";
import type { ChunkDecoder } from "../../lib/chunk/decoder.ts";
import { BackyError } from "../../lib/errors.ts";

/** Decodes a chunk. @returns Its bytes, or the error by which it was refused. */
export function decodedBy(
  decoder: ChunkDecoder,
  id: string,
  needed: number,
): Uint8Array | BackyError {
  // Earlier output must not pass for the new one.
  codec.outputs[0]!.fill(0xee, 0, needed);
  try {
    const { bytes } = decoder.decode({ id, seqs: () => [0] }, 0, needed);
    return codec.outputs[0]!.slice(0, bytes);
  } catch (error) {
    if (error instanceof BackyError) return error;
    throw error;
  }
}
