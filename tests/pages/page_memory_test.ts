import { adviseHugePages } from "../../lib/linux/files.ts";
import { PageMemory } from "../../lib/pages/page_memory.ts";
import { PageCache } from "../../lib/pages/page_cache.ts";
import { type Page, PagePool } from "../../lib/pages/page_pool.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals } from "../assert.ts";
import { fakeId } from "./fake_chunks.ts";

// Opens the C library, once a process, before any test does: a test would count as leaking it.
adviseHugePages(new Uint8Array());

const WASM_PAGE_BYTES = 65_536;
const SPAN = CHUNK_BYTES + 4096;
const START_PAGES = 3;

/** A worker's memory with two output buffers of its own, which can grow by some blocks. */
function newMemory(maxBlocks: number): PageMemory {
  const maximum = START_PAGES + Math.ceil(maxBlocks * SPAN / WASM_PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: START_PAGES, maximum, shared: true });
  return new PageMemory({
    memory,
    firstOutput: 2,
    start: START_PAGES * WASM_PAGE_BYTES,
    span: SPAN,
  });
}

Deno.test("PageMemory hands out separate blocks until the memory cannot grow", () => {
  const memory = newMemory(32);
  const blocks = Array.from({ length: 32 }, () => memory.takeBlock()!);
  blocks.forEach(({ bytes, home }, index) => {
    assertEquals(bytes.byteOffset, START_PAGES * WASM_PAGE_BYTES + index * SPAN);
    assertEquals([bytes.length, home?.output], [CHUNK_BYTES, 2 + index]);
    assert(bytes.buffer instanceof SharedArrayBuffer && home?.memory === memory);
  });
  // Views made before the memory grew see later writes.
  blocks[0]!.bytes[0] = 7;
  const whole = new Uint8Array(blocks[31]!.bytes.buffer);
  assertEquals(whole[blocks[0]!.bytes.byteOffset], 7);
  assertEquals(memory.takeBlock(), null);
});

Deno.test("PagePool takes pages in the wanted memory, and grows none without need", () => {
  const pool = new PagePool(100 * CHUNK_BYTES);
  const [one, two] = [newMemory(16), newMemory(16)];
  const a = pool.take(one);
  const b = pool.take(two);
  const c = pool.take();
  assertEquals([a.outputIn(one), a.outputIn(two), b.outputIn(two)], [2, null, 2]);
  assertEquals(c.outputIn(one), null);
  const { bytes } = b;
  for (const page of [a, b, c]) page.release();
  assert(pool.take(two).bytes === bytes);
  assertEquals(pool.take(one).outputIn(one), 2);
  // A page in memory of its own is free, so neither memory grows.
  assertEquals(pool.take(one).outputIn(one), null);
  assertEquals(pool.take(one).outputIn(one), 3);
  assertEquals(pool.allocatedBytes, 4 * CHUNK_BYTES);
});

Deno.test("PagePool allocates elsewhere when a memory cannot grow, or must not", () => {
  const full = newMemory(16);
  for (let block = 0; block < 16; block++) full.takeBlock();
  assertEquals(new PagePool(CHUNK_BYTES).take(full).outputIn(full), null);
  const fresh = newMemory(16);
  assertEquals(new PagePool(0).take(fresh).outputIn(fresh), null);
});

Deno.test("PageCache evicts a page in the wanted memory if one is among the oldest", async () => {
  const capacity = 16;
  const pool = new PagePool(2 * capacity * CHUNK_BYTES);
  const memories = [newMemory(32), newMemory(32)] as const;
  let wanted = memories[0];
  const taken: Page[] = [];
  const cache = new PageCache({
    pool,
    capacityBytes: capacity * CHUNK_BYTES,
    loader: {
      load: (_chunk, { takePage }) => {
        taken.push(takePage(wanted));
        return { done: Promise.resolve(CHUNK_BYTES), promote: () => {} };
      },
    },
  });
  const at = (number: number) => ({ dir: "/a", id: fakeId(number) });
  const visit = async (number: number) => (await cache.load(at(number), 1)).release();
  for (let number = 0; number < capacity; number++) {
    wanted = memories[number % 2 as 0 | 1];
    await visit(number);
  }
  const isThere = (number: number) => {
    const page = cache.get(at(number), 1);
    page?.release();
    return page !== null;
  };
  // Chunk 0 is older, but in the other memory.
  wanted = memories[1];
  await visit(100);
  assertEquals([0, 1].map(isThere), [true, false]);
  assert(taken.at(-1)!.outputIn(memories[1]) !== null);
  // Now chunks 2 and 3 are the oldest.
  await visit(101);
  assertEquals([2, 3].map(isThere), [true, false]);
  // If none of the oldest is in the wanted memory, the oldest of all goes, which is chunk 4.
  wanted = newMemory(16);
  await visit(102);
  assertEquals([4, 5].map(isThere), [false, true]);
  assertEquals(pool.allocatedBytes, capacity * CHUNK_BYTES);
});
