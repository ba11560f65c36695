import { runSteps } from "../../lib/slices.ts";
import { ChunkIdSet } from "../../lib/store/chunk_id_set.ts";
import { assert, assertEquals } from "../assert.ts";
import { randomFrom } from "../support/random.ts";

type Words = readonly [number, number, number, number];

function wordsOf(...ids: Words[]): Uint32Array {
  return Uint32Array.from(ids.flat());
}

/** Adds ids to a set and to a plain model, and compares them. */
function assertMatchesModel(ids: readonly Words[], others: readonly Words[] = []): void {
  const set = new ChunkIdSet();
  const model = new Map<string, Words>();
  const all = wordsOf(...ids);
  ids.forEach((id, number) => {
    set.add(all, 4 * number);
    if (!model.has(id.join())) model.set(id.join(), id);
    assertEquals(set.size, model.size);
  });
  for (const id of ids) assert(set.has(wordsOf(id), 0));
  for (const id of others) assertEquals(set.has(wordsOf(id), 0), model.has(id.join()), id.join());
  const shared = set.toSharedIds();
  assert(shared.buffer instanceof SharedArrayBuffer);
  assertEquals([...new Uint32Array(shared.buffer)], [...model.values()].flat());
}

Deno.test("ChunkIdSet holds nothing at first", () => {
  const set = new ChunkIdSet();
  assertEquals([set.size, set.toSharedIds().length], [0, 0]);
  assert(!set.has(new Uint32Array(4), 0));
});

Deno.test("ChunkIdSet keeps each id once, in the order in which they came", () => {
  assertMatchesModel([[1, 2, 3, 4], [4, 3, 2, 1], [1, 2, 3, 4], [0, 0, 0, 0]], [[1, 2, 3, 5]]);
  // Ids that differ only in one word.
  const near: Words[] = [[9, 8, 7, 6], [5, 8, 7, 6], [9, 5, 7, 6], [9, 8, 5, 6], [9, 8, 7, 5]];
  assertMatchesModel([...near, ...near], [[5, 5, 7, 6]]);
});

Deno.test("ChunkIdSet agrees with a plain model while it grows, many times", () => {
  const random = randomFrom(5);
  const word = () => random(2 ** 32);
  for (const count of [1, 682, 683, 684, 5000]) {
    const ids = Array.from({ length: count }, (): Words => [word(), word(), word(), word()]);
    const repeated = ids.map((id) => random(3) === 0 ? ids[random(count)]! : id);
    const others = Array.from({ length: 100 }, (): Words => [word(), word(), word(), word()]);
    assertMatchesModel(repeated, others);
  }
});

Deno.test("ChunkIdSet tells similar ids apart: few bits, same sums, permuted words", () => {
  const ids: Words[] = [];
  for (let number = 0; number < 3000; number++) {
    const words: [number, number, number, number] = [0, 0, 0, 0];
    words[number % 4] = ((number >> 2) % 250 + 1) << 20 >>> 0;
    words[(number + 1) % 4] = number % 3 === 0 ? 0x8000_0000 : 0;
    ids.push(words);
  }
  assertMatchesModel(ids, [[0, 0, 0, 0], [1, 0, 0, 0]]);
});

Deno.test("ChunkIdSet does not take for ever with ids that were made to collide", () => {
  // Words that differ only in their upper five bits: 0.2 s, or more than a minute if all collide.
  const count = 2 ** 18;
  const words = new Uint32Array(4 * count);
  for (let number = 0; number < count; number++) {
    for (let word = 0; word < 4; word++) words[4 * number + word] = (number >> (5 * word)) << 27;
  }
  const set = new ChunkIdSet();
  for (let round = 0; round < 2; round++) {
    for (let number = 0; number < count; number++) set.add(words, 4 * number);
    assertEquals(set.size, count);
  }
});

/** Ids that are all different. */
function manyIds(count: number, seed: number): Words[] {
  return Array.from({ length: count }, (_, at) => [at, seed, at ^ seed, 7] as const);
}

Deno.test("ChunkIdSet numbers its ids, also after it was emptied again and again", () => {
  const set = new ChunkIdSet();
  for (const [round, count] of [3, 5000, 1, 20_000, 0, 7].entries()) {
    const words = wordsOf(...manyIds(count, round));
    for (const _ of [1, 2]) for (let at = 0; at < count; at++) set.add(words, 4 * at);
    assertEquals(set.size, count);
    for (let at = 0; at < count; at++) assertEquals(set.numberOf(words, 4 * at), at);
    assertEquals(set.numberOf(wordsOf([1, 99, 2, 3]), 0), -1);
    set.clear();
    assertEquals([set.size, set.toSharedIds().length], [0, 0]);
    for (let at = 0; at < count; at++) assert(!set.has(words, 4 * at));
  }
});

Deno.test("ChunkIdSet.truncate() removes what was added last, and finds the others", () => {
  const set = new ChunkIdSet();
  const words = wordsOf(...manyIds(9000, 1));
  const addAll = () => {
    for (let at = 0; at < 9000; at++) set.add(words, 4 * at);
  };
  addAll();
  for (const size of [8999, 700, 0]) {
    runSteps(set.truncate(size));
    assertEquals(set.size, size);
    for (let at = 0; at < 9000; at++) {
      assertEquals(set.numberOf(words, 4 * at), at < size ? at : -1);
    }
  }
  addAll();
  assertEquals(set.size, 9000);
});

Deno.test("ChunkIdSet.addAll() and truncate() take many steps where there is much to do", () => {
  const set = new ChunkIdSet();
  const count = 400_000;
  const words = new Uint32Array(4 * count).map((_, at) => Math.imul(at + 1, 0x9e3779b1));
  let steps = 0;
  for (const _ of set.addAll(words, count, (index) => index % 4 !== 0)) steps++;
  assertEquals(set.size, 300_000);
  assert(steps >= 3, `${steps} steps`);
  assert(!set.has(words, 0) && set.numberOf(words, 4) === 0);
  steps = 0;
  for (const _ of set.truncate(10)) steps++;
  assert(steps >= 3, `${steps} steps`);
  assertEquals([set.size, set.numberOf(words, 4 * 13), set.numberOf(words, 4 * 14)], [10, 9, -1]);
});
