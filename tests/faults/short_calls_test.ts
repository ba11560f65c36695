/**
 * Reads and writes that are cut short, and calls that a signal interrupts: with `stub_libc.c` in
 * the C library's place.
 */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertSuccess, extract } from "../cli/harness.ts";
import { SampleStore, Seq } from "../cli/sample_store.ts";
import { assertBytes } from "../support/bytes.ts";
import { applyRbdDiff } from "../support/rbd_diff.ts";
import { LoopDevice, loopDeviceProblem, Scratch, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import type { Outcome } from "../support/tool.ts";

/** The stub, compiled. */
class StubLibc implements Disposable {
  readonly #scratch = new Scratch();
  readonly #counts = this.#scratch.file("counts", new Uint8Array(16));
  readonly env: Readonly<Record<string, string>>;

  constructor() {
    const source = new URL("stub_libc.c", import.meta.url).pathname;
    const compile = (name: string, ...options: string[]) => {
      const path = this.#scratch.file(name);
      runSync("cc", "-O2", "-Wall", "-Werror", ...options, "-shared", "-fPIC", "-o", path, source);
      return path;
    };
    this.env = {
      LD_PRELOAD: compile("preload.so", "-DPRELOAD"),
      STUB_LIBC: compile("stub.so"),
      STUB_COUNTS: this.#counts,
    };
  }

  /**
   * Counts calls that were cut short and calls that were interrupted since the last time.
   */
  takeCounts(): { short: number; interrupted: number } {
    const view = new DataView(Deno.readFileSync(this.#counts).buffer);
    Deno.writeFileSync(this.#counts, new Uint8Array(16));
    return {
      short: Number(view.getBigUint64(0, true)),
      interrupted: Number(view.getBigUint64(8, true)),
    };
  }

  [Symbol.dispose](): void {
    this.#scratch[Symbol.dispose]();
  }
}

const problem = programProblem("cc");
let stub: StubLibc;
let store: SampleStore;
Deno.test.beforeAll(() => {
  if (problem === null) stub = new StubLibc();
  store = new SampleStore();
});
Deno.test.afterAll(() => {
  stub?.[Symbol.dispose]();
  store[Symbol.dispose]();
});

/** Runs the tool with the stub, which must have been busy. */
async function extractBadly(args: readonly string[]): Promise<Outcome> {
  stub.takeCounts();
  const outcome = await extract(args, { env: stub.env });
  const { short, interrupted } = stub.takeCounts();
  assert(short >= 1 && short + interrupted >= 5, `${short} short, ${interrupted} interrupted`);
  return outcome;
}

/** The target's old content. */
function oldContent(): Uint8Array<ArrayBuffer> {
  const old = store.image.slice();
  old.fill(0xaa, CHUNK_BYTES, 2 * CHUNK_BYTES);
  old.fill(0xaa, Seq.LAST * CHUNK_BYTES - 10);
  return old;
}

const TO_FILE: readonly (readonly string[])[] = [
  [],
  ["--sparse=never"],
  ["--update"],
  ["--verify-target"],
  ["-t", "1"],
  ["-t", "8", "--no-sync"],
];

for (const options of TO_FILE) {
  testUnless(
    problem,
    `A restore to a file is right with short and interrupted calls (${options.join(" ")})`,
    async () => {
      const output = store.file("image", oldContent());
      assertSuccess(await extractBadly([...options, store.revision.path, output]));
      assertBytes(Deno.readFileSync(output), store.image);
    },
  );
}

testUnless(problem, "A restore to a pipe is right with short and interrupted calls", async () => {
  const outcome = await extractBadly([store.revision.path, "-"]);
  assertSuccess(outcome);
  assertBytes(outcome.stdout, store.image);
});

testUnless(problem, "A diff for Ceph is right with short and interrupted calls", async () => {
  const outcome = await extractBadly(["--format=rbd-diff", store.revision.path, "-"]);
  assertSuccess(outcome);
  assertBytes(applyRbdDiff(outcome.stdout), store.image);
});

testUnless(
  problem ?? loopDeviceProblem(),
  "A restore to a device is right with short and interrupted calls",
  async () => {
    using device = new LoopDevice(16 * CHUNK_BYTES);
    assertSuccess(await extractBadly([store.revision.path, device.path]));
    assertBytes(device.read().subarray(0, store.image.length), store.image);
  },
);

testUnless(
  problem,
  "Damage is noticed with short and interrupted calls, and a check counts it",
  async () => {
    await store.withDamage(store.chunkFileAt(Seq.HOLES), (path, content) => {
      content[content.length >> 1]! ^= 1;
      Deno.writeFileSync(path, content);
    }, async () => {
      assertEquals((await extractBadly([store.revision.path, store.file("bad")])).code, 3);
      assertEquals((await extractBadly(["check", store.revision.path])).code, 3);
    });
    assertEquals((await extractBadly(["check", store.revision.path])).code, 0);
  },
);
