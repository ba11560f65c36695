import * as codec from "lzo-wasm";
import { ChunkDecoder } from "../../lib/chunk/decoder.ts";
import { encodeChunk, writeChunkFile } from "../../lib/chunk/encoder.ts";
import { CHUNK_BYTES, ZERO_CHUNK_ID } from "../../lib/store/layout.ts";
import { assertEquals, assertThrows } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { chunkFile, makeStore, sampleBytes } from "../support/store_builder.ts";
import { Scratch } from "../support/machine.ts";

const encodings: readonly [name: string, content: Uint8Array][] = [
  ["one byte", Uint8Array.of(7)],
  ["three bytes", Uint8Array.of(1, 2, 3)],
  ["a full chunk of data", sampleBytes(5)],
  ["a full chunk of zeros", new Uint8Array(CHUNK_BYTES)],
  ["noise, which LZO expands", incompressible(CHUNK_BYTES)],
  ["an odd number of bytes", sampleBytes(6, 77_777)],
];

function incompressible(bytes: number): Uint8Array {
  const content = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65_536) {
    crypto.getRandomValues(content.subarray(at, Math.min(at + 65_536, bytes)));
  }
  return content;
}

for (const [name, content] of encodings) {
  Deno.test(`encodeChunk() and ChunkDecoder round-trip ${name}`, () => {
    using scratch = new Scratch();
    makeStore(scratch.path);
    const chunk = encodeChunk(content);
    const header = new DataView(chunk.file.buffer, chunk.file.byteOffset);
    assertEquals([header.getUint8(0), header.getUint32(1, false)], [0xf0, content.length]);
    const { id } = chunk;
    writeChunkFile(scratch.path, chunk);
    const decoder = new ChunkDecoder(scratch.path, { verify: true, pageCache: "keep" });
    codec.outputs[1]!.fill(0xee);
    const { bytes } = decoder.decode({ id, seqs: () => [0] }, 1, content.length);
    assertEquals(bytes, content.length);
    assertBytes(codec.outputs[1]!.subarray(0, bytes), content);
  });
}

Deno.test("encodeChunk() names chunks as backy does", () => {
  const idOf = (byte: number) => encodeChunk(new Uint8Array(CHUNK_BYTES).fill(byte)).id;
  assertEquals([0, 1, 2].map(idOf), [
    ZERO_CHUNK_ID,
    "ad92954d3d9926b51a07c64d0ee79f85",
    "164570efa9d3d3354db15e99e2f6c781",
  ]);
});

Deno.test("encodeChunk() takes 1 to CHUNK_BYTES bytes", () => {
  assertThrows(() => encodeChunk(new Uint8Array(0)), RangeError, "a chunk of 0 bytes");
  assertThrows(() => encodeChunk(new Uint8Array(CHUNK_BYTES + 1)), RangeError);
});

Deno.test("writeChunkFile() makes a file of mode 0440 and leaves no temporary one", () => {
  using scratch = new Scratch();
  makeStore(scratch.path);
  const chunk = encodeChunk(sampleBytes(1, 5000));
  const content = chunk.file.slice();
  writeChunkFile(scratch.path, chunk);
  const path = chunkFile(scratch.path, chunk.id);
  assertEquals(Deno.statSync(path).mode! & 0o777, 0o440);
  assertBytes(Deno.readFileSync(path), content);
  assertEquals(path, `${scratch.path}/chunks/${chunk.id.slice(0, 2)}/${chunk.id}.chunk.lzo`);
  assertEquals(namesBeside(path), [`${chunk.id}.chunk.lzo`]);
});

Deno.test("writeChunkFile() leaves a file that is there as it is", () => {
  using scratch = new Scratch();
  makeStore(scratch.path);
  const chunk = encodeChunk(sampleBytes(1, 5000));
  const path = chunkFile(scratch.path, chunk.id);
  Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")));
  Deno.writeTextFileSync(path, "whatever stands there");
  const before = Deno.statSync(path);
  writeChunkFile(scratch.path, chunk);
  assertEquals(Deno.readTextFileSync(path), "whatever stands there");
  assertEquals(Deno.statSync(path).ino, before.ino);
  assertEquals(namesBeside(path), [`${chunk.id}.chunk.lzo`]);
});

Deno.test("writeChunkFile() removes its temporary file where it cannot finish", () => {
  using scratch = new Scratch();
  makeStore(scratch.path);
  const chunk = encodeChunk(sampleBytes(1, 5000));
  const path = chunkFile(scratch.path, chunk.id);
  Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")));
  const rename = Deno.renameSync;
  try {
    Deno.renameSync = () => {
      throw new Deno.errors.PermissionDenied("no");
    };
    assertThrows(() => writeChunkFile(scratch.path, chunk), Deno.errors.PermissionDenied);
  } finally {
    Deno.renameSync = rename;
  }
  assertEquals(namesBeside(path), []);
});

Deno.test("writeChunkFile() makes no backup directory", () => {
  using scratch = new Scratch();
  const chunk = encodeChunk(Uint8Array.of(1));
  assertThrows(() => writeChunkFile(`${scratch.path}/none`, chunk), Deno.errors.NotFound);
  assertEquals(namesBeside(`${scratch.path}/x`), []);
});

function namesBeside(path: string): string[] {
  return [...Deno.readDirSync(path.slice(0, path.lastIndexOf("/")))].map(({ name }) => name);
}
