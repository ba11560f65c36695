/**
 * Measures the codec on one thread, against liblzo2 in the same process through FFI.
 *
 * @module
 */

import * as codec from "lzo-wasm";
import { type Liblzo2, liblzo2 } from "../support/liblzo2.ts";
import { realChunks } from "./corpus.ts";

const CHUNKS = 48;
const ROUNDS = 5;

interface Timing {
  /** Milliseconds of each round. */
  readonly wasm: number[];
  readonly native: number[];
}

/** Prints speed and ratios: medians over rounds that alternate between the two. */
export function benchCodec(print: (text: string) => void): void {
  if (!liblzo2) print("liblzo2 is not installed (Debian: liblzo2-2): no comparison");
  const contents = [...realChunks(CHUNKS)];
  const { streams, ratio } = encodeAll(contents, liblzo2);
  print(`${CHUNKS} chunks of real files, compressed to ${(ratio * 100).toFixed(0)} %, one thread:`);

  const scratch = new Uint8Array(codec.input.length + codec.CHUNK_BYTES);
  const bytes = codec.CHUNK_BYTES;
  const decoded = measure(streams, {
    prepare: (stream) => codec.input.set(stream),
    wasm: (stream) => codec.decode({ start: 0, end: stream.length }, 0, options(false)),
    native: liblzo2 && ((stream) => liblzo2?.decodeInto(stream, scratch.subarray(0, bytes))),
  });
  print(describe("decode", decoded));

  const verified = measure(streams, {
    prepare: (stream) => codec.input.set(stream),
    wasm: (stream) => codec.decode({ start: 0, end: stream.length }, 0, options(true)),
    native: null,
  });
  print(describe("decode and hash", verified));

  let ownBytes = 0, nativeBytes = 0;
  const encoded = measure(contents, {
    prepare: (content) => codec.outputs[0]!.set(content),
    wasm: () => ownBytes += codec.encode(0, { bytes, start: 0 }),
    native: liblzo2 &&
      ((content) => nativeBytes += liblzo2!.encodeInto("lzo1x_1_compress", content, scratch)),
  });
  const size = nativeBytes > 0 ? `, size ratio ${(ownBytes / nativeBytes).toFixed(3)}` : "";
  print(`${describe("encode", encoded)}${size}`);

  const hashed = measure(contents, {
    prepare: (content) => codec.outputs[0]!.set(content),
    wasm: () => codec.murmur3(0, bytes),
    native: null,
  });
  print(describe("hash", hashed));
}

function options(hash: boolean): { outputBytes: number; hash: boolean } {
  return { outputBytes: codec.CHUNK_BYTES, hash };
}

/** Encodes as backy does, by liblzo2 if it is installed. */
function encodeAll(
  contents: readonly Uint8Array<ArrayBuffer>[],
  library: Liblzo2 | null,
): { streams: Uint8Array<ArrayBuffer>[]; ratio: number } {
  const streams = contents.map((content) => {
    if (library) return library.encode("lzo1x_1_compress", content);
    codec.outputs[0]!.set(content);
    return codec.input.slice(0, codec.encode(0, { bytes: content.length, start: 0 }));
  });
  const total = streams.reduce((sum, stream) => sum + stream.length, 0);
  return { streams, ratio: total / (contents.length * codec.CHUNK_BYTES) };
}

function measure(
  inputs: readonly Uint8Array<ArrayBuffer>[],
  calls: {
    prepare: (input: Uint8Array<ArrayBuffer>) => unknown;
    wasm: (input: Uint8Array<ArrayBuffer>) => unknown;
    native: ((input: Uint8Array<ArrayBuffer>) => unknown) | null;
  },
): Timing {
  const timing: Timing = { wasm: [], native: [] };
  for (let round = 0; round <= ROUNDS; round++) {
    let wasmMs = 0, nativeMs = 0;
    for (const input of inputs) {
      calls.prepare(input);
      const startMs = performance.now();
      calls.wasm(input);
      const betweenMs = performance.now();
      calls.native?.(input);
      nativeMs += performance.now() - betweenMs;
      wasmMs += betweenMs - startMs;
    }
    if (round === 0) continue; // warms up: V8 optimizes the module meanwhile
    timing.wasm.push(wasmMs);
    if (calls.native) timing.native.push(nativeMs);
  }
  return timing;
}

function describe(name: string, timing: Timing): string {
  const speed = (ms: number) => `${((CHUNKS * codec.CHUNK_BYTES) / ms / 1e6).toFixed(2)} GB/s`;
  const own = median(timing.wasm);
  const text = `  ${name}: ${speed(own)}`;
  if (timing.native.length === 0) return text;
  const ratio = median(timing.native.map((ms, round) => ms / timing.wasm[round]!));
  return `${text}, liblzo2 ${speed(median(timing.native))}: ${ratio.toFixed(2)} times as fast`;
}

/** The median of an odd number of values. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
