import * as codec from "lzo-wasm";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { decodeStream, moduleBytes, sourceConstant, sourceText } from "./codec_harness.ts";
import { bytesOf } from "./lzo_assembler.ts";
import { randomFrom } from "../support/random.ts";
import { randomBytes } from "./random_streams.ts";

const module = new WebAssembly.Module(moduleBytes());
const memory = codec.input.buffer;

Deno.test("codec.wasm imports nothing", () => {
  assertEquals(WebAssembly.Module.imports(module), []);
});

Deno.test("codec.wasm exports what index.ts lists and its memory", () => {
  const names = WebAssembly.Module.exports(module).map(({ name, kind }) => `${kind} ${name}`);
  assertEquals(names.sort(), [
    "function errorOffset",
    "function hashAddress",
    "function inputAddress",
    "function inputCapacity",
    "function lzo1xDecode",
    "function lzo1xEncode",
    "function murmur3",
    "function outputAddress",
    "function outputCapacity",
    "function outputCount",
    "function zeroFlagsAddress",
    "function zeroScan",
    "memory memory",
  ]);
});

Deno.test("codec.wasm keeps its memory: views stay attached whatever function is called", () => {
  const byteLength = memory.byteLength;
  codec.outputs[0]!.set(randomBytes(randomFrom(1), 70_000));
  const end = codec.encode(0, { bytes: codec.CHUNK_BYTES, start: 0 });
  codec.decode({ start: 0, end }, 1, { outputBytes: codec.CHUNK_BYTES, hash: true });
  codec.murmur3(1, codec.CHUNK_BYTES);
  codec.scanZeros(1, { bytes: codec.CHUNK_BYTES, granuleBytes: 65536 });
  assertEquals(memory.byteLength, byteLength);
});

Deno.test("the buffers lie apart inside the memory, each followed by its slack", () => {
  const slack = sourceConstant("memory_map.ts", "SLACK");
  const buffers = [codec.input, ...codec.outputs];
  assertEquals(codec.outputs.length, codec.OUTPUT_COUNT);
  let end = 128 << 10; // the tables and the encoder's dictionary lie below
  for (const { byteOffset, length } of buffers) {
    assert(byteOffset >= end);
    assertEquals(byteOffset % 4096, 0);
    end = byteOffset + length + slack;
  }
  assert(end <= memory.byteLength);
});

Deno.test("decode() into output buffers that growing the memory adds", () => {
  const { start, span } = codec.ADDED_OUTPUTS;
  const into = (output: number) => {
    const end = codec.encode(0, { bytes: codec.CHUNK_BYTES, start: 0 });
    codec.decode({ start: 0, end }, output, { outputBytes: codec.CHUNK_BYTES, hash: true });
  };
  codec.outputs[0]!.set(randomBytes(randomFrom(2), 70_000));
  const missing = codec.OUTPUT_COUNT + 1;
  for (const output of [missing, missing + 0.5, -1, NaN]) {
    assertThrows(() => into(output), RangeError, "output");
  }
  codec.memory.grow(Math.ceil(2 * span / 65_536));
  into(missing);
  const buffer = codec.memory.buffer;
  const added = new Uint8Array(buffer, start + span, codec.CHUNK_BYTES);
  assert(
    buffer instanceof SharedArrayBuffer &&
      added.every((byte, at) => byte === codec.outputs[0]![at]),
  );
  assertEquals(codec.outputAt(missing).byteOffset, start + span);
  const hash = codec.lastHash().toHex();
  codec.murmur3(0, 1); // another hash
  assertEquals(codec.murmur3(missing, codec.CHUNK_BYTES).toHex(), hash);
  // Each buffer with its slack ends where the next one starts.
  assert(span >= codec.CHUNK_BYTES + sourceConstant("memory_map.ts", "SLACK"));
  assertThrows(() => into(missing + 1), RangeError, "the memory ends before it");
});

Deno.test("input holds a chunk file of incompressible data", () => {
  assertEquals(codec.CHUNK_BYTES, 4 << 20);
  assert(codec.input.length >= 5 + codec.CHUNK_BYTES + codec.CHUNK_BYTES / 16 + 67);
});

