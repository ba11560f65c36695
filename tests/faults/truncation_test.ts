/** Files of a store that are too short or too long. */

import { ChunkDecoder } from "../../lib/chunk/decoder.ts";
import { BackyError, ChunkCorruptError, RevisionError } from "../../lib/errors.ts";
import { CatalogReader } from "../../lib/store/catalog.ts";
import { CHUNK_BYTES, CHUNK_ENCODINGS, CHUNK_HEADER_BYTES } from "../../lib/store/layout.ts";
import { readRevisionMap, readRevisionSize } from "../../lib/store/revision_map.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { randomFrom } from "../support/random.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { decodedBy } from "./decoded.ts";
import { FaultStore } from "./fault_store.ts";

const SEED = 20190112;

/**
 * Lengths of a file that may be special: the header, the first instructions, blocks, pages, the end
 * marker.
 */
function lengthClasses(bytes: number): number[] {
  const random = randomFrom(SEED);
  const around = [CHUNK_HEADER_BYTES, 512, 4096, 65_536, bytes >> 1, bytes];
  const lengths = new Set([
    ...Array.from({ length: 40 }, (_, length) => length),
    ...around.flatMap((length) => [-4, -3, -2, -1, 0, 1].map((more) => length + more)),
    ...Array.from({ length: 60 }, () => random(bytes)),
  ]);
  return [...lengths].filter((length) => length < bytes).sort((a, b) => a - b);
}

function decoderOf(store: FaultStore): ChunkDecoder {
  return new ChunkDecoder(store.basedir, { verify: true, pageCache: "keep" });
}

for (const verify of [true, false]) {
  Deno.test(`A small chunk file cut at any length is refused${verify ? "" : ", without hashes too"}`, () => {
    const content = sampleBytes(1, 2000);
    using store = new FaultStore({ chunks: 0, last: content });
    const path = store.chunkFileAt(0);
    const good = Deno.readFileSync(path);
    Deno.chmodSync(path, 0o640);
    const decoder = new ChunkDecoder(store.basedir, { verify, pageCache: "keep" });
    for (let length = 0; length < good.length; length++) {
      Deno.writeFileSync(path, good.subarray(0, length));
      const outcome = decodedBy(decoder, store.revision.ids[0]!, content.length);
      assert(outcome instanceof ChunkCorruptError, `${length} bytes: ${outcome}`);
    }
  });
}

Deno.test("A full chunk's file cut at any class of length is refused", () => {
  using store = new FaultStore({ chunks: 1 });
  const path = store.chunkFileAt(0);
  const good = Deno.readFileSync(path);
  Deno.chmodSync(path, 0o640);
  const decoder = decoderOf(store);
  for (const length of lengthClasses(good.length)) {
    Deno.writeFileSync(path, good.subarray(0, length));
    const outcome = decodedBy(decoder, store.revision.ids[0]!, CHUNK_BYTES);
    assert(outcome instanceof ChunkCorruptError, `${length} bytes: ${outcome}`);
  }
});

Deno.test("A chunk file with anything behind its end is refused", () => {
  using store = new FaultStore({ chunks: 1 });
  const path = store.chunkFileAt(0);
  const good = Deno.readFileSync(path);
  Deno.chmodSync(path, 0o640);
  const decoder = decoderOf(store);
  const most = CHUNK_ENCODINGS[0].maxFileBytes;
  for (const length of [good.length + 1, good.length + 4096, most - 1, most, most + 1, 2 ** 40]) {
    Deno.writeFileSync(path, good);
    Deno.truncateSync(path, length);
    const outcome = decodedBy(decoder, store.revision.ids[0]!, CHUNK_BYTES);
    assert(outcome instanceof ChunkCorruptError, `${length} bytes: ${outcome}`);
  }
});

Deno.test("A restore with a cut chunk file fails and names it, or leaves zeros and lists it", async () => {
  using store = new FaultStore({ chunks: 4 });
  const path = store.chunkFileAt(2);
  const good = Deno.readFileSync(path);
  Deno.chmodSync(path, 0o640);
  const output = store.file("image");
  for (const length of [0, 3, CHUNK_HEADER_BYTES, 6, good.length >> 1, good.length - 1]) {
    Deno.writeFileSync(path, good.subarray(0, length));
    const error = await assertRejects(() => store.restore({ output }), ChunkCorruptError);
    assertEquals([error.chunkId, error.seqs, error.path], [store.revision.ids[2], [2], path]);
    const { badRanges } = await store.restore({ output, onError: "zero" });
    assertEquals(badRanges.map(({ offset }) => offset), [2 * CHUNK_BYTES]);
    const expected = store.image.slice();
    expected.fill(0, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES);
    assertBytes(Deno.readFileSync(output), expected);
  }
});

Deno.test("A map cut at any length is refused, and so is its size", () => {
  using store = new FaultStore({ chunks: 3, lastBytes: 100 });
  const { path, size } = store.revision;
  const good = Deno.readFileSync(path);
  for (let length = 0; length < good.length; length++) {
    Deno.writeFileSync(path, good.subarray(0, length));
    assertThrows(() => readRevisionMap(path), RevisionError);
    assertThrows(() => readRevisionSize(path), RevisionError);
  }
  for (const more of ["x", "}", "\0", "{}"]) {
    Deno.writeTextFileSync(path, new TextDecoder().decode(good) + more);
    assertThrows(() => readRevisionMap(path), RevisionError);
  }
  Deno.writeFileSync(path, good);
  assertEquals(readRevisionMap(path).imageBytes, size);
});

Deno.test("Metadata cut at any length never spoils the list, nor a restore by path", async () => {
  using store = new FaultStore({ chunks: 1 });
  const path = `${store.revision.path}.rev`;
  const good = Deno.readFileSync(path);
  const catalog = new CatalogReader(store.basedir);
  for (let length = 0; length < good.length; length++) {
    Deno.writeFileSync(path, good.subarray(0, length));
    const { revisions, skipped } = catalog.read();
    assertEquals(revisions.length + skipped.length, 1, `${length} bytes`);
  }
  Deno.writeFileSync(path, good.subarray(0, good.length >> 1));
  const output = store.file("image");
  await store.restore({ output });
  assertBytes(Deno.readFileSync(output), store.image);
});

Deno.test("A directory with an empty or truncated tag is not a store", async () => {
  using store = new FaultStore({ chunks: 1 });
  for (const tag of ["", "v", "\n"]) {
    Deno.writeTextFileSync(`${store.basedir}/chunks/store`, tag);
    await assertRejects(() => store.restore({ output: store.file("image") }), BackyError);
  }
});
