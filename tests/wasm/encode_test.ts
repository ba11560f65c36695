import * as codec from "lzo-wasm";
import { assert, assertEquals } from "../assert.ts";
import { assertSameBytes, assertSameVerdict, decodeStream } from "./codec_harness.ts";
import { executableSlices, sourceTexts } from "./corpus.ts";
import { liblzo2, testWithLiblzo2 } from "../support/liblzo2.ts";
import { decodeReference } from "./lzo_reference.ts";
import { randomFrom } from "../support/random.ts";
import { randomBytes, wordyBytes } from "./random_streams.ts";

const random = randomFrom(17);
const noise = randomBytes(random, 120_000);

function encode(bytes: Uint8Array, start = 0): Uint8Array<ArrayBuffer> {
  codec.outputs[1]!.set(bytes);
  const length = codec.encode(1, { bytes: bytes.length, start });
  return codec.input.slice(start, start + length);
}

/**
 * Asserts that bytes survive encoding and decoding, by us, by the reference and by liblzo2, and
 * that the stream is small.
 */
function assertRoundTrip(bytes: Uint8Array, what: string): Uint8Array {
  const stream = encode(bytes);
  const most = bytes.length + Math.floor(bytes.length / 16) + 67;
  assert(stream.length <= most, `${what}: ${stream.length} bytes, more than ${most}`);
  assertSameVerdict(decodeReference(stream, bytes.length), { bytes }, `${what}, reference`);
  assertSameVerdict(decodeStream(stream, bytes.length), { bytes }, what);
  if (liblzo2) {
    const decoded = liblzo2.decode(stream, bytes.length);
    assert(decoded, `${what}: liblzo2 refuses the stream`);
    assertSameBytes(decoded, bytes, `${what}, liblzo2`);
  }
  return stream;
}

const fills: [name: string, make: (length: number) => Uint8Array][] = [
  ["incompressible data", (length) => noise.subarray(0, length)],
  ["zeros", (length) => new Uint8Array(length)],
  ["words", (length) => wordyBytes(randomFrom(length), length)],
  ["few values", (length) => noise.slice(0, length).map((byte) => byte & 1)],
];

for (const [name, make] of fills) {
  Deno.test(`encode() round trip: 1 to 600 bytes of ${name}`, () => {
    for (let length = 1; length <= 600; length++) assertRoundTrip(make(length), `${length}`);
  });
}

Deno.test("encode() round trip: every period from 1 to 40", () => {
  for (let period = 1; period <= 40; period++) {
    for (const length of [period + 1, 2 * period + 3, 100, 1000, 70_000]) {
      const bytes = new Uint8Array(length).map((_, i) => noise[i % period]!);
      const stream = assertRoundTrip(bytes, `${length} bytes of period ${period}`);
      if (length === 70_000) assert(stream.length < 400, `period ${period}: ${stream.length}`);
    }
  }
});

Deno.test("encode() round trip: literal runs of every length between matches", () => {
  const match = noise.subarray(0, 24);
  for (const count of [...Array(300).keys(), 500, 528, 529, 783, 784, 5000]) {
    const parts = [match, match, noise.subarray(1000, 1000 + count), match];
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 60));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    assertRoundTrip(bytes, `${count} literals`);
  }
});

Deno.test("encode() round trip: first literals around 238", () => {
  for (let count = 230; count <= 245; count++) {
    const bytes = new Uint8Array(count + 200);
    bytes.set(noise.subarray(0, count));
    assertRoundTrip(bytes, `${count} literals, then zeros`);
  }
});

Deno.test("encode() round trip: matches of every length at the edges of M2, M3 and M4", () => {
  const edges = [2048, 16384, 32768, 49151];
  const distances = edges.flatMap((edge) => [-2, -1, 0, 1, 2].map((add) => edge + add));
  for (const distance of distances) {
    const lengths = [4, 5, 8, 9, 10, 33, 34, 35, 264, 265, 288, 289, 700];
    for (const length of distance > 3000 ? lengths : [...lengths, ...Array(60).keys()]) {
      if (length < 4) continue;
      // Runs of zeros in between, so that there is little else to encode.
      const bytes = new Uint8Array(distance + length + 50);
      const source = noise.subarray(0, length);
      bytes.set(source, 20);
      bytes.set(source, 20 + distance);
      assertRoundTrip(bytes, `length ${length}, distance ${distance}`);
    }
  }
});

Deno.test("encode() finds a repeat up to 49151 bytes back, and none farther", () => {
  const source = noise.subarray(0, 64);
  for (const distance of [100, 2048, 2049, 16384, 16385, 32768, 49151, 49152, 60_000]) {
    // Zeros in between: they end in one match, after which every position is tried.
    const bytes = new Uint8Array(distance + 200);
    bytes.set(source, 20);
    bytes.set(source, 20 + distance);
    const length = assertRoundTrip(bytes, `distance ${distance}`).length;
    bytes.set(noise.subarray(1000, 1064), 20 + distance);
    const saved = encode(bytes).length - length;
    assertEquals(saved > 50, distance <= 49151, `distance ${distance}: ${saved} bytes saved`);
  }
});

Deno.test("encode() round trip: real data", () => {
  assertRoundTrip(sourceTexts(), "sources");
  for (const bytes of executableSlices(200_000, 5)) assertRoundTrip(bytes, "executable");
  for (const bytes of executableSlices(codec.CHUNK_BYTES, 2)) assertRoundTrip(bytes, "chunk");
});

Deno.test("encode() round trip: a full chunk of zeros, and one of incompressible data within the bound", () => {
  assertRoundTrip(new Uint8Array(codec.CHUNK_BYTES), "zeros");
  assertRoundTrip(randomBytes(random, codec.CHUNK_BYTES), "incompressible");
});

Deno.test("encode() stays within n + n/16 + 67 where literals and short matches alternate", () => {
  // The worst case: matches that save almost nothing, between runs that cost a byte or two.
  const dictionary = noise.subarray(0, 30_000);
  for (const count of [4, 5, 18, 19, 20, 22, 273, 274]) {
    const bytes = new Uint8Array(300_000);
    bytes.set(dictionary);
    let fresh = 40_000;
    for (let at = 30_000; at + count + 4 < bytes.length; at += count + 4) {
      bytes.set(noise.subarray(fresh, fresh + count), at);
      fresh = 40_000 + (fresh + count * 7 - 40_000) % 70_000;
      const from = random(29_000);
      bytes.set(bytes.subarray(from + at - 30_000, from + at - 30_000 + 4), at + count);
    }
    assertRoundTrip(bytes, `${count} literals`);
  }
});

Deno.test("encode() writes the same stream regardless of what it encoded before and where it starts", () => {
  const bytes = sourceTexts();
  const first = encode(bytes);
  encode(noise);
  codec.input.fill(0xff);
  codec.outputs[1]!.fill(0xff);
  assertSameBytes(encode(bytes, 5), first);
  codec.outputs[1]!.fill(0);
  assertSameBytes(encode(bytes, 1), first);
});

testWithLiblzo2("encode() makes real data at most a tenth larger than lzo1x_1 does", (library) => {
  const contents = [sourceTexts(), ...executableSlices(codec.CHUNK_BYTES, 6)];
  let ours = 0;
  let theirs = 0;
  for (const bytes of contents) {
    ours += encode(bytes).length;
    theirs += library.encode("lzo1x_1_compress", bytes).length;
  }
  assert(ours <= theirs * 1.1, `${ours} bytes, lzo1x_1 has ${theirs}`);
});
