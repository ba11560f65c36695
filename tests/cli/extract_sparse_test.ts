/**
 * What becomes of zeros: each cell of the table in docs/target.md, for everything that a target may
 * have been before.
 */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertBytes, isFilled } from "../support/bytes.ts";
import { allocatedBytes, LoopDevice, loopDeviceProblem, testUnless } from "../support/machine.ts";
import { assertSuccess, extract } from "./harness.ts";
import { SampleStore, Seq } from "./sample_store.ts";

const USAGE = 2;
const OLD = 0xaa;

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

/** The cells of that table: what it says of a mode and a kind of target. */
const CELLS = readTable();

function readTable(): Map<string, string> {
  const text = Deno.readTextFileSync(new URL("../../docs/target.md", import.meta.url));
  const [, table = ""] = /\n(\| +\| regular file .*?)\n\n/s.exec(text) ?? [];
  const [head = [], , ...rows] = table.split("\n").map((row) =>
    row.split("|").slice(1, -1).map((cell) => cell.trim())
  );
  const cells = new Map<string, string>();
  for (const [mode = "", ...texts] of rows) {
    for (const [index, text] of texts.entries()) cells.set(`${mode} ${head[index + 1]}`, text);
  }
  return cells;
}

function cellOf(mode: string, kind: string): string {
  const text = CELLS.get(`\`${mode}\` ${kind}`);
  assert(text !== undefined, `docs/target.md says nothing of ${mode} and ${kind}`);
  return text;
}

const MODES = ["auto", "always", "never"] as const;

/** What a file was before, and the options with which it is written. `null`: it was not there. */
const FILES: Readonly<Record<string, { old: number | null; options: readonly string[] }>> = {
  "new": { old: null, options: [] },
  "replaced": { old: OLD, options: [] },
  "new, in part": { old: null, options: ["--range=0:"] },
  "patched": { old: OLD, options: ["--range=0:"] },
  "updated": { old: OLD, options: ["--update"] },
  "new, by an update": { old: null, options: ["--update"] },
};

for (const mode of MODES) {
  for (const [what, { old, options }] of Object.entries(FILES)) {
    const isRefused = mode === "always" && options[0] === "--update";
    Deno.test(`--sparse=${mode}: a file that is ${what}${isRefused ? ", refused" : ""}`, async () => {
      const path = store.file(`${mode} ${what}`);
      if (old !== null) Deno.writeFileSync(path, new Uint8Array(store.image.length).fill(old));
      const outcome = await extract(["-s", mode, ...options, store.revision.path, path]);
      if (isRefused) return assertEquals(outcome.code, USAGE);
      assertSuccess(outcome);
      assertBytes(Deno.readFileSync(path), store.image);
      const bytes = allocatedBytes(path);
      switch (cellOf(mode, "regular file")) {
        case "holes":
          return assert(bytes < store.dataBytes + CHUNK_BYTES, `${bytes} bytes of storage`);
        case "allocated, no holes":
          return assert(bytes >= store.image.length, `${bytes} bytes of storage`);
        default:
          assert(false, "docs/target.md says something else");
      }
    });
  }

  for (const options of [[], ["--range=0:"], ["--update"]]) {
    const isRefused = mode === "always" && options[0] === "--update";
    testUnless(
      loopDeviceProblem(),
      `--sparse=${mode}: a device (${options})${isRefused ? ", refused" : ""}`,
      async () => {
        using device = new LoopDevice(10 * CHUNK_BYTES);
        const outcome = await extract(["-s", mode, ...options, store.revision.path, device.path]);
        if (isRefused) return assertEquals(outcome.code, USAGE);
        assertSuccess(outcome);
        const content = device.read();
        assertBytes(
          content.subarray(store.image.length),
          new Uint8Array(
            content.length - store.image.length,
          ).fill(OLD),
        );
        const zeros = content.subarray(Seq.ABSENT * CHUNK_BYTES, Seq.HOLES * CHUNK_BYTES);
        const cell = cellOf(mode, "block device");
        if (cell.startsWith("skipped: ")) {
          return assert(isFilled(zeros, OLD), "they were written");
        }
        const texts = ["deallocated or zeroed by the kernel, written where it can do neither"];
        assert([...texts, "written"].includes(cell), "docs/target.md says something else");
        assertBytes(content.subarray(0, store.image.length), store.image);
      },
    );
  }

  Deno.test(`--sparse=${mode}: standard output`, async () => {
    const outcome = await extract(["-s", mode, store.revision.path]);
    assertSuccess(outcome);
    assertEquals(cellOf(mode, "pipe, standard output"), "written");
    assertBytes(outcome.stdout, store.image);
  });
}
