import { ChunkCorruptError, ChunkMissingError } from "../../lib/errors.ts";
import { PageCache } from "../../lib/pages/page_cache.ts";
import { type Page, PagePool } from "../../lib/pages/page_pool.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { randomFrom } from "../support/random.ts";
import { FakeChunks, fakeContent, fakeId, isSame, nextTurn } from "./fake_chunks.ts";

function setUp(pages: number, chunks: number) {
  const pool = new PagePool(pages * CHUNK_BYTES);
  const loader = new FakeChunks();
  for (let number = 0; number < chunks; number++) {
    loader.contents.set(fakeId(number), fakeContent(number));
  }
  const cache = new PageCache({ pool, loader, capacityBytes: pages * CHUNK_BYTES });
  const at = (number: number, dir = "/a") => ({ dir, id: fakeId(number) });
  /** Loads a chunk and releases it. */
  const visit = async (number: number) => {
    (cache.get(at(number), 1) ?? await cache.load(at(number), 1)).release();
  };
  return { pool, loader, cache, at, visit };
}

Deno.test("PagePool reuses memory that nobody holds, and no other", () => {
  const pool = new PagePool(2 * CHUNK_BYTES);
  const first = pool.take();
  first.retain();
  first.release();
  assert(pool.take().bytes !== first.bytes);
  first.release();
  const third = pool.take();
  assert(third.bytes === first.bytes);
  assertThrows(() => first.release(), TypeError, "given back");
  assertThrows(() => first.retain(), TypeError, "given back");
});

Deno.test("PagePool keeps no more memory than it may", () => {
  const pool = new PagePool(2 * CHUNK_BYTES);
  const pages = Array.from({ length: 5 }, () => pool.take());
  assertEquals(pool.allocatedBytes, 5 * CHUNK_BYTES);
  for (const page of pages) page.release();
  assertEquals(pool.allocatedBytes, 2 * CHUNK_BYTES);
});

Deno.test("PageCache loads a chunk once for all who ask for it meanwhile", async () => {
  const { cache, loader, at } = setUp(2, 1);
  loader.pause = nextTurn;
  const pages = await Promise.all([1, 2, 3].map(() => cache.load(at(0), 1)));
  assertEquals(loader.loaded.length, 1);
  assert(pages.every((page) => page === pages[0] && isSame(page.bytes, fakeContent(0))));
  for (const page of pages) page.release();
  assertEquals(cache.counts, { hits: 0, misses: 3, ahead: 0 });
  assert(cache.get(at(0), 1) === pages[0]);
  assertEquals(cache.counts.hits, 1);
});

Deno.test("PageCache keeps the same chunk of two directories apart", async () => {
  const { cache, loader, at } = setUp(2, 1);
  await cache.load(at(0, "/a"), 1);
  await cache.load(at(0, "/b"), 1);
  assertEquals(loader.loaded.length, 2);
});

Deno.test("PageCache evicts the least recently used page and stays in its bounds", async () => {
  const { cache, loader, pool, at, visit } = setUp(2, 3);
  for (const number of [0, 1, 0, 2, 0, 1]) await visit(number);
  assertEquals(loader.loaded, [0, 1, 2, 1].map(fakeId));
  assertEquals(cache.get(at(2), 1), null);
  assertEquals(pool.allocatedBytes, 2 * CHUNK_BYTES);
});

Deno.test("PageCache does not evict pages that somebody holds", async () => {
  const { cache, loader, at, visit } = setUp(2, 4);
  const held = await cache.load(at(0), 1);
  for (const number of [1, 2, 3, 0]) await visit(number);
  assertEquals(loader.loaded, [0, 1, 2, 3].map(fakeId));
  held.release();
  assert(held.isHeldOnce);
});

Deno.test("PageCache does not remember failures", async () => {
  const { cache, loader, pool, at } = setUp(2, 1);
  loader.shouldFail = () => true;
  const both = [cache.load(at(0), 1), cache.load(at(0), 1)];
  for (const load of both) await assertRejects(() => load, ChunkMissingError);
  assertEquals(loader.loaded.length, 1);
  loader.shouldFail = () => false;
  const page = await cache.load(at(0), 1);
  assert(isSame(page.bytes, fakeContent(0)));
  // The page of the failed load was reused.
  assertEquals(pool.allocatedBytes, CHUNK_BYTES);
});

Deno.test("PageCache refuses a chunk that is too short for one reader, and serves another", async () => {
  const { cache, loader, at } = setUp(2, 0);
  loader.contents.set(fakeId(0), fakeContent(0, 1000));
  const error = await assertRejects(() => cache.load(at(0), 1001), ChunkCorruptError);
  assertEquals([error.reason, error.chunkId], ["size", fakeId(0)]);
  assertThrows(() => cache.get(at(0), 1001), ChunkCorruptError, "holds 1000 bytes");
  const page = cache.get(at(0), 1000)!;
  page.release();
  // The refused readers do not hold it.
  assert(page.isHeldOnce);
});

Deno.test("PageCache prefetches what it does not have, as long as the loader accepts it", async () => {
  const { cache, loader, at } = setUp(2, 3);
  assert(cache.prefetch(at(0)));
  assert(cache.prefetch(at(0)));
  assertEquals(loader.ahead, [fakeId(0)]);
  const page = await cache.load(at(0), 1);
  assert(cache.prefetch(at(0)));
  page.release();
  loader.acceptsAhead = false;
  assert(!cache.prefetch(at(1)));
  assertEquals(loader.loaded, [fakeId(0)]);
  assertEquals(cache.counts, { hits: 0, misses: 1, ahead: 1 });
});

Deno.test("PageCache keeps a failed prefetch to itself", async () => {
  const { cache, loader, at, visit } = setUp(2, 1);
  loader.shouldFail = () => true;
  assert(cache.prefetch(at(0)));
  await nextTurn();
  loader.shouldFail = () => false;
  await visit(0);
  assertEquals(loader.loaded.length, 2);
});

Deno.test("PageCache never overwrites a page that somebody holds", async () => {
  const CHUNKS = 8;
  const { cache, loader, pool, at } = setUp(2, CHUNKS);
  const contents = Array.from({ length: CHUNKS }, (_, number) => fakeContent(number));
  const random = randomFrom(3);
  loader.pause = () => random(2) ? nextTurn() : Promise.resolve();
  loader.shouldFail = () => random(10) === 0;
  const held: [number, Page][] = [];
  const readOnce = async (number: number) => {
    try {
      held.push([number, cache.get(at(number), 1) ?? await cache.load(at(number), 1)]);
    } catch (error) {
      if (!(error instanceof ChunkMissingError)) throw error;
    }
  };
  for (let round = 0; round < 40; round++) {
    await Promise.all([readOnce(random(CHUNKS)), readOnce(random(CHUNKS))]);
    cache.prefetch(at(random(CHUNKS)));
    while (held.length > 3) {
      const [number, page] = held.splice(random(held.length), 1)[0]!;
      assert(isSame(page.bytes.subarray(0, page.length), contents[number]!), `round ${round}`);
      page.release();
    }
  }
  for (const [, page] of held) page.release();
  assert(pool.allocatedBytes <= 6 * CHUNK_BYTES);
});
