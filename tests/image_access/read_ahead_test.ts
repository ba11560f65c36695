import { ReadAhead } from "../../lib/image_access/read_ahead.ts";
import { assert, assertEquals } from "../assert.ts";

const KIB = 1024, MIB = 1024 * KIB;

function depth(ahead: ReadAhead, offset: number, length: number): number {
  return ahead.follow(offset, length).aheadChunks;
}

Deno.test("ReadAhead.follow() loads more ahead the longer a run is, up to its limit", () => {
  const ahead = new ReadAhead(3);
  const depths = Array.from({ length: 10 }, (_, index) => depth(ahead, index * MIB, MIB));
  assertEquals(depths, [1, 0, 0, 2, 2, 0, 0, 3, 3, 0]);
});

Deno.test("ReadAhead.follow() loads nothing ahead of small and random reads", () => {
  const ahead = new ReadAhead(4);
  const offsets = [0, 900, 17, 333, 2, 650, 100, 444, 446].map((offset) => offset * MIB);
  for (const offset of offsets) assertEquals(depth(ahead, offset, 128 * KIB), 0);
  assertEquals(depth(ahead, 5000 * MIB, 256 * KIB), 0);
});

Deno.test("ReadAhead.follow() tolerates requests that overtake each other", () => {
  const ahead = new ReadAhead(4);
  const order = [0, 2, 1, 3, 5, 4, 7, 6];
  const found = order.map((index) => ahead.follow(index * 256 * KIB, 256 * KIB));
  assertEquals(found.map(({ isRun }) => isRun), order.map((_, nth) => nth >= 1));
  assertEquals(found.map(({ aheadChunks }) => aheadChunks), [0, 1, 0, 0, 0, 0, 0, 0]);
});

Deno.test("ReadAhead.follow() sees one run where a window of requests overtakes another", () => {
  const ahead = new ReadAhead(4);
  // As seen: the kernel reads ahead by 4 MiB, in requests of 512 KiB.
  const order = Array.from({ length: 20 }, (_, window) => {
    const first = 1 + 16 * window;
    return [0, 8, 9, 10, 11, 12, 13, 14, 15, 1, 2, 3, 4, 5, 6, 7].map((at) => first + at);
  }).flat();
  const passed = order.map((at) => ahead.follow(at * 512 * KIB, 512 * KIB).passed.endSeq);
  assertEquals(passed.at(-1), 38);
  // What is passed is not asked for any more.
  order.forEach((at, nth) => assert(Math.floor(at / 8) >= passed[nth]!));
});

Deno.test("ReadAhead.follow() follows a reader that leaves out holes, but not one that jumps", () => {
  // Of each 32 MiB the last 20 are a hole.
  const isData = (at: number) => at % 32 < 12;
  const dataFrom = (at: number) => isData(at / MIB) ? at : Math.ceil(at / (32 * MIB)) * 32 * MIB;
  const data = Array.from({ length: 100 }, (_, at) => at).filter(isData);
  const ahead = new ReadAhead(3);
  const reads = data.map((at) => ahead.follow(at * MIB, MIB, dataFrom).isRun);
  assertEquals(reads, data.map(() => true));
  const jumping = new ReadAhead(3);
  for (let index = 0; index < 40; index++) {
    const offset = index * 64 * MIB + (index % 2) * 4 * MIB;
    assertEquals(jumping.follow(offset, 256 * KIB, dataFrom).isRun, false);
  }
});

Deno.test("ReadAhead.follow() does not count bytes that are read again", () => {
  const ahead = new ReadAhead(4);
  for (let round = 0; round < 50; round++) assertEquals(depth(ahead, 8 * MIB, 128 * KIB), 0);
});

Deno.test("ReadAhead.follow() follows several runs at a time", () => {
  const ahead = new ReadAhead(4);
  const starts = [0, 100, 200, 300].map((start) => start * MIB);
  for (let step = 0; step < 4; step++) {
    for (const start of starts) {
      const { isRun } = ahead.follow(start + step * 256 * KIB, 256 * KIB);
      assertEquals(isRun, step >= 1);
    }
  }
});

Deno.test("ReadAhead.follow() loads nothing ahead if its limit is 0", () => {
  assertEquals(depth(new ReadAhead(0), 0, 8 * MIB), 0);
});

Deno.test("ReadAhead.follow() tells which chunks a long run has passed, each once", () => {
  const ahead = new ReadAhead(2);
  const passed: number[][] = [];
  for (let index = 0; index < 48; index++) {
    // The run begins within seq 2.
    const { firstSeq, endSeq } = ahead.follow((10 + index) * MIB, MIB).passed;
    if (firstSeq < endSeq) passed.push([index, firstSeq, endSeq]);
  }
  // After 32 MiB all but the last chunks, then one after the other.
  assertEquals(passed, [[31, 2, 8], [33, 8, 9], [37, 9, 10], [41, 10, 11], [45, 11, 12]]);
});

Deno.test("ReadAhead.follow() passes the rest of a long run when its reader jumps", () => {
  const ahead = new ReadAhead(4);
  const passed = (at: number) => {
    const { firstSeq, endSeq } = ahead.follow(at * MIB, MIB).passed;
    return Array.from({ length: endSeq - firstSeq }, (_, index) => firstSeq + index);
  };
  const found = Array.from({ length: 64 }, (_, at) => passed(at)).flat();
  assertEquals([...found, ...passed(1000)], Array.from({ length: 16 }, (_, seq) => seq));
  assertEquals(passed(2000), []);
  // It goes on nevertheless.
  for (let at = 64; at < 80; at++) found.push(...passed(at));
  assertEquals(found.at(-1), 17);
});

Deno.test("ReadAhead.follow() passes nothing in short runs", () => {
  const ahead = new ReadAhead(2);
  for (let file = 0; file < 20; file++) {
    for (let step = 0; step < 31; step++) {
      const { firstSeq, endSeq } = ahead.follow((file * 100 + step) * MIB, MIB).passed;
      assertEquals(firstSeq, endSeq);
    }
  }
});
