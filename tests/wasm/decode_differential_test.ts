import * as codec from "lzo-wasm";
import { assert, assertEquals } from "../assert.ts";
import { assertSameBytes, assertSameVerdict, decodeStream, hex } from "./codec_harness.ts";
import { executableSlices, sourceTexts } from "./corpus.ts";
import { liblzo2, testWithLiblzo2 } from "../support/liblzo2.ts";
import { decodeReference } from "./lzo_reference.ts";
import { type Random, randomFrom } from "../support/random.ts";
import { mutate, randomBytes, randomStream, wordyBytes } from "./random_streams.ts";

const SEED = Number(Deno.env.get("LZO_FUZZ_SEED") ?? 20190113);
const MIN_ROUNDS = 500;
const MAX_MS = 2000;

/** Calls `round` with increasing numbers for a limited time. */
function forAWhile(round: (random: Random) => void): void {
  const random = randomFrom(SEED);
  const end = performance.now() + MAX_MS;
  for (let count = 0; count < MIN_ROUNDS || performance.now() < end; count++) round(random);
}

function encodeWithCodec(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  codec.outputs[1]!.set(bytes);
  return codec.input.slice(0, codec.encode(1, { bytes: bytes.length, start: 0 }));
}

/** Streams of real and of generated data, as encoders write them. */
function encodedStreams(): Uint8Array<ArrayBuffer>[] {
  const random = randomFrom(SEED);
  const contents = [
    ...executableSlices(3000, 6),
    ...executableSlices(70_000, 3),
    sourceTexts().slice(0, 5000),
    wordyBytes(random, 2000),
    randomBytes(random, 400),
    new Uint8Array(3000),
  ];
  return contents.flatMap((bytes) => [
    encodeWithCodec(bytes),
    ...(liblzo2
      ? [liblzo2.encode("lzo1x_1_compress", bytes), liblzo2.encode("lzo1x_999_compress", bytes)]
      : []),
  ]);
}

/** A damaged stream, and a number of bytes that it may decode to. */
function damagedSample(random: Random, streams: readonly Uint8Array[]) {
  const original = random(2) ? streams[random(streams.length)]! : randomStream(random);
  const stream = mutate(original, random, streams);
  const whole = decodeReference(stream);
  const isWhole = "bytes" in whole && whole.bytes.length > 0;
  const outputBytes = isWhole && random(8) ? whole.bytes.length : 1 + random(70_000);
  return { stream, outputBytes };
}

Deno.test(`decode() decodes random instructions as the reference does [seed ${SEED}]`, () => {
  forAWhile((random) => {
    const stream = randomStream(random);
    const expected = decodeReference(stream);
    assert("bytes" in expected, hex(stream));
    const verdict = decodeStream(stream, expected.bytes.length, {
      at: random(2) ? "start" : "end",
    });
    assertSameVerdict(verdict, expected, hex(stream));
  });
});

Deno.test(`decode() takes and refuses damaged streams as the reference does [seed ${SEED}]`, () => {
  const streams = encodedStreams();
  let taken = 0;
  forAWhile((random) => {
    const { stream, outputBytes } = damagedSample(random, streams);
    const verdict = decodeStream(stream, outputBytes, { at: random(2) ? "start" : "end" });
    const what = `${hex(stream)} to ${outputBytes} bytes`;
    assertSameVerdict(verdict, decodeReference(stream, outputBytes), what);
    if ("bytes" in verdict) taken++;
  });
  assert(taken > 50, `only ${taken} streams were valid`);
});

testWithLiblzo2(
  `decode() decodes random instructions as liblzo2 does [seed ${SEED}]`,
  (library) => {
    forAWhile((random) => {
      const stream = randomStream(random);
      const whole = decodeReference(stream);
      assert("bytes" in whole);
      const outputBytes = whole.bytes.length;
      const expected = library.decode(stream, outputBytes);
      const verdict = decodeStream(stream, outputBytes);
      assert(expected && "bytes" in verdict, hex(stream));
      assertSameBytes(verdict.bytes, expected, hex(stream));
    });
  },
);

testWithLiblzo2(
  `decode() takes and refuses damaged streams as liblzo2 does, but for a first byte of 17 [seed ${SEED}]`,
  (library) => {
    const streams = encodedStreams();
    let taken = 0;
    forAWhile((random) => {
      const { stream, outputBytes } = damagedSample(random, streams);
      const verdict = decodeStream(stream, outputBytes, { at: random(2) ? "start" : "end" });
      if (stream[0] === 17) return assert("fault" in verdict, hex(stream));
      const expected = library.decode(stream, outputBytes);
      const what = `${hex(stream)} to ${outputBytes} bytes`;
      assertEquals("bytes" in verdict, expected !== null, what);
      if (!("bytes" in verdict) || !expected) return;
      assertSameBytes(verdict.bytes, expected, what);
      taken++;
    });
    assert(taken > 50, `only ${taken} streams were valid`);
  },
);

testWithLiblzo2("decode() decodes what both of liblzo2's encoders write", (library) => {
  const random = randomFrom(SEED);
  const contents = [
    ...executableSlices(300_000, 4),
    sourceTexts(),
    wordyBytes(random, 200_000),
    randomBytes(random, 100_000),
    new Uint8Array(codec.CHUNK_BYTES),
    // Matches of two bytes, M1, pay off if pairs recur nearby.
    randomBytes(random, 50_000).map((byte) => byte & 15),
    ...[1, 2, 3, 4, 5, 15, 16, 17, 40, 41, 238, 239, 1000].flatMap((length) => [
      randomBytes(random, length),
      wordyBytes(random, length),
    ]),
  ];
  for (const bytes of contents) {
    for (const encoder of ["lzo1x_1_compress", "lzo1x_999_compress"] as const) {
      const stream = library.encode(encoder, bytes);
      const what = `${bytes.length} bytes of ${encoder}`;
      const expected = decodeReference(stream, bytes.length);
      assertSameVerdict(expected, { bytes }, what);
      assertSameVerdict(decodeStream(stream, bytes.length), expected, what);
    }
  }
});
