import * as codec from "lzo-wasm";
import { assert, assertEquals } from "../assert.ts";
import {
  assertSameBytes,
  assertSameVerdict,
  decodeStream,
  hex,
  moduleBytes,
  sourceConstant,
} from "./codec_harness.ts";
import { assemble, type Bytes, END, firstLiterals, m2, m3, m4, run } from "./lzo_assembler.ts";
import { decodeReference } from "./lzo_reference.ts";
import { randomFrom } from "../support/random.ts";
import { mutate, randomBytes, randomStream } from "./random_streams.ts";

const SLACK = sourceConstant("memory_map.ts", "SLACK");
const HASH_BYTES = 16;
const memory = new Uint8Array(codec.input.buffer);
const noise = randomBytes(randomFrom(13), 65_536);

interface Sample {
  readonly stream: Uint8Array<ArrayBuffer>;
  readonly outputBytes: number;
}

/** Streams that end in each kind of instruction and fill the output to its last byte. */
function fullChunks(): Sample[] {
  const outputBytes = codec.CHUNK_BYTES;
  const ends: Bytes[] = [
    run(noise.subarray(0, 18)),
    run(noise.subarray(0, 1000)),
    m2({ length: 8, distance: 7 }),
    m2({ length: 3, distance: 2048, trailing: [1] }),
    m3({ length: 32, distance: 16 }),
    m3({ length: 33, distance: 16384, trailing: [1, 2, 3] }),
    m3({ length: 101, distance: 3 }),
    m3({ length: 1000, distance: 15, trailing: [1, 2] }),
    m4({ length: 9, distance: 16385 }),
    m4({ length: 700, distance: 49151, trailing: [1] }),
  ];
  return ends.map((end) => {
    const endBytes = decodedBytes(end);
    // State 0 before `end`, so that a run is decoded as one.
    const match = m3({ length: outputBytes - 50_000 - endBytes, distance: 7232 });
    return {
      stream: assemble(run(noise.subarray(0, 50_000)), match, end, END),
      outputBytes,
    };
  });
}

/** Bytes that an instruction decodes to, according to the reference. */
function decodedBytes(instruction: Bytes): number {
  const before = assemble(run(noise.subarray(0, 50_000)), m2({ length: 3, distance: 1 }));
  const verdict = decodeReference(assemble(before, instruction, END));
  assert("bytes" in verdict);
  return verdict.bytes.length - 50_003;
}

/** Random streams, valid or damaged. */
function* randomSamples(seed: number, count: number): Generator<Sample> {
  const random = randomFrom(seed);
  const streams = Array.from({ length: 40 }, () => randomStream(random));
  for (let i = 0; i < count; i++) {
    const original = streams[random(streams.length)]!;
    const stream = random(4) ? mutate(original, random, streams) : original;
    const verdict = decodeReference(stream);
    // Sometimes a length that the stream does not have.
    const outputBytes = "bytes" in verdict && random(4)
      ? Math.max(1, verdict.bytes.length)
      : 1 + random(random(2) ? 3000 : codec.CHUNK_BYTES);
    yield { stream, outputBytes };
  }
}

/**
 * Asserts that nothing in memory changed outside of the given ranges. Compares words: the memory is
 * 13 MB.
 */
function assertUnchanged(before: Uint8Array, ranges: [start: number, end: number][], what: string) {
  let from = 0;
  const edges = [...ranges].sort(([a], [b]) => a - b);
  for (const [start, end] of [...edges, [memory.length, memory.length] as const]) {
    assertSameRange(before, from, start, what);
    from = end;
  }
}

function assertSameRange(before: Uint8Array, start: number, end: number, what: string): void {
  const [firstWord, lastWord] = [Math.ceil(start / 4), Math.floor(end / 4)];
  if (firstWord < lastWord) {
    const now = new Uint32Array(memory.buffer, firstWord * 4, lastWord - firstWord);
    const then = new Uint32Array(before.buffer, firstWord * 4, lastWord - firstWord);
    let i = 0;
    while (i < now.length && now[i] === then[i]) i++;
    if (i < now.length) throw new Error(`${what}: memory changed near ${(firstWord + i) * 4}`);
  }
  for (
    const [a, b] of [[start, Math.min(firstWord * 4, end)], [Math.max(lastWord * 4, start), end]]
  ) {
    for (let i = a!; i < b!; i++) {
      if (memory[i] !== before[i]) throw new Error(`${what}: memory changed at ${i}`);
    }
  }
}

/** Fills everything after the tables with a pattern. */
function fillBuffers(random: number): void {
  const pattern = new Uint8Array(4096).map((_, i) => (i * 167 + (i >> 8) + random) & 255);
  for (let at = codec.input.byteOffset; at < memory.length; at += pattern.length) {
    memory.set(pattern.subarray(0, memory.length - at), at);
  }
}