Deno.test("DECODE_FAULTS names every result code of lzo1x_decode.ts", () => {
  const codes = [...sourceText("lzo1x_decode.ts").matchAll(/^export const (\w+): i32 = -(\d+);/gm)];
  assertEquals(codes.map(([, name, code]) => `${code} ${name}`), [
    "1 INPUT_OVERRUN",
    "2 OUTPUT_OVERRUN",
    "3 LOOKBEHIND_OVERRUN",
    "4 INPUT_NOT_CONSUMED",
    "5 OUTPUT_UNDERRUN",
    "6 UNKNOWN_VERSION",
  ]);
  assertEquals(codec.DECODE_FAULTS.length, codes.length);
});

// In the order of DECODE_FAULTS.
const provoked = [
  { name: "INPUT_OVERRUN", stream: '15 "abcd" 22 0c', outputBytes: 8, inputOffset: 5 },
  { name: "OUTPUT_OVERRUN", stream: '15 "abcd" 6c 00 11 00 00', outputBytes: 7, inputOffset: 5 },
  {
    name: "LOOKBEHIND_OVERRUN",
    stream: '15 "abcd" 70 00 11 00 00',
    outputBytes: 8,
    inputOffset: 5,
  },
  { name: "INPUT_NOT_CONSUMED", stream: '15 "abcd" 11 00 00 00', outputBytes: 4, inputOffset: 8 },
  { name: "OUTPUT_UNDERRUN", stream: '15 "abcd" 11 00 00', outputBytes: 5, inputOffset: 8 },
  { name: "UNKNOWN_VERSION", stream: "11 00 00", outputBytes: 1, inputOffset: 0 },
];

for (const [index, { name, stream, outputBytes, inputOffset }] of provoked.entries()) {
  Deno.test(`decode() reports ${name} with the byte where it lies`, () => {
    const fault = codec.DECODE_FAULTS[index]!;
    assertEquals(decodeStream(bytesOf(stream), outputBytes), { fault, inputOffset });
  });
}

Deno.test("DecodeError says what is wrong and where", () => {
  codec.input.set(bytesOf('15 "abcd" 70 00 11 00 00'), 100);
  const error = assertThrows(
    () => codec.decode({ start: 100, end: 110 }, 0, { outputBytes: 8, hash: false }),
    codec.DecodeError,
  );
  assertEquals(error.message, "LZO look-behind overrun at input byte 5");
  assertEquals(error.name, "DecodeError");
});

Deno.test("decode() rejects ranges that do not fit their buffers", () => {
  const inputBytes = codec.input.length;
  const wrong: [number, number, number, number][] = [
    [0, inputBytes + 1, 0, 1],
    [-1, 10, 0, 1],
    [11, 10, 0, 1],
    [0.5, 10, 0, 1],
    [0, NaN, 0, 1],
    [0, Infinity, 0, 1],
    [0, 10, 0, codec.CHUNK_BYTES + 1],
    [0, 10, 0, -1],
    [0, 10, 0, NaN],
    [0, 10, 99, 1],
    [0, 10, -1, 1],
    [0, 10, 0.5, 1],
  ];
  for (const [start, end, output, outputBytes] of wrong) {
    const options = { outputBytes, hash: false };
    assertThrows(() => codec.decode({ start, end }, output, options), RangeError, "Cannot use");
  }
});

Deno.test("encode() rejects 0 bytes", () => {
  assertThrows(() => codec.encode(0, { bytes: 0, start: 0 }), RangeError, "Cannot encode 0 bytes");
});

Deno.test("encode() and murmur3() reject ranges that do not fit their buffers", () => {
  for (const bytes of [codec.CHUNK_BYTES + 1, -1, 1.5, NaN]) {
    assertThrows(() => codec.encode(0, { bytes, start: 0 }), RangeError, "Cannot use");
    assertThrows(() => codec.murmur3(0, bytes), RangeError, "Cannot use");
  }
  for (const start of [-1, 6, 0.5, NaN]) {
    assertThrows(() => codec.encode(0, { bytes: 1, start }), RangeError, "Cannot use");
  }
  for (const output of [99, -1, 0.5]) {
    assertThrows(() => codec.encode(output, { bytes: 1, start: 0 }), RangeError, "Cannot use");
    assertThrows(() => codec.murmur3(output, 1), RangeError, "Cannot use");
    assertThrows(() => codec.outputAt(output), RangeError, "Cannot use");
  }
});
