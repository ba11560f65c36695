import * as codec from "lzo-wasm";
import { assertEquals } from "../assert.ts";
import { decodeStream } from "./codec_harness.ts";
import { assemble, type Bytes, END, firstLiterals, m3, run } from "./lzo_assembler.ts";
import { randomFrom } from "../support/random.ts";
import { randomBytes } from "./random_streams.ts";

const MASK = (1n << 64n) - 1n;

/** MurmurHash3_x64_128 with seed 0 on 64-bit integers, as published. */
function murmur3Reference(bytes: Uint8Array): [h1: bigint, h2: bigint] {
  const c1 = 0x87c37b91114253d5n;
  const c2 = 0x4cf5ad432745937fn;
  const rotate = (x: bigint, by: bigint) => (x << by | x >> (64n - by)) & MASK;
  const mix = (k: bigint) => {
    k = (k ^ k >> 33n) * 0xff51afd7ed558ccdn & MASK;
    k = (k ^ k >> 33n) * 0xc4ceb9fe1a85ec53n & MASK;
    return k ^ k >> 33n;
  };
  const mixK1 = (k: bigint) => rotate(k * c1 & MASK, 31n) * c2 & MASK;
  const mixK2 = (k: bigint) => rotate(k * c2 & MASK, 33n) * c1 & MASK;
  const word = (start: number, end: number) => {
    let value = 0n;
    for (let i = Math.min(end, bytes.length) - 1; i >= start; i--) {
      value = value << 8n | BigInt(bytes[i]!);
    }
    return value;
  };
  let h1 = 0n;
  let h2 = 0n;
  const whole = bytes.length - bytes.length % 16;
  for (let at = 0; at < whole; at += 16) {
    h1 = ((rotate(h1 ^ mixK1(word(at, at + 8)), 27n) + h2) * 5n + 0x52dce729n) & MASK;
    h2 = ((rotate(h2 ^ mixK2(word(at + 8, at + 16)), 31n) + h1) * 5n + 0x38495ab5n) & MASK;
  }
  if (bytes.length - whole > 8) h2 ^= mixK2(word(whole + 8, whole + 16));
  if (bytes.length - whole > 0) h1 ^= mixK1(word(whole, whole + 8));
  h1 ^= BigInt(bytes.length);
  h2 ^= BigInt(bytes.length);
  h1 = (h1 + h2) & MASK;
  h2 = (h2 + h1) & MASK;
  h1 = mix(h1);
  h2 = mix(h2);
  h1 = (h1 + h2) & MASK;
  return [h1, (h2 + h1) & MASK];
}

function hashOf(bytes: Uint8Array): [h1: bigint, h2: bigint] {
  codec.outputs[0]!.set(bytes);
  return words(codec.murmur3(0, bytes.length));
}

function words(hash: Uint8Array): [h1: bigint, h2: bigint] {
  const view = new DataView(hash.buffer, hash.byteOffset, 16);
  return [view.getBigUint64(0, true), view.getBigUint64(8, true)];
}

const noise = randomBytes(randomFrom(19), 1000);

for (
  const [byte, id] of [
    [0x00, "c72b4ba82d1f51b71c8a18195ad33fc8"],
    [0x01, "ad92954d3d9926b51a07c64d0ee79f85"],
    [0x02, "164570efa9d3d3354db15e99e2f6c781"],
  ] as const
) {
  Deno.test(`murmur3() gives a chunk of 0x0${byte} the id that backy gives it`, () => {
    codec.outputs[1]!.fill(byte);
    assertEquals(codec.murmur3(1, codec.CHUNK_BYTES).toHex(), id);
  });
}

// Values on which implementations of the x64 variant with seed 0 agree: h1, then h2.
for (
  const [text, h1, h2] of [
    ["", 0x0000000000000000n, 0x0000000000000000n],
    ["hello", 0xcbd8a7b341bd9b02n, 0x5b1e906a48ae1d19n],
    ["hello, world", 0x342fac623a5ebc8en, 0x4cdcbc079642414dn],
    ["19 Jan 2038 at 3:14:07 AM", 0xb89e5988b737affcn, 0x664fc2950231b2cbn],
    [
      "The quick brown fox jumps over the lazy dog.",
      0xcd99481f9ee902c9n,
      0x695da1a38987b6e7n,
    ],
  ] as const
) {
  Deno.test(`murmur3() has the published value of "${text}"`, () => {
    const bytes = new TextEncoder().encode(text);
    assertEquals(hashOf(bytes), [h1, h2]);
    assertEquals(murmur3Reference(bytes), [h1, h2]);
  });
}

