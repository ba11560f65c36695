/**
 * Fuzzes the decoder: it accepts and refuses the same streams as the reference decoder and liblzo2,
 * and decodes to the same bytes.
 *
 * Input: the announced length (4 bytes, little-endian), a byte whose lowest bit puts the stream at
 * the input buffer's end, the stream.
 *
 * @module
 */

import * as codec from "lzo-wasm";
import { liblzo2 } from "../support/liblzo2.ts";
import type { Random } from "../support/random.ts";
import { assertSameBytes, assertSameVerdict, decodeStream } from "../wasm/codec_harness.ts";
import { sourceTexts } from "../wasm/corpus.ts";
import { decodeReference } from "../wasm/lzo_reference.ts";
import { mutate, randomBytes, randomStream, wordyBytes } from "../wasm/random_streams.ts";
import { encodeWithCodec } from "./encoder.ts";
import type { FuzzTarget } from "./fuzz_target.ts";
import { randomFrom } from "../support/random.ts";

const HEAD_BYTES = 5;

/** The escape that LZO1X streams do not use; liblzo2 takes it for a literal run. */
const ESCAPE = 17;

let corpus: readonly Uint8Array[] | undefined;

/** Streams of encoders, from which mutations start. */
function encodedStreams(): readonly Uint8Array[] {
  if (corpus) return corpus;
  const random = randomFrom(1);
  const contents = [
    sourceTexts().slice(0, 5000),
    wordyBytes(random, 70_000),
    wordyBytes(random, 2000),
    randomBytes(random, 400),
    new Uint8Array(3000),
    randomBytes(random, 50_000).map((byte) => byte & 15),
  ];
  return corpus = contents.flatMap((bytes) => [
    encodeWithCodec(bytes),
    ...(liblzo2
      ? [liblzo2.encode("lzo1x_1_compress", bytes), liblzo2.encode("lzo1x_999_compress", bytes)]
      : []),
  ]);
}

function makeStream(random: Random): Uint8Array {
  const streams = encodedStreams();
  const original = random(2) ? streams[random(streams.length)]! : randomStream(random);
  return random(8) === 0 ? original : mutate(original, random, streams);
}

/** The decoder. */
export const decoder: FuzzTarget = {
  name: "decoder",
  promise: "same verdict and same bytes as the reference decoder and liblzo2",
  leastTaken: 0.1,

  generate(random) {
    const stream = makeStream(random);
    const whole = decodeReference(stream);
    const isWhole = "bytes" in whole && whole.bytes.length > 0;
    const outputBytes = isWhole && random(8) ? whole.bytes.length : 1 + random(70_000);
    const input = new Uint8Array(HEAD_BYTES + stream.length);
    new DataView(input.buffer).setUint32(0, outputBytes, true);
    input[4] = random(2);
    input.set(stream, HEAD_BYTES);
    return input;
  },

  check(input) {
    const outputBytes = new DataView(input.buffer).getUint32(0, true);
    const stream = input.slice(HEAD_BYTES);
    const at = input[4]! & 1 ? "end" : "start";
    const verdict = decodeStream(stream, outputBytes, { at });
    assertSameVerdict(verdict, decodeReference(stream, outputBytes), "reference");
    const isTaken = "bytes" in verdict;
    if (liblzo2 && stream[0] !== ESCAPE) {
      const expected = liblzo2.decode(stream, outputBytes);
      if (isTaken !== (expected !== null)) {
        throw new Error(`it is ${isTaken ? "taken" : "refused"}, and by liblzo2 it is not`);
      }
      if (isTaken && expected) assertSameBytes(verdict.bytes, expected, "liblzo2");
    }
    // Each output buffer, and hashing, takes its own path through the decoder.
    const other = decodeStream(stream, outputBytes, { at, output: 1, hash: true });
    assertSameVerdict(other, verdict, "hashing on the way");
    if (isTaken) {
      const onTheWay = codec.lastHash().slice();
      assertSameBytes(onTheWay, codec.murmur3(1, outputBytes), "hash on the way");
    }
    return isTaken;
  },
};
