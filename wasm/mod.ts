/**
 * The codec: decodes, encodes, hashes and scans chunks in the memory of one WebAssembly instance.
 *
 * Importing this module instantiates the codec for the importing isolate; a worker has one of its
 * own. Its memory is static (see README.md): one input buffer and {@linkcode OUTPUT_COUNT} output
 * buffers, handed out as views that stay valid. It is shared memory, for other threads to read
 * results where they lie; whoever grows it ({@linkcode memory}) adds output buffers. Nothing here
 * is safe to call concurrently, which a single isolate cannot do anyway.
 *
 * @module
 */

import * as codec from "./build/codec.wasm";

/** Bytes of a full chunk, decoded. */
export const CHUNK_BYTES = codec.outputCapacity();

/** Number of output buffers that there are from the beginning. */
export const OUTPUT_COUNT = codec.outputCount();

/**
 * The codec's memory, which is shared. Views stay valid when it grows; the module itself never
 * grows it.
 */
export const memory: WebAssembly.Memory = codec.memory;

/**
 * Where output buffers begin that growing adds: buffer `OUTPUT_COUNT + n` lies at `start + n *
 * span` and exists as soon as the memory reaches to its end.
 */
export const ADDED_OUTPUTS: { readonly start: number; readonly span: number } = {
  start: memory.buffer.byteLength,
  span: codec.outputAddress(1) - codec.outputAddress(0),
};

/**
 * Why a stream was refused. Index n belongs to the module's result code -(n + 1); a test holds the
 * two equal.
 */
export const DECODE_FAULTS = [
  "LZO stream ends early",
  "LZO output overrun",
  "LZO look-behind overrun",
  "LZO stream goes on behind its end marker",
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

// Its type says ArrayBuffer as those of system calls do: a view of shared memory is as good.
function view(address: number, length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(codec.memory.buffer as ArrayBuffer, address, length);
}

/**
 * The input buffer: room for the longest chunk file. Owned by the codec; callers fill it from its
 * start.
 */
export const input: Uint8Array<ArrayBuffer> = view(codec.inputAddress(), codec.inputCapacity());

/**
 * The first {@linkcode OUTPUT_COUNT} output buffers, {@linkcode CHUNK_BYTES} each. Owned by the
 * codec.
 */
export const outputs: readonly Uint8Array<ArrayBuffer>[] = Array.from(
  { length: OUTPUT_COUNT },
  (_, index) => view(codec.outputAddress(index), CHUNK_BYTES),
);

const hashView = view(codec.hashAddress(), 16);
const zeroFlagsView = view(codec.zeroFlagsAddress(), 64);

/**
 * Decodes the LZO1X stream in the input buffer into an output buffer.
 *
 * @param stream.start First byte of the stream in {@linkcode input}.
 * @param stream.end Byte behind its last.
 * @param output Index of the output buffer, an added one's included.
 * @param options.outputBytes Bytes that it must decode to, 0 to {@linkcode CHUNK_BYTES}.
 * @param options.hash Whether to hash the decoded bytes on the way; {@linkcode lastHash} then has
 *   the result.
 * @throws {DecodeError} If the stream is malformed, too short or too long. The output then holds
 *   garbage.
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
  const outputAddress = addressOf(output);
  const address = codec.inputAddress() + start;
  const result = codec.lzo1xDecode(
    address,
    end - start,
    outputAddress,
    outputBytes,
    hash ? 1 : 0,
  );
  if (result < 0) {
    const fault = DECODE_FAULTS[-result - 1];
    if (!fault) throw new TypeError(`Cannot name the codec's result: ${result}`);
    throw new DecodeError(fault, codec.errorOffset());
  }
}

/**
 * Encodes the first bytes of an output buffer as one LZO1X stream into the input buffer.
 *
 * @param source Index of the output buffer that holds the bytes.
 * @param options.bytes How many, 1 to {@linkcode CHUNK_BYTES}.
 * @param options.start Where in {@linkcode input} the stream begins; 0 to 5.
 * @returns Bytes of the stream.
 * @throws {RangeError} If a range does not fit its buffer.
 */
export function encode(source: number, options: { bytes: number; start: number }): number {
  const { bytes, start } = options;
  requireRange("source", 0, bytes, outputAt(source).length);
  requireRange("stream", 0, start, 5);
  if (bytes === 0) throw new RangeError("Cannot encode 0 bytes: a chunk has at least one");
  return codec.lzo1xEncode(codec.outputAddress(source), bytes, codec.inputAddress() + start);
}

/**
 * Hashes the first `bytes` of an output buffer. Returns the view that {@linkcode lastHash} returns.
 */
export function murmur3(output: number, bytes: number): Uint8Array<ArrayBuffer> {
  requireRange("output", 0, bytes, outputAt(output).length);
  codec.murmur3(codec.outputAddress(output), bytes);
  return hashView;
}

/**
 * The 16 bytes of the last MurmurHash3_x64_128; owned by the codec and overwritten by the next
 * hash.
 */
export function lastHash(): Uint8Array<ArrayBuffer> {
  return hashView;
}

/**
 * Tells which granules of an output buffer hold zeros only.
 *
 * @param output Index of the output buffer.
 * @param options.bytes How many of its bytes count, 1 to {@linkcode CHUNK_BYTES}.
 * @param options.granuleBytes A multiple of 16, at least a 64th of `bytes`, at most
 *   {@linkcode CHUNK_BYTES}.
 * @returns One byte a granule, 1 for zeros; owned by the codec and overwritten by the next scan.
 */
export function scanZeros(
  output: number,
  options: { bytes: number; granuleBytes: number },
): Uint8Array<ArrayBuffer> {
  const { bytes, granuleBytes } = options;
  requireRange("output", 0, bytes, outputAt(output).length);
  const isEnough = granuleBytes > 0 && granuleBytes * zeroFlagsView.length >= bytes;
  // The upper limit keeps the module from seeing another number: it takes the low 32 bits.
  if (granuleBytes % 16 !== 0 || !isEnough || granuleBytes > CHUNK_BYTES) {
    throw new RangeError(`Cannot scan ${bytes} bytes in granules of ${granuleBytes}`);
  }
  const count = codec.zeroScan(codec.outputAddress(output), bytes, granuleBytes);
  return zeroFlagsView.subarray(0, count);
}

/** Returns the address of an output buffer, an added one's included. */
function addressOf(output: number): number {
  if (output < OUTPUT_COUNT) return outputAt(output).byteOffset;
  const address = ADDED_OUTPUTS.start + (output - OUTPUT_COUNT) * ADDED_OUTPUTS.span;
  // Asked for each time: others let it grow.
  const isThere = Number.isInteger(output) &&
    address + ADDED_OUTPUTS.span <= memory.buffer.byteLength;
  if (!isThere) {
    throw new RangeError(`Cannot use output buffer ${output}: the memory ends before it`);
  }
  return address;
}

function outputAt(index: number): Uint8Array<ArrayBuffer> {
  const output = outputs[index];
  if (!output) throw new RangeError(`Cannot use output buffer ${index}: there are ${OUTPUT_COUNT}`);
  return output;
}

// Inside the module nothing checks these: a wrong length would let it run over its other buffers.
function requireRange(name: string, start: number, end: number, limit: number): void {
  if (!(Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end)) {
    throw new RangeError(`Cannot use ${name} range ${start} to ${end}`);
  }
  if (end > limit) {
    throw new RangeError(
      `Cannot use ${name} range ${start} to ${end}: the buffer ends at ${limit}`,
    );
  }
}
