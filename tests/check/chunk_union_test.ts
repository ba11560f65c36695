import { ChunkUnion } from "../../lib/check/chunk_union.ts";
import { runSteps } from "../../lib/slices.ts";
import { CHUNK_BYTES, ZERO_CHUNK_ID } from "../../lib/store/layout.ts";
import { RevisionError } from "../../lib/errors.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { writeMap } from "../support/store_builder.ts";
import { Scratch } from "../support/machine.ts";

function idOf(number: number): string {
  return (number + 1).toString(16).padStart(8, "0").repeat(4);
}

/** The numbers of some ids that {@linkcode idOf} made, 16 bytes each. */
function numbersIn(ids: Uint8Array): number[] {
  return Array.from(
    { length: ids.length / 16 },
    (_, at) => Number.parseInt(ids.slice(16 * at, 16 * at + 4).toHex(), 16) - 1,
  );
}

/** Writes a map of chunks by their numbers. */
function mapOf(scratch: Scratch, name: string, numbers: readonly (number | null)[]): string {
  const ids = numbers.map((number) => number === null ? null : idOf(number));
  writeMap(scratch.path, name, { ids, size: ids.length * CHUNK_BYTES });
  return `${scratch.path}/${name}`;
}

function unionOf(...maps: string[]): ChunkUnion {
  const union = new ChunkUnion();
  for (const map of maps) runSteps(union.addMap(map));
  return union;
}

Deno.test("ChunkUnion.sharedIds() names each chunk once, in the order of the maps", () => {
  using scratch = new Scratch();
  const first = mapOf(scratch, "first", [3, 1, null, 3]);
  const second = mapOf(scratch, "second", [1, 2, null]);
  writeMap(scratch.path, "zeros", { ids: [ZERO_CHUNK_ID, null], size: 2 * CHUNK_BYTES });
  const union = new ChunkUnion();
  assertEquals(runSteps(union.addMap(first)), 4 * CHUNK_BYTES);
  assertEquals(runSteps(union.addMap(`${scratch.path}/zeros`)), 2 * CHUNK_BYTES);
  runSteps(union.addMap(second));
  assertEquals(union.size, 3);
  const ids = runSteps(union.sharedIds(1));
  assertEquals(ids.toHex(), [3, 1, 2].map(idOf).join(""));
  assert(ids.buffer instanceof SharedArrayBuffer);
});

Deno.test("ChunkUnion.sharedIds() chooses a share of the chunks at random, all equally likely", () => {
  using scratch = new Scratch();
  const count = 20;
  const union = unionOf(mapOf(scratch, "map", Array.from({ length: count }, (_, at) => at)));
  const shares: [share: number, jobs: number][] = [
    [1, 20],
    [0.999, 20],
    [0.5, 10],
    [0.051, 2],
    [1e-9, 1],
  ];
  for (const [share, jobs] of shares) {
    const numbers = numbersIn(runSteps(union.sharedIds(share)));
    assertEquals(numbers.length, jobs);
    const ascending = [...new Set(numbers)].sort((a, b) => a - b);
    assertEquals(numbers, ascending);
    assert(ascending.every((number) => number < count));
  }
  const times = new Array<number>(count).fill(0);
  for (let round = 0; round < 2000; round++) {
    for (const number of numbersIn(runSteps(union.sharedIds(0.25)))) times[number]!++;
  }
  // 500 on average; one that is 150 off happens about once in 10^13 runs.
  assert(times.every((number) => Math.abs(number - 500) < 150), times.join(" "));
});

Deno.test("ChunkUnion of nothing has no ids", () => {
  for (const share of [1, 0.1]) {
    assertEquals(runSteps(new ChunkUnion().sharedIds(share)).length, 0);
  }
});

Deno.test("ChunkUnion takes nothing from a map that is not valid", () => {
  using scratch = new Scratch();
  const good = mapOf(scratch, "good", [1, 2]);
  const bad = mapOf(scratch, "bad", Array.from({ length: 10_000 }, (_, at) => at));
  const text = Deno.readTextFileSync(bad);
  Deno.writeTextFileSync(bad, text.slice(0, -30) + text.slice(-29));
  const union = unionOf(good);
  assertThrows(() => runSteps(union.addMap(bad)), RevisionError);
  assertEquals(union.size, 2);
  assertEquals(runSteps(union.sharedIds(1)).toHex(), [1, 2].map(idOf).join(""));
  runSteps(union.addMap(mapOf(scratch, "next", [2, 3])));
  assertEquals(union.size, 3);
});

Deno.test("ChunkUnion.addMap() that is abandoned removes nothing, as that might take long", () => {
  using scratch = new Scratch();
  const union = new ChunkUnion();
  const map = mapOf(scratch, "map", Array.from({ length: 10_000 }, (_, at) => at));
  const steps = union.addMap(map);
  while (union.size === 0) steps.next();
  const { size } = union;
  steps.return(0);
  assertEquals(union.size, size);
});

Deno.test("ChunkUnion allocates no memory of the size of each map", () => {
  using scratch = new Scratch();
  const map = mapOf(scratch, "map", Array.from({ length: 1000 }, (_, at) => at));
  const Plain = SharedArrayBuffer;
  let made = 0;
  try {
    globalThis.SharedArrayBuffer = class extends Plain {
      constructor(length = 0) {
        super(length);
        made++;
      }
    };
    unionOf(map, map, map);
  } finally {
    globalThis.SharedArrayBuffer = Plain;
  }
  assertEquals(made, 0);
});
