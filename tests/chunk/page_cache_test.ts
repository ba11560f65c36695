/**
 * What reading and prefetching chunk files does to the page cache, according to fincore(1).
 *
 * @module
 */

import { readChunkFileAhead } from "../../lib/chunk/chunk_file.ts";
import { ChunkDecoder } from "../../lib/chunk/decoder.ts";
import { closeFd, dropCachedPages, openFd, OpenFlag } from "../../lib/linux/files.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals } from "../assert.ts";
import { addRevision, chunkFile, makeStore, sampleBytes } from "../support/store_builder.ts";
import { testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { until } from "../support/wait.ts";

/** Bytes of a file that are in the page cache. */
function cachedBytes(path: string): number {
  return Number(runSync("fincore", "--bytes", "--noheadings", "--output", "RES", path));
}

/** Drops a file from the page cache, so that the next read comes from its storage. */
function evict(path: string): void {
  const fd = openFd(path, OpenFlag.O_RDONLY);
  dropCachedPages(fd, 0, Deno.statSync(path).size);
  closeFd(fd);
}

/** A store on a file system that is not in memory. */
class Scene implements Disposable {
  readonly #folder = Deno.makeTempDirSync({ dir: "/var/tmp", prefix: "page_cache_test_" });
  readonly basedir = `${this.#folder}/vm0`;
  readonly id: string;
  readonly path: string;

  constructor() {
    makeStore(this.basedir);
    const { ids } = addRevision(this.basedir, "Revision", [sampleBytes(1)]);
    this.id = ids[0]!;
    this.path = chunkFile(this.basedir, this.id);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

/** Why this cannot be tested here. */
function pageCacheProblem(): string | null {
  const missing = programProblem("fincore");
  if (missing !== null) return missing;
  try {
    using scene = new Scene();
    Deno.readFileSync(scene.path);
    const before = cachedBytes(scene.path);
    evict(scene.path);
    return before > 0 && cachedBytes(scene.path) === 0 ? null : "files of /var/tmp stay in memory";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const problem = pageCacheProblem();

testUnless(
  problem,
  "ChunkDecoder.decode() drops a chunk file from the page cache, or keeps it",
  () => {
    using scene = new Scene();
    for (const pageCache of ["keep", "drop"] as const) {
      const decoder = new ChunkDecoder(scene.basedir, { verify: true, pageCache });
      decoder.decode({ id: scene.id, seqs: () => [0] }, 0, CHUNK_BYTES);
      assertEquals(cachedBytes(scene.path) > 0, pageCache === "keep");
    }
  },
);

testUnless(
  problem,
  "ChunkDecoder.prefetch() has a chunk file read before it is needed",
  async () => {
    using scene = new Scene();
    evict(scene.path);
    assertEquals(cachedBytes(scene.path), 0);
    const decoder = new ChunkDecoder(scene.basedir, { verify: true, pageCache: "drop" });
    decoder.prefetch(scene.id);
    // At first the kernel may read only a part.
    await until(() => cachedBytes(scene.path) > 0, "the chunk file to be read");
  },
);

testUnless(
  problem,
  "readChunkFileAhead() has all of a chunk file read, as long as it is wanted",
  async () => {
    using scene = new Scene();
    const { basedir: dir, id, path } = scene;
    const size = Deno.statSync(path).size;
    evict(path);
    await readChunkFileAhead({ dir, id }, () => false);
    assertEquals(cachedBytes(path), 0);
    let asked = 0;
    await readChunkFileAhead({ dir, id }, () => asked++ === 0); // not between opening and asking
    assertEquals([asked, cachedBytes(path)], [2, 0]);
    await readChunkFileAhead({ dir, id }, () => true);
    await until(() => cachedBytes(path) >= size, "the chunk file to be read");
  },
);

Deno.test("readChunkFileAhead() is silent about what decode() will report", async () => {
  using scene = new Scene();
  const { basedir: dir, id, path } = scene;
  Deno.removeSync(path);
  await readChunkFileAhead({ dir, id }, () => true);
  Deno.mkdirSync(path);
  await readChunkFileAhead({ dir, id }, () => true);
});

testUnless(
  problem,
  "dropCachedPages() drops what lies in a range, to its first and last byte",
  () => {
    using scene = new Scene();
    const path = `${scene.basedir}/file`;
    {
      using file = Deno.openSync(path, { write: true, create: true });
      file.writeSync(new Uint8Array(4 * CHUNK_BYTES).fill(1));
      file.syncSync();
    }
    Deno.readFileSync(path);
    assert(cachedBytes(path) === 4 * CHUNK_BYTES);
    const fd = openFd(path, OpenFlag.O_RDONLY);
    // One byte is enough to drop its page; pages far away stay.
    dropCachedPages(fd, CHUNK_BYTES + 1000, 1);
    const left = cachedBytes(path);
    assert(left < 4 * CHUNK_BYTES && left >= 3 * CHUNK_BYTES, `${left}`);
    dropCachedPages(fd, 0, 4 * CHUNK_BYTES);
    closeFd(fd);
    assertEquals(cachedBytes(path), 0);
  },
);
