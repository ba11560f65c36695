import { ResourceError } from "../../lib/errors.ts";
import { WorkerCrew } from "../../lib/work/crew.ts";
import { testUnless } from "../support/machine.ts";
import type { RestoreEvent } from "../../lib/restore/restore.ts";
import { assert, assertEquals, assertRejects } from "../assert.ts";
import { FaultStore } from "../faults/fault_store.ts";
import { assertBytes } from "../support/bytes.ts";

/**
 * Lets only some workers be created, like a system that runs out of threads.
 */
function withWorkersAtMost(count: number): Disposable {
  const RealWorker = globalThis.Worker;
  let created = 0;
  globalThis.Worker = class extends RealWorker {
    constructor(url: string | URL, options?: WorkerOptions) {
      if (created++ >= count) {
        throw new Deno.errors.WouldBlock("Resource temporarily unavailable (os error 11)");
      }
      super(url, options);
    }
  };
  return { [Symbol.dispose]: () => void (globalThis.Worker = RealWorker) };
}

/** Lets workers end before they are ready. */
function withWorkersThatFail(): Disposable {
  const RealWorker = globalThis.Worker;
  globalThis.Worker = class extends RealWorker {
    constructor(_url: string | URL, options?: WorkerOptions) {
      super(`data:text/javascript,throw new RangeError("Out of memory")`, options);
    }
  };
  return { [Symbol.dispose]: () => void (globalThis.Worker = RealWorker) };
}

Deno.test("A restore without a worker fails in one line, its target untouched", async () => {
  using store = new FaultStore({ chunks: 2 });
  const output = store.file("image", "old content");
  const cases: [() => Disposable, string][] = [
    [() => withWorkersAtMost(0), "Resource temporarily unavailable (EAGAIN)"],
    [() => withWorkersThatFail(), "Uncaught (in promise) RangeError: Out of memory"],
  ];
  for (const [prepare, reason] of cases) {
    using _workers = prepare();
    await assertRejects(
      () => store.restore({ output }),
      ResourceError,
      `Cannot start a worker: ${reason}`,
    );
    assertEquals(Deno.readTextFileSync(output), "old content");
    const absent = store.file("absent");
    await assertRejects(() => store.restore({ output: absent }), ResourceError);
    await assertRejects(() => Deno.stat(absent), Deno.errors.NotFound);
  }
});

Deno.test("A restore goes on with the workers that could be started, and says so", async () => {
  using store = new FaultStore({ chunks: 4 });
  const output = store.file("image");
  const events: RestoreEvent[] = [];
  {
    using _workers = withWorkersAtMost(2);
    await store.restore({ output, threads: 4, onEvent: (event) => events.push(event) });
  }
  assertBytes(Deno.readFileSync(output), store.image);
  assertEquals(events.filter(({ type }) => type === "notice"), [{
    type: "notice",
    text: "Using 2 of 4 workers: Cannot start a worker: Resource temporarily unavailable (EAGAIN)",
  }]);
  assertEquals(events.flatMap((event) => event.type === "restoring" ? [event.threads] : []), [2]);
});

Deno.test("A signal that comes while the workers start leaves the target untouched", async () => {
  using store = new FaultStore({ chunks: 2 });
  const output = store.file("image", "old content");
  const controller = new AbortController();
  const RealWorker = globalThis.Worker;
  globalThis.Worker = class extends RealWorker {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options);
      controller.abort(new TypeError("enough"));
    }
  };
  try {
    const { signal } = controller;
    await assertRejects(() => store.restore({ output, signal }), TypeError, "enough");
  } finally {
    globalThis.Worker = RealWorker;
  }
  assertEquals(Deno.readTextFileSync(output), "old content");
});

/** Number of this process's mappings for which huge pages were asked for, see proc(5). */
function hugeMappings(): number {
  return [...Deno.readTextFileSync("/proc/self/smaps").matchAll(/^VmFlags:.* hg /gm)].length;
}

const hasHugePages = (() => {
  try {
    return Deno.statSync("/sys/kernel/mm/transparent_hugepage").isDirectory;
  } catch {
    return false;
  }
})();

testUnless(
  hasHugePages ? null : "this kernel has no transparent huge pages",
  "Workers ask for huge pages, which make direct writes quicker",
  async () => {
    using crew = await WorkerCrew.start({ threads: 2 });
    // Workers of earlier tests may not have ended yet.
    assert(hugeMappings() >= crew.workers.length);
  },
);
