/** Readers of a restore's pipe: those that leave, and those that are slow. */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertStringIncludes } from "../assert.ts";
import { extract, startExtract } from "../cli/harness.ts";
import { assertBytes } from "../support/bytes.ts";
import { makeFifo } from "../support/machine.ts";
import { pause } from "../support/wait.ts";
import { FaultStore } from "./fault_store.ts";
import { peakOf } from "./peak_memory.ts";

const TARGET = 4;
/** The size to which the tool sets a pipe's buffer. */
const PIPE_BYTES = 1_048_576;

let store: FaultStore;
Deno.test.beforeAll(() => void (store = new FaultStore({ chunks: 24, lastBytes: 70_001 })));
Deno.test.afterAll(() => store[Symbol.dispose]());

const POINTS = [0, 1, 65_536, CHUNK_BYTES - 1, CHUNK_BYTES, 10 * CHUNK_BYTES + 5];

for (const bytes of POINTS) {
  for (const threads of ["1", "4"]) {
    Deno.test(`A reader that leaves after ${bytes} bytes ends the restore with a failure (-t ${threads})`, async () => {
      const outcome = await extract(["-t", threads, store.revision.path], {
        // bash gives the tool's exit status.
        shell: `"$@" | head -c ${bytes}; exit "\${PIPESTATUS[0]}"`,
      });
      assertEquals(outcome.code, TARGET, outcome.stderr);
      assertStringIncludes(outcome.stderr, "(EPIPE)");
      assertStringIncludes(outcome.stderr, "standard output is incomplete");
      assertBytes(outcome.stdout, store.image.subarray(0, bytes));
    });
  }
}

Deno.test("Nobody notices a reader that leaves when only the pipe's buffer is left to read", async () => {
  // Pipes work like this: what was written is on its way. The restore is complete and says so.
  const bytes = store.image.length - PIPE_BYTES / 2;
  // It reads no more, and leaves when the restore has ended.
  const outcome = await extract([store.revision.path], {
    shell: `{ "$@"; echo $? >code; } |
      { head -c ${bytes}; until [ -s code ]; do sleep 0.05; done; }; exit "$(cat code)"`,
  });
  assertEquals(outcome.code, 0, outcome.stderr);
});

Deno.test("A slow reader gets the whole image, and the tool's memory does not grow meanwhile", async () => {
  const fifo = makeFifo(store.file("fifo"));
  await using tool = startExtract(["-t", "4", store.revision.path, fifo]);
  const reader = (await Deno.open(fifo)).readable.getReader({ mode: "byob" });
  const image = new Uint8Array(store.image.length);
  let done = 0, earlyPeak = 0;
  for (;;) {
    const { value, done: isOver } = await reader.read(new Uint8Array(200_000));
    if (isOver) break;
    image.set(value, done);
    done += value.length;
    await pause(2);
    if (earlyPeak === 0 && done > 8 * CHUNK_BYTES) earlyPeak = peakOf(tool.pid);
    if (done > 22 * CHUNK_BYTES) {
      const growth = peakOf(tool.pid) - earlyPeak;
      assert(growth < 8 * CHUNK_BYTES, `${growth} bytes more`);
    }
  }
  assertEquals((await tool.outcome()).code, 0);
  assertEquals(done, image.length);
  assertBytes(image, store.image);
});
