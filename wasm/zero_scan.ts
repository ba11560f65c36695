/**
 * Finds the granules of an output buffer that hold only zeros.
 *
 * @module
 */

import { addressOf, CHUNK_BYTES, requireRange, view } from "./buffers.ts";
import * as wasm from "./build/codec.wasm";

const flags = view(wasm.zeroFlagsAddress(), 64);

/**
 * Tells which granules of an output buffer hold only zeros.
 *
 * @param output Index of the output buffer.
 * @param options.bytes How many of its bytes count, 1 to {@linkcode CHUNK_BYTES}.
 * @param options.granuleBytes A multiple of 16, at least a 64th of `bytes`, at most
 *   {@linkcode CHUNK_BYTES}.
 * @returns One byte per granule, 1 for zeros: a view that the next scan overwrites.
 * @throws {RangeError} If a range does not fit its buffer.
 */
export function scanZeros(
  output: number,
  options: { bytes: number; granuleBytes: number },
): Uint8Array<ArrayBuffer> {
  const { bytes, granuleBytes } = options;
  requireRange("output", 0, bytes, CHUNK_BYTES);
  const isEnough = granuleBytes > 0 && granuleBytes * flags.length >= bytes;
  // The upper limit also keeps the number within 32 bits, all that the module sees of it.
  if (granuleBytes % 16 !== 0 || !isEnough || granuleBytes > CHUNK_BYTES) {
    throw new RangeError(`Cannot scan ${bytes} bytes in granules of ${granuleBytes}`);
  }
  const count = wasm.zeroScan(addressOf(output), bytes, granuleBytes);
  return flags.subarray(0, count);
}
