import { type FileAhead, ReadAhead } from "../../lib/chunk/read_ahead.ts";
import { assert, assertEquals } from "../assert.ts";

/** Reads that end when they are told to. */
class Reads {
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();
  readonly ahead = new ReadAhead(({ id }) => {
    this.begun.push(id);
    return new Promise((resolve) => this.#ends.set(id, resolve));
  });

  add(id: string, isWanted: FileAhead["isWanted"] = () => true): void {
    this.ahead.add({ dir: "/vm0", id, isWanted });
  }

  async finish(id: string): Promise<void> {
    this.#ends.get(id)!();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

Deno.test("ReadAhead reads a few files at a time, in their order", async () => {
  const reads = new Reads();
  for (let file = 0; file < 12; file++) reads.add(String(file));
  assertEquals(reads.begun, ["0", "1", "2", "3", "4", "5", "6", "7"]);
  await reads.finish("3");
  await reads.finish("0");
  assertEquals(reads.begun.slice(8), ["8", "9"]);
});

Deno.test("ReadAhead leaves out files that nobody wants any more", async () => {
  const reads = new Reads();
  for (let file = 0; file < 8; file++) reads.add(String(file));
  let isWanted = true;
  reads.add("late", () => isWanted);
  reads.add("next");
  isWanted = false;
  await reads.finish("0");
  assertEquals(reads.begun.slice(8), ["next"]);
});

Deno.test("ReadAhead forgets what nobody wants any more while the first files hang", () => {
  const reads = new Reads();
  for (let file = 0; file < 8; file++) reads.add(String(file));
  const asked = Array<number>(3000).fill(0);
  for (const file of asked.keys()) {
    reads.add(`later ${file}`, () => {
      asked[file]!++;
      return false;
    });
  }
  assertEquals(asked.filter((times) => times === 1).length, 2048);
  assertEquals(reads.begun.length, 8);
});

Deno.test("ReadAhead.end() begins no more reads and waits for those that go on", async () => {
  const wantedThen: boolean[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const begun: string[] = [];
  const ahead = new ReadAhead(async ({ id }, isWanted) => {
    begun.push(id);
    await promise;
    wantedThen.push(isWanted());
  });
  for (let file = 0; file < 9; file++) {
    ahead.add({ dir: "/vm0", id: String(file), isWanted: () => true });
  }
  let hasEnded = false;
  const end = ahead.end().then(() => hasEnded = true);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert(!hasEnded);
  resolve();
  await end;
  assertEquals(begun.length, 8);
  assertEquals(wantedThen, Array(8).fill(false));
  ahead.add({ dir: "/vm0", id: "more", isWanted: () => true });
  assertEquals(begun.length, 8);
});

/** How many of ten files are read when the system has no more than this. */
function begunWith(room: { descriptors: number; threads: number }): number {
  let begun = 0;
  const read = () => {
    begun++;
    return new Promise<void>(() => {});
  };
  const ahead = new ReadAhead(read, {
    descriptorLimit: () => room.descriptors,
    threads: (wanted) => Math.min(wanted, room.threads),
  });
  for (let file = 0; file < 10; file++) {
    const isTaken = ahead.add({ dir: "/vm0", id: String(file), isWanted: () => true });
    assertEquals(isTaken, begun > 0);
  }
  return begun;
}

Deno.test("ReadAhead leaves descriptors to others where there are few", () => {
  for (const [descriptors, expected] of [[1024, 8], [256, 8], [255, 0], [44, 0]] as const) {
    assertEquals(begunWith({ descriptors, threads: 99 }), expected);
  }
});

Deno.test("ReadAhead leaves threads to others where there are few", () => {
  for (const [threads, expected] of [[99, 8], [24, 8], [23, 0], [1, 0], [0, 0]] as const) {
    assertEquals(begunWith({ descriptors: 1024, threads }), expected);
  }
});
