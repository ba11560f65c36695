/** Chunk files that vanish, change or become unreadable during a restore. */

import { ChunkCorruptError, ChunkMissingError, isChunkFault } from "../../lib/errors.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertInstanceOf, assertRejects } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { until } from "../support/wait.ts";
import { EventWatch, FaultStore, replaceFile } from "./fault_store.ts";
import { StalledRestore } from "./stalled_restore.ts";

const CHUNKS = 7;
/** A seq that a stalled restore has not reached. */
const LATE = 5;

let store: FaultStore;
Deno.test.beforeAll(() => void (store = new FaultStore({ chunks: CHUNKS, lastBytes: 5000 })));
Deno.test.afterAll(() => store[Symbol.dispose]());

type Change = (path: string, good: Uint8Array<ArrayBuffer>) => void;

const CHANGES: readonly [
  name: string,
  change: Change,
  expected: typeof ChunkMissingError | typeof ChunkCorruptError,
][] = [
  ["deleted", (path) => Deno.removeSync(path), ChunkMissingError],
  [
    "deleted with its folder",
    (path) => Deno.removeSync(path.slice(0, path.lastIndexOf("/")), { recursive: true }),
    ChunkMissingError,
  ],
  ["replaced by another chunk", (path) => {
    replaceFile(path, Deno.readFileSync(store.chunkFileAt(0)));
  }, ChunkCorruptError],
  ["cut off", (path, good) => {
    Deno.chmodSync(path, 0o640);
    Deno.truncateSync(path, good.length >> 1);
  }, ChunkCorruptError],
  ["overwritten where it lies", (path, good) => {
    Deno.chmodSync(path, 0o640);
    Deno.writeFileSync(path, new Uint8Array(good.length));
  }, ChunkCorruptError],
  ["unreadable, as a directory is", (path) => {
    Deno.removeSync(path);
    Deno.mkdirSync(path);
  }, ChunkMissingError],
];

/** Runs something with a change made at the late seq, then undoes the change. */
async function withChange(
  change: Change,
  run: (make: () => void) => Promise<void>,
): Promise<void> {
  const path = store.chunkFileAt(LATE);
  const good = Deno.readFileSync(path);
  try {
    await run(() => change(path, good));
  } finally {
    const folder = path.slice(0, path.lastIndexOf("/"));
    Deno.mkdirSync(folder, { recursive: true });
    await Deno.remove(path, { recursive: true }).catch(() => {});
    Deno.writeFileSync(path, good, { mode: 0o440 });
  }
}

for (const [name, change, expected] of CHANGES) {
  Deno.test(`A chunk that is ${name} in mid-restore ends it with its name; nothing wrong was written`, async () => {
    await withChange(change, async (make) => {
      await using stalled = await StalledRestore.start(store);
      make();
      const bytes = await stalled.readAll();
      const error = await stalled.ended;
      assert(isChunkFault(error) && error instanceof expected, String(error));
      assertEquals([error.chunkId, error.seqs], [store.revision.ids[LATE], [LATE]]);
      assert(bytes.length <= LATE * CHUNK_BYTES);
      assertBytes(bytes, store.image.subarray(0, bytes.length));
    });
  });

  Deno.test(`A chunk that is ${name} in mid-restore is zeros in the image and in the list, with --on-error=zero`, async () => {
    await withChange(change, async (make) => {
      const badIds: string[] = [];
      await using stalled = await StalledRestore.start(store, {
        onError: "zero",
        onEvent: (event) => void (event.type === "bad-chunk" && badIds.push(event.chunkId)),
      });
      make();
      const bytes = await stalled.readAll();
      assertEquals(await stalled.ended, null);
      assertEquals(badIds, [store.revision.ids[LATE]]);
      const image = store.image.slice();
      image.fill(0, LATE * CHUNK_BYTES, (LATE + 1) * CHUNK_BYTES);
      assertBytes(bytes, image);
    });
  });
}

Deno.test("A chunk that is replaced by an equal one in mid-restore does no harm", async () => {
  await using stalled = await StalledRestore.start(store);
  const path = store.chunkFileAt(LATE);
  replaceFile(path, Deno.readFileSync(path));
  assertBytes(await stalled.readAll(), store.image);
  assertEquals(await stalled.ended, null);
});

Deno.test("An update completes a file once its missing chunk is back", async () => {
  const output = store.file("image");
  await withChange((path) => Deno.removeSync(path), async (make) => {
    const watch = new EventWatch();
    const running = assertRejects(
      // A chunk's file has 80 KB: the restore takes some seconds.
      () =>
        store.restore({ output, threads: 1, readBytesPerSecond: 200_000, onEvent: watch.onEvent }),
      ChunkMissingError,
    );
    const { progress } = await watch.until("restoring");
    await until(() => progress().jobs >= 1, "a job");
    make();
    await running;
    assertBytes(
      Deno.readFileSync(output).subarray(0, CHUNK_BYTES),
      store.image.subarray(0, CHUNK_BYTES),
    );
  });
  const { sameBytes, writtenBytes } = await store.restore({ output, update: true });
  assertBytes(Deno.readFileSync(output), store.image);
  assert(sameBytes >= CHUNK_BYTES && writtenBytes > 0);
  assert(sameBytes + writtenBytes <= store.image.length);
});

Deno.test("A store that vanishes in mid-restore ends it; nothing wrong was written", async () => {
  const aside = store.file("aside");
  await using stalled = await StalledRestore.start(store);
  Deno.renameSync(store.basedir, aside);
  try {
    const bytes = await stalled.readAll();
    assertInstanceOf(await stalled.ended, ChunkMissingError);
    assertBytes(bytes, store.image.subarray(0, bytes.length));
  } finally {
    Deno.renameSync(aside, store.basedir);
  }
});