function assertStaysInside(samples: Iterable<Sample>, hash: boolean): void {
  fillBuffers(1);
  const before = memory.slice();
  for (const { stream, outputBytes } of samples) {
    const index = stream.length & 1;
    const outputStart = codec.outputs[index]!.byteOffset;
    const outputEnd = outputStart + outputBytes + SLACK;
    const inputEnd = codec.input.byteOffset + codec.input.length;
    before.set(stream, inputEnd - stream.length);
    const what = `${hex(stream)} to ${outputBytes} bytes`;
    const verdict = decodeStream(stream, outputBytes, { at: "end", output: index, hash });
    assertUnchanged(before, [[0, hash ? HASH_BYTES : 0], [outputStart, outputEnd]], what);
    assertSameVerdict(verdict, decodeReference(stream, outputBytes), what);
    // As before, for the next one.
    memory.set(before.subarray(outputStart, outputEnd), outputStart);
  }
}

Deno.test("decode() changes nothing but its output and slack: full chunks", () => {
  const samples = fullChunks();
  assertStaysInside(samples, false);
  assertStaysInside(samples.slice(0, 3), true);
});

Deno.test("decode() changes nothing but its output and slack: chunks that go on too long", () => {
  const damaged = fullChunks().flatMap(({ stream, outputBytes }): Sample[] => {
    const open = stream.subarray(0, stream.length - END.length);
    return [
      { stream: assemble(open, m3({ length: 5000, distance: 3 }), END), outputBytes },
      { stream: assemble(open, m4({ length: 5000, distance: 20_000 }), END), outputBytes },
      { stream, outputBytes: outputBytes - 1 },
    ];
  });
  assertStaysInside(damaged, false);
});

const SEED = 20190112;

Deno.test(`decode() changes nothing but its output and slack: random streams [seed ${SEED}]`, () => {
  assertStaysInside(randomSamples(SEED, 150), false);
});

Deno.test("encode() changes nothing but its stream, slack and dictionary", () => {
  const dictionaryStart = sourceDictionary();
  const dictionaryEnd = dictionaryStart + (4 << 14);
  const bytes = codec.CHUNK_BYTES;
  for (const fill of ["noise", "zeros", "mixed"]) {
    fillBuffers(2);
    const source = codec.outputs[1]!;
    if (fill === "zeros") source.fill(0);
    else for (let at = 0; at < bytes; at += 65_536) source.set(noise, at);
    if (fill === "noise") {
      for (let i = 0; i < bytes; i++) source[i]! ^= (i >> 16) * 37 + (i >> 20);
    }
    const before = memory.slice();
    const length = codec.encode(1, { bytes, start: 5 });
    const start = codec.input.byteOffset + 5;
    assertUnchanged(
      before,
      [[dictionaryStart, dictionaryEnd], [start, start + length + SLACK]],
      fill,
    );
  }
});

function sourceDictionary(): number {
  assertEquals(sourceConstant("memory_map.ts", "DICTIONARY_BITS"), 14);
  return 8 << 10;
}

Deno.test("murmur3() and scanZeros() change nothing but their results", () => {
  fillBuffers(3);
  const before = memory.slice();
  const bytes = codec.CHUNK_BYTES;
  const hash = codec.murmur3(1, bytes);
  const flags = codec.scanZeros(1, { bytes, granuleBytes: 65_536 });
  assertUnchanged(before, [
    [hash.byteOffset, hash.byteOffset + HASH_BYTES],
    [flags.byteOffset, flags.byteOffset + 64],
  ], "hash and scan");
});

// In an instance of the test's own, buffers can be at the end of the memory, so that an access
// beyond their slack traps.
const raw = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes())).exports as {
  memory: WebAssembly.Memory;
  errorOffset(): number;
  lzo1xDecode(
    input: number,
    inputBytes: number,
    output: number,
    bytes: number,
    hash: number,
  ): number;
  lzo1xEncode(input: number, bytes: number, output: number): number;
};
const rawMemory = new Uint8Array(raw.memory.buffer);
const BUFFERS_AT = 128 << 10;

