import * as codec from "lzo-wasm";
import { ChunkDecoder } from "../../lib/chunk/decoder.ts";
import type { ChunkRef } from "../../lib/chunk/chunk_ref.ts";
import { ChunkCorruptError, type ChunkFault, ChunkMissingError } from "../../lib/errors.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertInstanceOf, assertThrows } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { Scratch } from "../support/machine.ts";
import { addRevision, chunkFile, makeStore, sampleBytes } from "../support/store_builder.ts";

/** Where the chunks of these tests belong. */
const SEQS: readonly number[] = [3, 7];

/** A store of two chunks, one full and one short. */
class Scene implements Disposable {
  readonly #scratch = new Scratch();
  readonly basedir = this.#scratch.file("vm0");
  readonly full = sampleBytes(1);
  readonly short = sampleBytes(2, 100_000);
  readonly #ids: readonly (string | null)[];

  constructor() {
    makeStore(this.basedir);
    this.#ids = addRevision(this.basedir, "Revision", [this.full, this.short]).ids;
  }

  /** The chunk at a seq. */
  chunk(seq: 0 | 1): ChunkRef & { readonly path: string } {
    const id = this.#ids[seq]!;
    return { id, seqs: () => SEQS, path: chunkFile(this.basedir, id) };
  }

  decoder(verify = true): ChunkDecoder {
    return new ChunkDecoder(this.basedir, { verify, pageCache: "keep" });
  }

  /** Puts other content under a chunk's name; chunk files are read-only, so it is a new file. */
  replace(path: string, content: Uint8Array): void {
    Deno.removeSync(path);
    Deno.writeFileSync(path, content);
  }

  [Symbol.dispose](): void {
    this.#scratch[Symbol.dispose]();
  }
}

Deno.test("ChunkDecoder.decode() brings a chunk to the output buffer that is asked for", () => {
  using scene = new Scene();
  for (const pageCache of ["keep", "drop"] as const) {
    const decoder = new ChunkDecoder(scene.basedir, { verify: true, pageCache });
    for (let output = 0; output < codec.OUTPUT_COUNT; output++) {
      const { path, ...chunk } = scene.chunk(0);
      const decoded = decoder.decode(chunk, output, CHUNK_BYTES);
      const { bytes, fileBytes } = decoded;
      assertEquals({ bytes, fileBytes }, {
        bytes: CHUNK_BYTES,
        fileBytes: Deno.statSync(path).size,
      });
      assertBytes(codec.outputs[output]!, scene.full);
    }
  }
});

Deno.test("ChunkDecoder.decode() accepts a chunk that is longer than needed, and returns its length", () => {
  using scene = new Scene();
  for (const needed of [1, 99_999, 100_000]) {
    const { bytes } = scene.decoder().decode(scene.chunk(1), 0, needed);
    assertEquals(bytes, 100_000);
    assertBytes(codec.outputs[0]!.subarray(0, bytes), scene.short);
  }
});

Deno.test("ChunkDecoder.decode() reads chunks of the 999 level, and of any mode", () => {
  using scene = new Scene();
  const { path, ...chunk } = scene.chunk(1);
  const content = Deno.readFileSync(path);
  content[0] = 0xf1;
  scene.replace(path, content);
  Deno.chmodSync(path, 0o400);
  scene.decoder().decode(chunk, 0, 100_000);
  assertBytes(codec.outputs[0]!.subarray(0, 100_000), scene.short);
});

type Content = Uint8Array<ArrayBuffer>;

const HEADER_BYTES = 5;
const STREAM_FAULT = /^(LZO [a-z -]+) at input byte \d+$/;

function withByte(content: Content, at: number, byte: number): Content {
  content[at] = byte;
  return content;
}

function withLength(content: Content, bytes: number): Content {
  new DataView(content.buffer).setUint32(1, bytes, false);
  return content;
}

function withStream(...stream: number[]): (content: Content) => Content {
  return (content) => Uint8Array.of(...content.subarray(0, HEADER_BYTES), ...stream);
}

/** What the file of the short chunk contains, and how the error describes it. */
const FAULTS: readonly [
  name: string,
  damage: (content: Content) => Uint8Array,
  reason: ChunkFault,
  detail: string | RegExp,
][] = [
  ["no bytes", () => new Uint8Array(0), "header", "its file holds 0 bytes only"],
  ["half a header", (c) => c.slice(0, 4), "header", "its file holds 4 bytes only"],
  [
    "another marker",
    (c) => withByte(c, 0, 0xef),
    "header",
    "its file does not begin with 0xf0 or 0xf1",
  ],
  ["length 0", (c) => withLength(c, 0), "header", "its file announces 0 bytes"],
  [
    "a length beyond a chunk's",
    (c) => withLength(c, CHUNK_BYTES + 1),
    "header",
    "its file announces 4194305 bytes",
  ],
  ["length 2^32 - 1", (c) => withLength(c, -1), "header", "its file announces 4294967295 bytes"],
  [
    "a length below what is needed",
    (c) => withLength(c, 99_999),
    "size",
    "it holds 99999 bytes, the image needs 100000",
  ],
  [
    "more bytes than any chunk file",
    () => new Uint8Array(codec.input.length + 1).fill(0xf0),
    "size",
    `its file is longer than ${codec.input.length} bytes; no valid chunk file is`,
  ],
  [
    "no stream",
    (c) => c.slice(0, HEADER_BYTES),
    "encoding",
    "LZO stream ends early at input byte 0",
  ],
  ["half a stream", (c) => c.slice(0, c.length >> 1), "encoding", /^LZO stream ends early at/],
  ["no end marker", (c) => c.slice(0, -3), "encoding", /^LZO stream ends early at/],
  [
    "a length above the stream's",
    (c) => withLength(c, 100_001),
    "encoding",
    /^LZO stream ends before the announced length at/,
  ],
  [
    "a byte behind the end marker",
    (c) => Uint8Array.of(...c, 0),
    "encoding",
    /^LZO stream continues after its end marker at/,
  ],
  [
    "a match before the output's start",
    withStream(0x15, 1, 2, 3, 4, 0x40, 0xff, 0x11, 0, 0),
    "encoding",
    /^LZO look-behind overrun at/,
  ],
  [
    "a stream of an unknown version",
    withStream(17, 1, 0x11, 0, 0),
    "encoding",
    /^LZO stream of an un/,
  ],
];

