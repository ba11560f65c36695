import { planSteps } from "../lib/restore/plan.ts";
import { runSteps, Slices, type Steps } from "../lib/slices.ts";
import { readMapSteps } from "../lib/store/revision_map.ts";
import { CHUNK_BYTES } from "../lib/store/layout.ts";
import { assert, assertEquals, assertRejects } from "./assert.ts";
import { Scratch } from "./support/machine.ts";

function* counting(log: string[], steps: number): Steps<number> {
  try {
    for (let step = 0; step < steps; step++) {
      log.push(`step ${step}`);
      // Longer than a slice, so that there is a pause after each.
      const end = performance.now() + 31;
      while (performance.now() < end);
      yield;
    }
    return steps;
  } finally {
    log.push("cleaned up");
  }
}

Deno.test("Slices let timers run between the steps, and return the result", async () => {
  const log: string[] = [];
  const timer = setInterval(() => log.push("tick"), 1);
  try {
    assertEquals(await new Slices().run(counting(log, 3)), 3);
  } finally {
    clearInterval(timer);
  }
  assert(log.filter((entry) => entry === "tick").length >= 2, log.join());
  assertEquals(log.filter((entry) => entry !== "tick"), [
    ...["step 0", "step 1", "step 2"],
    "cleaned up",
  ]);
});

Deno.test("Slices end with the signal's reason, after what the steps clean up", async () => {
  const log: string[] = [];
  const controller = new AbortController();
  const reason = new Error("enough");
  setTimeout(() => controller.abort(reason), 1);
  const slices = new Slices({ signal: controller.signal });
  assertEquals(await assertRejects(() => slices.run(counting(log, 100))), reason);
  assertEquals(log.at(-1), "cleaned up");
  assert(log.length < 100);
});

/** Number of pauses that a computation offers. */
function countSteps<T>(steps: Steps<T>): number {
  for (let count = 0;; count++) if (steps.next().done) return count;
}

Deno.test("A map is read in many steps, whatever it consists of", () => {
  using scratch = new Scratch();
  const id = "4db6e194fd398e8edb76e11054d73eb0";
  const entries = Array.from({ length: 50_000 }, (_, seq) => `"${seq}": "${id}"`).join(", ");
  const size = 50_000 * CHUNK_BYTES;
  const values = `[${'{"a": [1, "x"]}, '.repeat(50_000)}0]`;
  const members = Array.from({ length: 5000 }, (_, at) => `"m${at}": 0`).join(", ");
  const texts = {
    mapping: `{"mapping": {${entries}}, "size": ${size}}`,
    // Where the size is neither first nor last, all is gone through to find it.
    sizeInTheMiddle: `{"mapping": {${entries}}, "size": ${size}, "x": "${"x".repeat(5000)}"}`,
    unknownValue: `{"x": ${values}, "mapping": {}, "size": 0}`,
    members: `{${members}, "mapping": {}, "size": 0}`,
  };
  for (const [name, text] of Object.entries(texts)) {
    const count = countSteps(readMapSteps(scratch.file(name, text)));
    assert(count > 10, `${name}: ${count} steps`);
  }
});

Deno.test("A map with a text that no producer writes is refused before it keeps signals waiting", () => {
  using scratch = new Scratch();
  const long = 20 * 2 ** 20;
  const texts = [
    `{"x": "${"x".repeat(long)}", "mapping": {}, "size": 0}`,
    `{"mapping": {}, ${" ".repeat(long)}"size": 0}`,
    `{"${"x".repeat(long)}": 0, "mapping": {}, "size": 0}`,
    `{"x": ${"1".repeat(long)}, "mapping": {}, "size": 0}`,
  ];
  for (const text of texts) {
    const path = scratch.file("map", text);
    let message = "";
    try {
      runSteps(readMapSteps(path));
    } catch (error) {
      message = (error as Error).message;
    }
    assert(message.includes("is too long to be a revision map's"), message);
    Deno.removeSync(path);
  }
});

Deno.test("A plan is made in many steps, with and without data, as an image and as records", () => {
  const seqCount = 1_000_000;
  const size = seqCount * CHUNK_BYTES;
  const data = new Uint8Array(new SharedArrayBuffer(16 * seqCount)).fill(7);
  const zeros = new Uint8Array(new SharedArrayBuffer(16 * seqCount));
  for (const ids of [data, zeros]) {
    for (const asRecords of [true, false]) {
      const map = { imageBytes: size, seqCount, ids, mappedCount: seqCount };
      const count = countSteps(planSteps(map, { asRecords }));
      assert(count > 40, `${count} steps`);
    }
  }
});
