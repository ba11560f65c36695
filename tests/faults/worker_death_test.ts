/** Workers that die. */

import { WorkerError } from "../../lib/errors.ts";
import { ChunkLoader } from "../../lib/pages/chunk_loader.ts";
import type { JobWorker } from "../../lib/pages/worker_slot.ts";
import { PagePool } from "../../lib/pages/page_pool.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { makeFifo } from "../support/machine.ts";
import type { Death } from "./dying_worker.ts";
import { FaultStore } from "./fault_store.ts";

/**
 * Lets workers of restores die: those with the given numbers, counted from 0 in starting order.
 *
 * @param options.areOthersLate Whether the others take jobs only after one of these has.
 */
function withDyingWorkers(
  death: Death,
  numbers: readonly number[],
  { areOthersLate = false } = {},
): Disposable {
  const RealWorker = globalThis.Worker;
  let count = 0;
  globalThis.Worker = class extends RealWorker {
    constructor(url: string | URL, options?: WorkerOptions) {
      const kind = numbers.includes(count++) ? death : areOthersLate ? "late" : null;
      super(kind ? new URL(`./dying_worker.ts?${kind}`, import.meta.url) : url, options);
    }
  };
  return { [Symbol.dispose]: () => void (globalThis.Worker = RealWorker) };
}

const DEATHS: readonly [death: Death, says: string][] = [
  ["trap", "unreachable"],
  ["trap-later", "unreachable"],
  ["uncaught", "a worker ended"],
  ["rejection", "a worker ended"],
];

for (const [death, says] of DEATHS) {
  for (const numbers of [[0], [1], [0, 1, 2]]) {
    Deno.test(`A restore ends with an error when workers ${numbers} of 3 die (${death})`, async () => {
      using store = new FaultStore({ chunks: 8 });
      const output = store.file("image");
      {
        using _death = withDyingWorkers(death, numbers);
        const error = await assertRejects(() => store.restore({ output, threads: 3 }), WorkerError);
        assertStringIncludes(error.message, says);
      }
      await store.restore({ output, threads: 3, update: true });
      assertBytes(Deno.readFileSync(output), store.image);
    });
  }
}

Deno.test("A restore to a pipe ends when a worker dies that others wait for", async () => {
  using store = new FaultStore({ chunks: 8 });
  const fifo = makeFifo(store.file("fifo"));
  // Otherwise, on a busy machine, they may be done before it takes its first job.
  using _death = withDyingWorkers("trap-within", [0], { areOthersLate: true });
  const reading = new Deno.Command("cat", { args: [fifo], stdin: "null" }).output();
  const error = await assertRejects(() => store.restore({ output: fifo, threads: 3 }), WorkerError);
  assertStringIncludes(error.message, "unreachable");
  const { stdout } = await reading;
  assertBytes(stdout, store.image.subarray(0, stdout.length));
});

Deno.test("A mount's worker that dies fails only its current read, and another takes its place", async () => {
  using store = new FaultStore({ chunks: 3 });
  let count = 0;
  const createWorker = (): JobWorker => {
    const name = count++ === 0 ? "./dying_fuse_worker.ts" : "../../lib/pages/worker.ts";
    return new Worker(new URL(name, import.meta.url), { type: "module" });
  };
  using loader = new ChunkLoader({ threads: 1, verify: true, createWorker });
  const pool = new PagePool(0);
  const load = async (seq: number) => {
    const page = pool.take();
    const chunk = { dir: store.basedir, id: store.revision.ids[seq]! };
    const bytes = await loader.load(chunk, { isAhead: false, takePage: () => page })!.done;
    assertEquals(bytes, CHUNK_BYTES);
    assertBytes(page.bytes.slice(), store.contentAt(seq));
  };
  const results = await Promise.allSettled([load(0), load(1), load(2)]);
  const [first, ...others] = results;
  assert(first!.status === "rejected");
  assertInstanceOf(first!.reason, WorkerError);
  const fulfilled = { status: "fulfilled" as const, value: undefined };
  assertEquals(others, [fulfilled, fulfilled]);
  await load(0);
  assertEquals(count, 2);
});
