/**
 * Decodes, encodes, hashes and scans chunks in the memory of one WebAssembly instance.
 *
 * Importing this instantiates the module for the importing isolate, so each worker has an instance
 * of its own. The buffers are handed out as views that stay valid. Their memory is shared: other
 * threads may read results in place, and growing it adds output buffers. One isolate makes one call
 * at a time; two isolates never share an instance.
 *
 * @module
 */

export {
  ADDED_OUTPUTS,
  CHUNK_BYTES,
  input,
  memory,
  OUTPUT_COUNT,
  outputAt,
  outputs,
} from "./buffers.ts";
export { decode, DECODE_FAULTS, DecodeError, type DecodeFault, encode } from "./lzo1x.ts";
export { lastHash, murmur3 } from "./murmur3.ts";
export { scanZeros } from "./zero_scan.ts";
