/**
 * Shared by the codec's tests: runs it on a stream, compares results, and reads constants that are
 * not exported.
 *
 * @module
 */

import * as codec from "lzo-wasm";
import { assert } from "../assert.ts";
import { decodeReference, type Verdict } from "./lzo_reference.ts";

const wasm = new URL("../../wasm/", import.meta.url);

/** Returns the text of one of the module's source files. */
export function sourceText(name: string): string {
  return Deno.readTextFileSync(new URL(`assembly/${name}`, wasm));
}

/** The compiled module. */
export function moduleBytes(): Uint8Array<ArrayBuffer> {
  return Deno.readFileSync(new URL("build/codec.wasm", wasm));
}

/** Reads `const NAME: u32 = 123` from one of the module's source files. */
export function sourceConstant(file: string, name: string): number {
  const match = sourceText(file).match(
    new RegExp(`^(?:export )?const ${name}: \\w+ = (\\d+);`, "m"),
  );
  assert(match, `wasm/assembly/${file} has no constant ${name}`);
  return Number(match[1]);
}

/** How to run the decoder. */
export interface DecodeOptions {
  /** Where in the input buffer to put the stream. Default: at its start. */
  readonly at?: "start" | "end";
  /** Default: the first output buffer. */
  readonly output?: number;
  readonly hash?: boolean;
}

/** Decodes a stream with the codec, and returns a copy of the result. */
export function decodeStream(
  stream: Uint8Array,
  outputBytes: number,
  { at = "start", output = 0, hash = false }: DecodeOptions = {},
): Verdict {
  const start = at === "start" ? 0 : codec.input.length - stream.length;
  codec.input.set(stream, start);
  try {
    codec.decode({ start, end: start + stream.length }, output, { outputBytes, hash });
  } catch (error) {
    if (!(error instanceof codec.DecodeError)) throw error;
    return { fault: error.fault, inputOffset: error.inputOffset };
  }
  return { bytes: codec.outputs[output]!.slice(0, outputBytes) };
}

/** Asserts that two runs of bytes are equal, and says where they differ. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array, what = "bytes"): void {
  const shorter = Math.min(actual.length, expected.length);
  for (let i = 0; i < shorter; i++) {
    if (actual[i] !== expected[i]) {
      throw new Error(
        `${what}: byte ${i} of ${expected.length} is ${actual[i]} instead of ${expected[i]}`,
      );
    }
  }
  assert(actual.length === expected.length, `${what}: ${actual.length} of ${expected.length}`);
}

/** Asserts that two verdicts are the same: equal bytes, or the same fault at the same offset. */
export function assertSameVerdict(actual: Verdict, expected: Verdict, what: string): void {
  if ("bytes" in actual && "bytes" in expected) {
    return assertSameBytes(actual.bytes, expected.bytes, what);
  }
  const [is, should] = [renderVerdict(actual), renderVerdict(expected)];
  if (is !== should) throw new Error(`${what}: ${is} instead of ${should}`);
}

/**
 * Decodes a valid stream with the codec, from both ends of the input buffer, and asserts that the
 * result equals that of the reference decoder.
 *
 * @returns The decoded bytes.
 */
export function assertDecodes(stream: Uint8Array, what: string): Uint8Array {
  const expected = decodeReference(stream);
  if (!("bytes" in expected)) {
    throw new Error(`${what}: no valid stream, ${renderVerdict(expected)}`);
  }
  const outputBytes = expected.bytes.length;
  assertSameVerdict(decodeStream(stream, outputBytes), expected, what);
  assertSameVerdict(decodeStream(stream, outputBytes, { at: "end", output: 1 }), expected, what);
  return expected.bytes;
}

/** Renders a stream in hex for messages, shortened. */
export function hex(bytes: Uint8Array): string {
  const shown = bytes.subarray(0, 400).toHex();
  return bytes.length > 400 ? `${shown}... (${bytes.length} bytes)` : shown;
}

function renderVerdict(verdict: Verdict): string {
  if ("bytes" in verdict) return `${verdict.bytes.length} bytes`;
  return `"${verdict.fault}" at ${verdict.inputOffset}`;
}
