import { ReadAhead } from "../../lib/image_access/read_ahead.ts";
import { assertEquals } from "../assert.ts";

const KIB = 1024, MIB = 1024 * KIB;

Deno.test("ReadAhead.follow() loads more ahead the longer a run is, up to its limit", () => {
  const ahead = new ReadAhead(3);
  const depths = Array.from({ length: 10 }, (_, index) => ahead.follow(index * MIB, MIB));
  assertEquals(depths, [1, 1, 1, 2, 2, 2, 2, 3, 3, 3]);
});

Deno.test("ReadAhead.follow() loads nothing ahead of small and random reads", () => {
  const ahead = new ReadAhead(4);
  const offsets = [0, 900, 17, 333, 2, 650, 100, 444, 446].map((offset) => offset * MIB);
  for (const offset of offsets) assertEquals(ahead.follow(offset, 128 * KIB), 0);
  assertEquals(ahead.follow(5000 * MIB, 256 * KIB), 0);
});

Deno.test("ReadAhead.follow() tolerates requests that overtake each other", () => {
  const ahead = new ReadAhead(4);
  const order = [0, 2, 1, 3, 5, 4, 7, 6];
  assertEquals(order.map((index) => ahead.follow(index * 256 * KIB, 256 * KIB)).slice(2), [
    1,
    1,
    1,
    1,
    1,
    1,
  ]);
});

Deno.test("ReadAhead.follow() does not count bytes that are read again", () => {
  const ahead = new ReadAhead(4);
  for (let round = 0; round < 50; round++) assertEquals(ahead.follow(8 * MIB, 128 * KIB), 0);
});

Deno.test("ReadAhead.follow() follows several runs at a time", () => {
  const ahead = new ReadAhead(4);
  const starts = [0, 100, 200, 300].map((start) => start * MIB);
  for (let step = 0; step < 4; step++) {
    for (const start of starts) {
      const depth = ahead.follow(start + step * 256 * KIB, 256 * KIB);
      assertEquals(depth, step < 1 ? 0 : 1);
    }
  }
});

Deno.test("ReadAhead.follow() loads nothing ahead if its limit is 0", () => {
  assertEquals(new ReadAhead(0).follow(0, 8 * MIB), 0);
});
