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
