/**
 * Fuzzes the encoder: what it writes decodes to what it was given, here and by liblzo2, and is no
 * longer than a chunk file may be.
 *
 * Input: the content of a chunk.
 *
 * @module
 */

import * as codec from "lzo-wasm";
import { CHUNK_ENCODINGS, CHUNK_HEADER_BYTES } from "../../lib/store/layout.ts";
import { liblzo2 } from "../support/liblzo2.ts";
import type { Random } from "../support/random.ts";
import { assertSameBytes, decodeStream } from "../wasm/codec_harness.ts";
import { decodeReference } from "../wasm/lzo_reference.ts";
import { randomBytes, wordyBytes } from "../wasm/random_streams.ts";
import type { FuzzTarget } from "./fuzz_target.ts";

/** Encodes, and copies the stream. */
export function encodeWithCodec(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  codec.outputs[1]!.set(bytes);
  return codec.input.slice(0, codec.encode(1, { bytes: bytes.length, start: 0 }));
}

function lengthOf(random: Random): number {
  switch (random(12)) {
    case 0:
      return codec.CHUNK_BYTES - random(3);
    case 1:
    case 2:
      return 1 + random(300_000);
    // The limits of the instructions' distances.
    case 3:
      return [1024, 2048, 3072, 16_384, 49_152][random(5)]! + random(40);
    default:
      return 1 + random(random(2) ? 60 : 5000);
  }
}

/** Content in stretches of different kinds, which begin and end anywhere. */
function makeContent(random: Random): Uint8Array<ArrayBuffer> {
  const content = new Uint8Array(lengthOf(random));
  // Most of a whole chunk stays zero: filling it would take long.
  const most = Math.min(content.length, 400_000);
  let at = random(4) === 0 ? content.length - most : 0;
  const end = at + most;
  while (at < end) {
    const length = Math.min(end - at, 1 + random(random(3) ? 300 : 60_000));
    const piece = content.subarray(at, at + length);
    switch (random(7)) {
      case 0:
        piece.set(randomBytes(random, length));
        break;
      case 1:
        piece.set(wordyBytes(random, length));
        break;
      case 2:
        piece.fill(random(256));
        break;
      case 3: {
        // Earlier bytes, from every distance that matters, with a few changed.
        const distance = 1 + random(Math.min(at + 1, random(2) ? 64 : 52_000));
        for (let i = 0; i < length; i++) piece[i] = content[Math.max(0, at + i - distance)]!;
        for (let count = random(4); count > 0; count--) piece[random(length)] = random(256);
        break;
      }
      case 4: {
        const mask = (1 << (1 + random(7))) - 1;
        piece.set(randomBytes(random, length).map((byte) => byte & mask));
        break;
      }
      default:
        break;
    }
    at += length;
  }
  return content;
}

/** The encoder. */
export const encoder: FuzzTarget = {
  name: "encoder",
  promise: "what is encoded decodes to the same bytes, here and by liblzo2",
  leastTaken: 1,
  generate: makeContent,

  check(content) {
    const stream = encodeWithCodec(content);
    const most = content.length + (content.length >> 4) + 64 + 3;
    if (
      stream.length > most || stream.length > CHUNK_ENCODINGS[0].maxFileBytes - CHUNK_HEADER_BYTES
    ) {
      throw new Error(`${content.length} bytes are encoded in ${stream.length}`);
    }
    const decoded = decodeStream(stream, content.length);
    if (!("bytes" in decoded)) throw new Error(`it does not decode: ${decoded.fault}`);
    assertSameBytes(decoded.bytes, content, "decoded");
    if (liblzo2) {
      const expected = liblzo2.decode(stream, content.length);
      if (!expected) throw new Error("liblzo2 does not take it");
      assertSameBytes(expected, content, "decoded by liblzo2");
    } else if (content.length < 100_000) {
      const reference = decodeReference(stream, content.length);
      if (!("bytes" in reference)) throw new Error("the reference does not take it");
      assertSameBytes(reference.bytes, content, "decoded by the reference");
    }
    return true;
  },
};