for (const [name, damage, reason, detail] of FAULTS) {
  Deno.test(`ChunkDecoder.decode() refuses a file with ${name}: reason "${reason}"`, () => {
    using scene = new Scene();
    const { path, ...chunk } = scene.chunk(1);
    scene.replace(path, damage(Deno.readFileSync(path)));
    for (const verify of [true, false]) {
      const error = assertThrows(
        () => scene.decoder(verify).decode(chunk, 0, 100_000),
        ChunkCorruptError,
      );
      assertCorrupt(error, { id: chunk.id, path, reason, detail });
      if (reason === "encoding") assertInstanceOf(error.cause, codec.DecodeError);
    }
  });
}

function assertCorrupt(
  error: ChunkCorruptError,
  expected: { id: string; path: string; reason: ChunkFault; detail: string | RegExp },
): void {
  const { id, path, reason, detail } = expected;
  const start = `Cannot use chunk "${id}" (seqs 3, 7, image bytes 12582912 to 16777215, ` +
    "29360128 to 33554431): ";
  assert(error.message.startsWith(start), error.message);
  // With several directories, the user needs to know which file it is.
  const end = ` (file "${path}")`;
  assert(error.message.endsWith(end), error.message);
  const rest = error.message.slice(start.length, -end.length);
  assert(typeof detail === "string" ? rest === detail : detail.test(rest), error.message);
  if (reason === "encoding") assert(STREAM_FAULT.test(rest), rest);
  assertEquals([error.chunkId, error.seqs, error.path, error.reason], [id, SEQS, path, reason]);
}

Deno.test("ChunkDecoder.decode() refuses a stream that gives more than announced", () => {
  using scene = new Scene();
  const { path, ...chunk } = scene.chunk(1);
  scene.replace(path, withLength(Deno.readFileSync(path), 99_000));
  const error = assertThrows(() => scene.decoder().decode(chunk, 0, 99_000), ChunkCorruptError);
  assertCorrupt(error, {
    id: chunk.id,
    path,
    reason: "encoding",
    detail: /^LZO output overrun at/,
  });
});

Deno.test("ChunkDecoder.decode() refuses another chunk's content, unless it is not to verify", () => {
  using scene = new Scene();
  const { path, ...chunk } = scene.chunk(1);
  const other = scene.chunk(0);
  Deno.removeSync(path);
  Deno.copyFileSync(other.path, path);
  const error = assertThrows(() => scene.decoder().decode(chunk, 0, 100), ChunkCorruptError);
  const detail = `its content hashes to "${other.id}"`;
  assertCorrupt(error, { id: chunk.id, path, reason: "hash", detail });
  assertEquals(error.cause, undefined);
  assertEquals(scene.decoder(false).decode(chunk, 0, 100).bytes, CHUNK_BYTES);
});

Deno.test("ChunkDecoder.decode() works on after a failure", () => {
  using scene = new Scene();
  const { path, ...chunk } = scene.chunk(1);
  const decoder = scene.decoder();
  const content = Deno.readFileSync(path);
  scene.replace(path, content.slice(0, -1));
  assertThrows(() => decoder.decode(chunk, 0, 100_000), ChunkCorruptError);
  scene.replace(path, content);
  decoder.decode(chunk, 0, 100_000);
  assertBytes(codec.outputs[0]!.subarray(0, 100_000), scene.short);
});

Deno.test("ChunkDecoder.decode() says that a file is missing or cannot be read", () => {
  using scene = new Scene();
  const { path, ...chunk } = scene.chunk(0);
  const fails = () =>
    assertThrows(() => scene.decoder().decode(chunk, 0, CHUNK_BYTES), ChunkMissingError);
  Deno.removeSync(path);
  const missing = fails();
  assertEquals(
    missing.message,
    `Cannot read chunk "${chunk.id}" (seqs 3, 7, image bytes 12582912 to 16777215, ` +
      `29360128 to 33554431): there is no file "${path}"`,
  );
  assertEquals([missing.chunkId, missing.seqs, missing.path], [chunk.id, SEQS, path]);
  assertEquals((missing.cause as { errnoName?: string }).errnoName, "ENOENT");
  Deno.mkdirSync(path);
  assert(/Is a directory \(EISDIR\)$/.test(fails().message));
});

Deno.test("ChunkDecoder.prefetch() is silent about what decode() will report", () => {
  using scene = new Scene();
  const decoder = scene.decoder();
  const { id, path } = scene.chunk(0);
  decoder.prefetch(id);
  Deno.removeSync(path);
  decoder.prefetch(id);
});

Deno.test("ChunkDecoder accepts only a chunk id as part of a path", () => {
  using scene = new Scene();
  const chunk = { id: "../../../../../../../etc/passwd", seqs: () => [0] };
  assertThrows(() => scene.decoder().decode(chunk, 0, 1), RangeError, "as a chunk id");
  assertThrows(() => scene.decoder().prefetch(chunk.id), RangeError, "as a chunk id");
});
