/**
 * MurmurHash3_x64_128 with seed 0, the hash that names chunks.
 *
 * @module
 */

import { addressOf, CHUNK_BYTES, requireRange, view } from "./buffers.ts";
import * as wasm from "./build/codec.wasm";

const hash = view(wasm.hashAddress(), 16);

/**
 * Hashes the first `bytes` of an output buffer. Returns the view that {@linkcode lastHash} returns.
 */
export function murmur3(output: number, bytes: number): Uint8Array<ArrayBuffer> {
  requireRange("output", 0, bytes, CHUNK_BYTES);
  wasm.murmur3(addressOf(output), bytes);
  return hash;
}

/**
 * Returns the 16 bytes of the last hash, h1 then h2, each little-endian: a view that the next hash
 * overwrites.
 */
export function lastHash(): Uint8Array<ArrayBuffer> {
  return hash;
}