interface Placed {
  readonly result: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Decodes with the end of the input's or of the output's slack at the memory's end. */
function decodeAtEnd(last: "input" | "output", { stream, outputBytes }: Sample): Placed {
  const end = rawMemory.length - SLACK;
  const input = last === "input" ? end - stream.length : BUFFERS_AT;
  const output = last === "output" ? end - outputBytes : BUFFERS_AT;
  rawMemory.set(stream, input);
  const result = raw.lzo1xDecode(input, stream.length, output, outputBytes, 0);
  const offset = result < 0 ? raw.errorOffset() : 0;
  return { result, offset, bytes: rawMemory.slice(output, output + outputBytes) };
}

Deno.test(`decode() reads and writes no byte beyond the slack, where that would trap [seed ${SEED}]`, () => {
  for (const sample of [...fullChunks(), ...randomSamples(SEED, 1500)]) {
    const { stream, outputBytes } = sample;
    const expected = decodeReference(stream, outputBytes);
    for (const last of ["input", "output"] as const) {
      const { result, offset, bytes } = decodeAtEnd(last, sample);
      const what = `${hex(stream)} to ${outputBytes} bytes, ${last} last`;
      assertSameVerdict(
        result < 0 ? { fault: codec.DECODE_FAULTS[-result - 1]!, inputOffset: offset } : { bytes },
        expected,
        what,
      );
    }
  }
});

Deno.test("decode() looks for the end of zero bytes in its input only, where more would trap", () => {
  const before = assemble(run(noise.subarray(0, 20_000)), m3({ length: 3, distance: 9 }));
  for (const opcode of [0x00, 0x10, 0x18, 0x20]) {
    for (const zeros of [0, 1, 50, 5000]) {
      const stream = assemble(before, [opcode], new Uint8Array(zeros));
      rawMemory.fill(0, rawMemory.length - SLACK);
      const { result, offset } = decodeAtEnd("input", { stream, outputBytes: 1 << 20 });
      assertEquals([result, offset], [-1, before.length], `opcode ${opcode}, ${zeros} zero bytes`);
    }
  }
});

Deno.test("encode() reads no byte beyond its source's slack, where that would trap", () => {
  for (const bytes of [1, 2, 15, 16, 17, 20, 21, 22, 40, 239, 300, 5000]) {
    for (const fill of [0, 1]) {
      const source = rawMemory.length - SLACK - bytes;
      rawMemory.set(fill ? noise.subarray(0, bytes) : new Uint8Array(bytes), source);
      const length = raw.lzo1xEncode(source, bytes, BUFFERS_AT);
      const stream = rawMemory.slice(BUFFERS_AT, BUFFERS_AT + length);
      const expected = rawMemory.slice(source, source + bytes);
      const verdict = decodeReference(stream);
      assert("bytes" in verdict);
      assertSameBytes(verdict.bytes, expected);
    }
  }
});

Deno.test(`decode() depends on nothing but the stream: other bytes around it, same verdict [seed ${SEED}]`, () => {
  const [input, output] = [BUFFERS_AT + (1 << 16), 4 << 20];
  for (const { stream, outputBytes } of randomSamples(SEED + 1, 600)) {
    const [zeros, ones] = [0x00, 0xff].map((fill) => {
      // Around both buffers as far as a match could reach, and in the output.
      rawMemory.fill(fill, input - 65_536, input + stream.length + 1024);
      rawMemory.fill(fill, output - 65_536, output + Math.min(outputBytes, 1 << 20) + 1024);
      rawMemory.set(stream, input);
      const result = raw.lzo1xDecode(input, stream.length, output, outputBytes, 0);
      const bytes = result < 0 ? undefined : rawMemory.slice(output, output + outputBytes);
      return { result, offset: raw.errorOffset(), bytes };
    });
    const what = hex(stream);
    assertEquals(zeros!.result, ones!.result, what);
    assertEquals(zeros!.offset, ones!.offset, what);
    if (zeros!.bytes) assertSameBytes(zeros!.bytes, ones!.bytes!, what);
  }
});

Deno.test("decode() decodes the same stream to the same bytes regardless of what the output held", () => {
  for (const { stream, outputBytes } of fullChunks()) {
    const [zeros, ones] = [0x00, 0xff].map((fill) => {
      codec.outputs[0]!.fill(fill);
      return decodeStream(stream, outputBytes);
    });
    assertSameVerdict(zeros!, ones!, hex(stream));
    assertSameVerdict(zeros!, decodeReference(stream, outputBytes), hex(stream));
  }
});

Deno.test("decode() ignores the bytes after its input", () => {
  // A stream without its end marker, followed by bytes that would continue it.
  const stream = assemble(firstLiterals(noise.subarray(0, 60)), m2({ length: 3, distance: 9 }));
  const outputBytes = 63;
  codec.input.set(stream);
  codec.input.set(END, stream.length);
  const run = () => codec.decode({ start: 0, end: stream.length }, 0, { outputBytes, hash: false });
  let fault: unknown;
  try {
    run();
  } catch (error) {
    fault = error instanceof codec.DecodeError ? error.fault : error;
  }
  assertEquals(fault, "LZO stream ends early");
});
