/**
 * Images of a real backup directory, with real workers, read and written without a file system.
 *
 * @module
 */

import { encodeChunk } from "../../lib/chunk/encoder.ts";
import { ChunkMissingError } from "../../lib/errors.ts";
import { ImageAccess } from "../../lib/image_access/image_access.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../assert.ts";
import { isSame } from "../pages/fake_chunks.ts";
import {
  addRevision,
  chunkFile,
  imageOf,
  makeStore,
  sampleBytes,
} from "../support/store_builder.ts";
import { Scratch } from "../support/machine.ts";
import { readOut } from "./fake_images.ts";

const C = CHUNK_BYTES;

Deno.test("ImageAccess reads and overwrites an image at any offset, without a mount", async () => {
  using scratch = new Scratch();
  const basedir = scratch.file("store");
  Deno.mkdirSync(basedir);
  makeStore(basedir);
  const [a, b] = [sampleBytes(1), sampleBytes(2)];
  addRevision(basedir, "r1", [a, "absent", b]);
  const lines: string[] = [];
  using images = new ImageAccess({
    basedir,
    cacheBytes: 4 * C,
    threads: 2,
    verify: true,
    onFailure: (line) => lines.push(line),
  });
  await images.start();
  const revision = { name: "r1", mapPath: `${basedir}/r1` };
  const file = await images.image(revision).open();
  const model = imageOf([a, "absent", b]);
  for (const [offset, length] of [[C - 7, C + 14], [2 * C + 1, C], [3 * C, 1]] as const) {
    const bytes = await readOut(file, offset, length);
    assert(isSame(bytes, model.subarray(offset, offset + length)), `${offset} + ${length}`);
  }
  const data = new Uint8Array(200).fill(0xab);
  await file.image.write(C - 100, data);
  model.set(data, C - 100);
  assert(isSame(await readOut(file, 0, 3 * C), model));
  file.close();
  // Other images of that revision have no changes, and a missing chunk fails reads of it only.
  Deno.removeSync(chunkFile(basedir, encodeChunk(b).id));
  using others = new ImageAccess({
    basedir,
    cacheBytes: 4 * C,
    threads: 1,
    verify: true,
    onFailure: (line) => lines.push(line),
  });
  const other = await others.image(revision).open();
  assert(isSame(await readOut(other, 0, C), a));
  await assertRejects(async () => await other.read(2 * C, 1), ChunkMissingError);
  assertEquals(lines.length, 1);
  assertStringIncludes(lines[0]!, '(seq 2) of revision "r1"');
});

Deno.test("ImageAccess uses memory again that many readers held beyond its cache", async () => {
  using scratch = new Scratch();
  const basedir = scratch.file("store");
  Deno.mkdirSync(basedir);
  makeStore(basedir);
  const seqs = Array.from({ length: 32 }, (_, seq) => seq);
  addRevision(basedir, "r1", seqs.map((seq) => sampleBytes(seq)));
  const ignore = () => {};
  using images = new ImageAccess({
    basedir,
    cacheBytes: 2 * C,
    threads: 2,
    verify: true,
    onFailure: ignore,
  });
  await images.start();
  const file = await images.image({ name: "r1", mapPath: `${basedir}/r1` }).open();
  /** Reads a half of the chunks at a time, so that the other half is gone afterwards. */
  const readHalf = async (half: number) => {
    const some = seqs.slice(16 * half, 16 * (half + 1));
    const all = await Promise.all(some.map((seq) => file.read(seq * C, 1)));
    for (const { release } of all) release();
  };
  await readHalf(0);
  using memories = countSharedMemories();
  for (const half of [1, 0, 1]) await readHalf(half);
  file.close();
  assertEquals(memories.count, 0);
});

/** Counts what is allocated, which the garbage collector may take for little. */
function countSharedMemories(): { readonly count: number } & Disposable {
  const Original = SharedArrayBuffer;
  let count = 0;
  globalThis.SharedArrayBuffer = class extends Original {
    constructor(bytes: number) {
      super(bytes);
      count++;
    }
  } as typeof SharedArrayBuffer;
  return {
    get count() {
      return count;
    },
    [Symbol.dispose]: () => void (globalThis.SharedArrayBuffer = Original),
  };
}
