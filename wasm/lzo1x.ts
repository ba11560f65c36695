/**
 * Decodes and encodes LZO1X streams between the input buffer and the output buffers.
 *
 * @module
 */

import { addressOf, CHUNK_BYTES, input, requireRange } from "./buffers.ts";
import * as wasm from "./build/codec.wasm";

/**
 * Why a stream was refused. Entry n stands for the module's result code -(n + 1); a test compares
 * the two.
 */
export const DECODE_FAULTS = [
  "LZO stream ends early",
  "LZO output overrun",
  "LZO look-behind overrun",
  "LZO stream continues after its end marker",
  "LZO stream ends before the announced length",
  "LZO stream of an unknown version",
] as const;

/** One of {@linkcode DECODE_FAULTS}. */
export type DecodeFault = typeof DECODE_FAULTS[number];

/** A stream that is not LZO1X, or does not decode to the announced number of bytes. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
  readonly fault: DecodeFault;
  /** Byte of the stream at which decoding stopped. */
  readonly inputOffset: number;

  constructor(fault: DecodeFault, inputOffset: number) {
    super(`${fault} at input byte ${inputOffset}`);
    this.fault = fault;
    this.inputOffset = inputOffset;
  }
}

/**
 * Decodes the LZO1X stream in the input buffer into an output buffer.
 *
 * @param stream.start First byte of the stream in `input`.
 * @param stream.end The byte after its last.
 * @param output Index of the output buffer, which may be an added one.
 * @param options.outputBytes Bytes that it must decode to, 0 to {@linkcode CHUNK_BYTES}.
 * @param options.hash Whether to hash the decoded bytes on the way; `lastHash()` then returns the
 *   result.
 * @throws {DecodeError} If the stream is malformed, too short or too long. The output buffer then
 *   holds garbage.
 * @throws {RangeError} If a range does not fit its buffer.
 */
export function decode(
  stream: { start: number; end: number },
  output: number,
  options: { outputBytes: number; hash: boolean },
): void {
  const { start, end } = stream;
  const { outputBytes, hash } = options;
  requireRange("stream", start, end, input.length);
  requireRange("output", 0, outputBytes, CHUNK_BYTES);
  const result = wasm.lzo1xDecode(
    wasm.inputAddress() + start,
    end - start,
    addressOf(output),
    outputBytes,
    hash ? 1 : 0,
  );
  if (result < 0) {
    const fault = DECODE_FAULTS[-result - 1];
    if (!fault) throw new TypeError(`Cannot name the codec's result: ${result}`);
    throw new DecodeError(fault, wasm.errorOffset());
  }
}

/**
 * Encodes the first bytes of an output buffer as one LZO1X stream into the input buffer.
 *
 * @param source Index of the output buffer that holds the bytes.
 * @param options.bytes How many, 1 to {@linkcode CHUNK_BYTES}.
 * @param options.start Where in `input` the stream starts; 0 to 5.
 * @returns Length of the stream in bytes.
 * @throws {RangeError} If a range does not fit its buffer.
 */
export function encode(source: number, options: { bytes: number; start: number }): number {
  const { bytes, start } = options;
  requireRange("source", 0, bytes, CHUNK_BYTES);
  requireRange("stream", 0, start, 5);
  if (bytes === 0) throw new RangeError("Cannot encode 0 bytes: a chunk has at least one");
  return wasm.lzo1xEncode(addressOf(source), bytes, wasm.inputAddress() + start);
}
