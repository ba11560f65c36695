import { input, lastHash, murmur3, OUTPUT_COUNT, outputs } from "lzo-wasm";
import { CODECS } from "../../lib/chunk/codecs.ts";
import { CHUNK_BYTES, CHUNK_ENCODINGS, CHUNK_HEADER_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { randomFrom } from "../support/random.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { randomBytes } from "../wasm/random_streams.ts";

Deno.test("CHUNK_ENCODINGS tells every codec apart by name, suffix and markers", () => {
  const names = CHUNK_ENCODINGS.map(({ name }) => name);
  assertEquals(names.toSorted(), Object.keys(CODECS).sort());
  for (
    const tags of [
      CHUNK_ENCODINGS.map(({ suffix }) => suffix),
      CHUNK_ENCODINGS.flatMap(({ markers }) => markers),
    ]
  ) {
    assertEquals(new Set<unknown>(tags).size, tags.length);
  }
});

for (const { name, maxFileBytes } of CHUNK_ENCODINGS) {
  const codec = CODECS[name];
  const start = CHUNK_HEADER_BYTES;
  const contents = [
    Uint8Array.of(7),
    sampleBytes(1, 70_001),
    new Uint8Array(CHUNK_BYTES),
    randomBytes(randomFrom(2), CHUNK_BYTES),
  ];

  Deno.test(`${name} decodes and hashes what it encodes, within its largest file`, () => {
    assert(OUTPUT_COUNT >= 2);
    assert(input.length >= maxFileBytes);
    for (const content of contents) {
      const bytes = content.length;
      outputs[0]!.set(content);
      const id = murmur3(0, bytes).toHex();
      const end = start + codec.encode(0, { bytes, start });
      assert(end <= maxFileBytes);
      for (const hash of [false, true]) {
        outputs[1]!.fill(0xff);
        murmur3(1, 1); // another hash
        codec.decode({ start, end }, 1, { outputBytes: bytes, hash });
        assert(content.every((byte, at) => outputs[1]![at] === byte));
      }
      assertEquals(lastHash().toHex(), id);
    }
  });

  Deno.test(`${name} refuses a payload of another length by its DecodeError`, () => {
    const bytes = 70_001;
    outputs[0]!.set(sampleBytes(1, bytes));
    const end = start + codec.encode(0, { bytes, start });
    for (const [lastByte, outputBytes] of [[end - 1, bytes], [end, bytes - 1], [end, bytes + 1]]) {
      const payload = { start, end: lastByte! };
      const error = assertThrows(() =>
        codec.decode(payload, 1, { outputBytes: outputBytes!, hash: false })
      );
      assert(error instanceof codec.DecodeError);
    }
  });
}
