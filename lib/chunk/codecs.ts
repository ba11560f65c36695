/**
 * The functions of the codec table, whose data is `CHUNK_ENCODINGS` in `lib/store/layout.ts`.
 * `decoder.ts` and `encoder.ts` call them.
 *
 * @module
 */

import * as lzo from "../../wasm/mod.ts";
import type { ChunkEncoding } from "../store/layout.ts";

/** How one encoding is decoded and encoded, between the buffers of `lzo-wasm`. */
export interface Codec {
  /**
   * Decodes the payload of a chunk file in the input buffer into an output buffer.
   *
   * @param payload.start Its first byte in the input buffer.
   * @param payload.end The byte after its last.
   * @param output Index of the output buffer.
   * @param options.outputBytes Bytes that it must decode to, 1 to CHUNK_BYTES.
   * @param options.hash Whether `lastHash()` must return the content's hash afterwards.
   * @throws {Codec.DecodeError} If the payload is malformed or has another length.
   */
  readonly decode: (
    payload: { start: number; end: number },
    output: number,
    options: { outputBytes: number; hash: boolean },
  ) => void;
  /**
   * Encodes the first bytes of an output buffer into the input buffer.
   *
   * @param source Index of the output buffer.
   * @param options.bytes How many, 1 to CHUNK_BYTES.
   * @param options.start Where in the input buffer the payload starts.
   * @returns Length of the payload in bytes.
   */
  readonly encode: (source: number, options: { bytes: number; start: number }) => number;
  /** The errors by which `decode` refuses a payload; users read the message. */
  readonly DecodeError: abstract new (...args: never[]) => Error;
}

/** The codec of each encoding, by its name. */
export const CODECS: Readonly<Record<ChunkEncoding["name"], Codec>> = {
  lzo1x: lzo,
};
