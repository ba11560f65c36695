/** Many workers, and many restores. */

import { assert, assertEquals } from "../assert.ts";
import { assertSuccess, extract, startExtract } from "../cli/harness.ts";
import { assertBytes } from "../support/bytes.ts";
import { testUnless } from "../support/machine.ts";
import { programProblem } from "../support/programs.ts";
import { pause } from "../support/wait.ts";
import { FaultStore, IS_FULL } from "./fault_store.ts";
import { memoryOf, peakOf } from "./peak_memory.ts";

const MIB = 1_048_576;
/** An isolate, an input buffer and two output buffers, with what the allocators keep. */
const MIB_PER_WORKER = 45;
const BASE_MIB = 200;

const RESTORES = IS_FULL ? 1000 : 100;
/** Restores after which the process has what it will keep: compiled code, heaps, arenas. */
const WARM_UP = 20;

for (const [name, options] of [["a file", []], ["a pipe", ["-"]]] as const) {
  testUnless(
    programProblem("taskset"),
    `24 workers on 2 CPUs restore to ${name}, and their memory is bounded`,
    async () => {
      using store = new FaultStore({ chunks: 40, lastBytes: 70_001 });
      const output = store.file("image");
      const args = ["-t", "24", store.revision.path, ...(options.length > 0 ? options : [output])];
      const cpus = Math.min(2, navigator.hardwareConcurrency) === 2 ? "0-1" : "0";
      await using tool = startExtract(args, { shell: `exec taskset -c ${cpus} "$@"` });
      let peak = 0;
      const timer = setInterval(() => peak = Math.max(peak, peakOf(tool.pid)), 10);
      const outcome = await tool.outcome();
      clearInterval(timer);
      assertSuccess(outcome);
      assertBytes(options.length > 0 ? outcome.stdout : Deno.readFileSync(output), store.image);
      assert(peak < (BASE_MIB + 24 * MIB_PER_WORKER) * MIB, `${peak / MIB} MiB`);
    },
  );
}

Deno.test("128 workers, the most there may be, restore as one does", async () => {
  using store = new FaultStore({ chunks: 10 });
  const outcome = await extract(["-t", "128", store.revision.path, "-"]);
  assertSuccess(outcome);
  assertBytes(outcome.stdout, store.image);
});

/** Counts this process's open descriptors and its threads. */
function countResources(): { descriptors: number; threads: number } {
  const count = (path: string) => [...Deno.readDirSync(path)].length;
  return { descriptors: count("/proc/self/fd"), threads: count("/proc/self/task") };
}

Deno.test(`${RESTORES} restores in a row, good and bad, leave no descriptors, threads or memory behind`, async () => {
  using store = new FaultStore({ chunks: 2, lastBytes: 1000 });
  using bad = new FaultStore({ chunks: 2 });
  Deno.removeSync(bad.chunkFileAt(1));
  const output = store.file("image");
  let before = countResources();
  let memory = 0;
  for (let round = 0; round < RESTORES; round++) {
    if (round === WARM_UP) {
      await settle(before.threads);
      before = countResources();
      memory = memoryOf(Deno.pid);
    }
    const isUpdate = round % 3 === 1;
    await store.restore({ output, threads: 2, update: isUpdate });
    if (round % 4 === 0) {
      await bad.restore({ output: `${output} bad` }).then(() => assert(false), () => {});
    }
  }
  assertBytes(Deno.readFileSync(output), store.image);
  await settle(before.threads);
  const after = countResources();
  assertEquals(after.descriptors, before.descriptors);
  assert(after.threads <= before.threads + 2, `${after.threads} threads, ${before.threads} before`);
  const growth = (memoryOf(Deno.pid) - memory) / MIB;
  assert(growth < (IS_FULL ? 150 : 80), `${growth} MiB more`);
});

/** Waits until the threads of workers that were ended have gone. */
async function settle(threads: number): Promise<void> {
  for (let wait = 0; wait < 400 && countResources().threads > threads; wait++) {
    await pause(50);
  }
}