Deno.test("murmur3() equals the algorithm in big integers for 0 to 64 bytes and some more", () => {
  for (const length of [...Array(65).keys(), 100, 127, 128, 255, 256, 999, 1000]) {
    for (const bytes of [noise.subarray(0, length), new Uint8Array(length).fill(0xff)]) {
      assertEquals(hashOf(bytes), murmur3Reference(bytes), `${length} bytes`);
    }
  }
});

Deno.test("murmur3() tells trailing zeros apart and ignores what follows the bytes", () => {
  codec.outputs[0]!.fill(0);
  const hashes = Array.from({ length: 40 }, (_, length) => codec.murmur3(0, length).toHex());
  assertEquals(new Set(hashes).size, 40);
  codec.outputs[0]!.fill(0xff);
  codec.outputs[0]!.fill(0, 0, 20);
  assertEquals(codec.murmur3(0, 20).toHex(), hashes[20]);
});

Deno.test("lastHash() is what murmur3() returns", () => {
  const hash = codec.murmur3(0, 33).toHex();
  assertEquals(codec.lastHash().toHex(), hash);
});

/** Asserts that hashing on the way gives the hash of the decoded bytes. */
function assertHashesOnTheWay(stream: Uint8Array, outputBytes: number, what: string): void {
  codec.outputs[0]!.fill(0xa5, 0, Math.min(outputBytes + 64, codec.CHUNK_BYTES));
  const verdict = decodeStream(stream, outputBytes, { hash: true });
  const onTheWay = codec.lastHash().toHex();
  assertEquals("bytes" in verdict, true, what);
  assertEquals(onTheWay, codec.murmur3(0, outputBytes).toHex(), what);
}

const SPAN = 256 << 10;
const around = [-41, -40, -39, -17, -16, -15, -1, 0, 1, 15, 16, 17, 39, 40, 41];
const lengths = [1, 2, 3, 4].flatMap((spans) => around.map((add) => spans * SPAN + add))
  .concat(around.map((add) => codec.CHUNK_BYTES + add).filter((n) => n <= codec.CHUNK_BYTES));

Deno.test("decode() hashes on the way: encoded data of lengths around the hashed spans", () => {
  const content = new Uint8Array(codec.CHUNK_BYTES);
  const random = randomFrom(23);
  for (let at = 0; at < content.length;) {
    const part = noise.subarray(random(900)).subarray(0, 3 + random(60));
    content.set(part.subarray(0, content.length - at), at);
    at += part.length;
  }
  for (const length of lengths) {
    codec.outputs[0]!.set(content.subarray(0, length));
    const end = codec.encode(0, { bytes: length, start: 0 });
    assertHashesOnTheWay(codec.input.slice(0, end), length, `${length}`);
  }
});

Deno.test("decode() hashes on the way: one match or one run over many spans, then short ones", () => {
  const tail: Bytes[] = [[], m3({ length: 40, distance: 3 }), m3({ length: 500, distance: 40 })];
  const literals = new Uint8Array(codec.CHUNK_BYTES).map((_, i) => noise[i % 997]!);
  for (const length of lengths.filter((length) => length <= codec.CHUNK_BYTES - 600)) {
    const match = assemble(firstLiterals(noise.subarray(0, 50)), m3({ length, distance: 33 }));
    for (const [index, more] of tail.entries()) {
      const total = length + [0, 40, 500][index]!;
      assertHashesOnTheWay(assemble(match, more, END), total + 50, `match of ${length}`);
      const start = run(literals.subarray(0, length));
      assertHashesOnTheWay(assemble(start, more, END), total, `run of ${length}`);
    }
  }
  const whole = assemble(run(literals), END);
  assertHashesOnTheWay(whole, codec.CHUNK_BYTES, "one run");
});

Deno.test("decode() hashes on the way: 1 to 100 bytes", () => {
  for (let length = 1; length <= 100; length++) {
    assertHashesOnTheWay(
      assemble(firstLiterals(noise.subarray(0, length)), END),
      length,
      `${length}`,
    );
  }
});

Deno.test("decode() starts a new hash each time, also after a refused stream", () => {
  const good = assemble(firstLiterals(noise.subarray(0, 100)), END);
  const long = assemble(firstLiterals([1]), m3({ length: SPAN * 2, distance: 1 }), [0x40, 0xff]);
  decodeStream(long, codec.CHUNK_BYTES, { hash: true });
  assertHashesOnTheWay(good, 100, "after a refused stream");
});
