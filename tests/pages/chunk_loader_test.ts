import { ChunkMissingError, ResourceError, toWireError, WorkerError } from "../../lib/errors.ts";
import { type FileAhead, ReadAhead } from "../../lib/chunk/read_ahead.ts";
import { adviseHugePages } from "../../lib/linux/files.ts";
import { ChunkLoader } from "../../lib/pages/chunk_loader.ts";
import type { JobWorker } from "../../lib/pages/worker_slot.ts";
import type { DecodeJob, Job, WorkerMessage } from "../../lib/pages/messages.ts";
import type { PageMemory } from "../../lib/pages/page_memory.ts";
import { PagePool } from "../../lib/pages/page_pool.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertRejects } from "../assert.ts";
import { missing } from "./fake_chunks.ts";

// Opens the C library, once a process, before any test does: a test would count as leaking it.
adviseHugePages(new Uint8Array());

/** A worker whose answers come from the test. */
class FakeWorker implements JobWorker {
  onmessage: JobWorker["onmessage"] = null;
  onerror: JobWorker["onerror"] = null;
  onmessageerror: JobWorker["onmessageerror"] = null;
  readonly jobs: Job[] = [];
  isTerminated = false;

  postMessage(job: Job): void {
    this.jobs.push(job);
  }

  terminate(): void {
    this.isTerminated = true;
  }

  answer(data: WorkerMessage): void {
    this.onmessage?.(new MessageEvent("message", { data }));
  }

  finish(result: number | string = 1, readsAreSlow = false): void {
    this.answer({ type: "done", result, readsAreSlow });
  }

  die(): void {
    this.onerror?.(new ErrorEvent("error", { message: "gone", cancelable: true }));
  }

  tellMemory(): void {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65_536, shared: true });
    const start = memory.buffer.byteLength;
    const span = CHUNK_BYTES + 4096;
    this.onmessage?.(
      new MessageEvent("message", {
        data: { type: "memory", memory, firstOutput: 2, start, span },
      }),
    );
  }

  get paths(): string[] {
    return this.jobs.map((job) => job.type === "decode" ? job.id : job.type);
  }
}

function setUp(threads: number) {
  const workers: FakeWorker[] = [];
  /** Files that are read ahead. */
  const filesAhead: FileAhead[] = [];
  const readAhead = new ReadAhead(({ dir, id }, isWanted) => {
    filesAhead.push({ dir, id, isWanted });
    return Promise.resolve();
  });
  const pool = new PagePool(0);
  const createWorker = () => {
    const worker = new FakeWorker();
    workers.push(worker);
    return worker;
  };
  const loader = new ChunkLoader({ threads, verify: true, createWorker, readAhead });
  const load = (id: string, isAhead = false) => {
    return loader.load({ dir: "/a", id }, { isAhead, takePage: (memory) => pool.take(memory) });
  };
  return { loader, workers, pool, load, filesAhead };
}

/** Waits until a number of workers were created: the loader pauses between them. */
async function created(workers: readonly FakeWorker[], count: number): Promise<void> {
  while (workers.length < count) await new Promise((resolve) => setTimeout(resolve, 0));
}

Deno.test("ChunkLoader starts workers when there is work for them, up to its limit", () => {
  const { workers, load } = setUp(2);
  assertEquals(workers.length, 0);
  for (const id of ["a", "b"]) load(id);
  assertEquals(workers.map((worker) => worker.paths), [["a"], ["b"]]);
  // Each may have two more, and the one with fewer jobs gets the next.
  for (const id of ["c", "d"]) load(id);
  assertEquals(workers.map((worker) => worker.paths), [["a", "c"], ["b", "d"]]);
  for (const id of ["e", "f", "g"]) load(id);
  assertEquals(workers.map((worker) => worker.paths), [["a", "c", "e"], ["b", "d", "f"]]);
  workers[1]!.finish();
  assertEquals(workers.map((worker) => worker.paths), [["a", "c", "e"], ["b", "d", "f", "g"]]);
});

Deno.test("ChunkLoader has files read ahead once a worker had to wait", async () => {
  const { load, workers, filesAhead } = setUp(1);
  load("a");
  load("b", true);
  workers[0]!.finish(1, false);
  load("c", true);
  assertEquals(filesAhead, []);
  workers[0]!.finish(1, true);
  load("d", true);
  const last = load("e");
  workers[0]!.finish(1, false); // that the next file was there in time is no reason to stop
  load("f", true);
  assertEquals(filesAhead.map(({ dir, id }) => `${dir}/${id}`), ["/a/d", "/a/e", "/a/f"]);
  const [d, e] = filesAhead as [FileAhead, FileAhead];
  assert(d.isWanted() && e.isWanted());
  for (const _ of "de") workers[0]!.finish();
  await last!.done;
  assert(!d.isWanted() && !e.isWanted());
});

Deno.test("ChunkLoader lets no job wait behind one that may take long", () => {
  const { workers, load, loader, pool } = setUp(2);
  loader.store("/spill", pool.take(), 1).catch(() => {});
  load("a");
  loader.readMap("/m").catch(() => {});
  assertEquals(workers.map((worker) => worker.paths), [["store"], ["a"]]);
  load("b");
  workers[1]!.finish();
  assertEquals(workers.map((worker) => worker.paths), [["store"], ["a", "map"]]);
  workers[0]!.finish();
  assertEquals(workers.map((worker) => worker.paths), [["store", "b"], ["a", "map"]]);
});

Deno.test("ChunkLoader takes a page when the work begins, not before", () => {
  const { workers, load, pool } = setUp(1);
  for (const id of ["a", "b", "c", "d"]) load(id);
  assertEquals(pool.allocatedBytes / CHUNK_BYTES, 3);
  workers[0]!.finish();
  assertEquals(pool.allocatedBytes / CHUNK_BYTES, 4);
});

Deno.test("ChunkLoader loads chunks that somebody waits for before those loaded ahead", () => {
  const { workers, load } = setUp(1);
  for (const id of ["first", "second", "third"]) load(id);
  load("ahead1", true);
  const ahead2 = load("ahead2", true);
  load("demanded");
  ahead2?.promote();
  ahead2?.promote();
  for (let job = 0; job < 6; job++) workers[0]!.finish();
  const [, , , ...rest] = workers[0]!.paths;
  assertEquals(rest, ["demanded", "ahead2", "ahead1"]);
});

Deno.test("ChunkLoader refuses to load ahead when too much is waiting", () => {
  const { workers, load } = setUp(1);
  for (const id of ["first", "second", "third"]) load(id);
  assert(load("ahead1", true) && load("ahead2", true) && load("ahead3", true));
  assertEquals(load("ahead4", true), null);
  workers[0]!.finish();
  assert(load("ahead4", true));
});

Deno.test("ChunkLoader returns results, and throws errors in their classes", async () => {
  const { workers, load, loader, pool } = setUp(1);
  const first = load("a")!;
  workers[0]!.finish(17);
  assertEquals(await first.done, 17);
  const second = load("b")!;
  workers[0]!.answer({ type: "failed", error: toWireError(missing("b")) });
  const error = await assertRejects(() => second.done, ChunkMissingError);
  assertEquals(error.chunkId, "b");
  const stored = loader.store("/spill", pool.take(), 100);
  const [, , job] = workers[0]!.jobs;
  assert(job?.type === "store");
  assertEquals([job.dir, job.content.length], ["/spill", 100]);
  workers[0]!.finish("id");
  assertEquals(await stored, "id");
});

Deno.test("ChunkLoader loses one job when a worker dies, and starts another worker", async () => {
  const { workers, load, pool } = setUp(2);
  const loadings = ["a", "b", "c"].map((id) => load(id)!);
  assertEquals(workers.map((worker) => worker.paths), [["a", "c"], ["b"]]);
  workers[0]!.die();
  await assertRejects(() => loadings[0]!.done, WorkerError, "gone");
  assert(workers[0]!.isTerminated);
  assertEquals(workers.map((worker) => worker.paths), [["a", "c"], ["b"], ["c"]]);
  // The page that was taken for it before is used.
  assertEquals(pool.allocatedBytes / 4 / 2 ** 20, 3);
  const [, second] = workers[0]!.jobs as DecodeJob[];
  assert(second!.page === (workers[2]!.jobs[0] as DecodeJob).page);
  workers[1]!.finish();
  workers[2]!.finish();
  assertEquals(await loadings[1]!.done + await loadings[2]!.done, 2);
});

Deno.test("ChunkLoader has chunks decoded into the worker's own memory once that is known", async () => {
  const { workers, loader } = setUp(2);
  const pool = new PagePool(8 * CHUNK_BYTES);
  const load = (id: string) => {
    const takePage = (memory: PageMemory | null) => pool.take(memory);
    loader.load({ dir: "/a", id }, { isAhead: false, takePage })!.done.catch(() => {});
  };
  const started = loader.start();
  await created(workers, 2);
  for (const id of ["a", "b"]) load(id);
  for (const worker of workers) worker.tellMemory();
  await started;
  for (const id of ["c", "d"]) load(id);
  const pages = (worker: FakeWorker) => (worker.jobs as DecodeJob[]).map(({ page }) => page);
  const [[a, c], [b, d]] = workers.map(pages) as [DecodeJob["page"][], DecodeJob["page"][]];
  assert(a instanceof Uint8Array && b instanceof Uint8Array);
  assertEquals([c, d], [2, 2]);
  // For another worker that memory is foreign.
  workers[0]!.die();
  const [again] = pages(workers[2]!);
  assert(again instanceof Uint8Array && again.byteOffset > 0);
});

Deno.test("ChunkLoader goes on when there is no memory for a page", async () => {
  const { workers, load, loader } = setUp(1);
  const takePage = () => {
    throw new RangeError("no memory");
  };
  const failed = loader.load({ dir: "/a", id: "a" }, { isAhead: false, takePage })!;
  const next = load("b")!;
  await assertRejects(() => failed.done, RangeError);
  assertEquals(workers[0]!.paths, ["b"]);
  workers[0]!.finish();
  await next.done;
});

Deno.test("ChunkLoader fails all remaining jobs when it is closed", async () => {
  const { workers, load, loader } = setUp(1);
  const loadings = ["a", "b"].map((id) => load(id)!);
  loadings.push(load("c", true)!);
  loader[Symbol.dispose]();
  loadings.push(load("d")!);
  for (const { done } of loadings) await assertRejects(() => done, WorkerError, "ended");
  assert(workers[0]!.isTerminated);
  assertEquals(workers.length, 1);
});

Deno.test("ChunkLoader fails with the reason when no worker can be started", async () => {
  const createWorker = (): never => {
    throw new TypeError("no threads");
  };
  const loader = new ChunkLoader({ threads: 2, verify: true, createWorker });
  await assertRejects(() => loader.readMap("/a"), WorkerError, "no threads");
  await assertRejects(
    () => loader.start(),
    ResourceError,
    "Cannot start a worker: no threads",
  );
});

Deno.test("ChunkLoader.start() does without workers that end at once", async () => {
  const { workers, loader } = setUp(3);
  const started = loader.start();
  await created(workers, 3);
  workers[1]!.die();
  for (const index of [0, 2]) workers[index]!.tellMemory();
  await started;
  const { workers: dying, loader: without } = setUp(2);
  const failed = without.start();
  await created(dying, 2);
  for (const worker of dying) worker.die();
  await assertRejects(() => failed, ResourceError, "Cannot start a worker: a worker ended: gone");
});

Deno.test("ChunkLoader.start() heeds a signal while workers are created and while they get ready", async () => {
  for (const count of [1, 40, 100]) {
    const { workers, loader } = setUp(100);
    const controller = new AbortController();
    const started = loader.start(controller.signal);
    await created(workers, count);
    controller.abort(new Error("enough"));
    await assertRejects(() => started, Error, "enough");
    assertEquals(workers.length, count);
    assert(workers.every(({ isTerminated }) => isTerminated));
    await assertRejects(() => loader.start(controller.signal), Error, "enough");
  }
});

Deno.test("ChunkLoader.start() stays within its limit when workers end at once", async () => {
  const { workers, loader } = setUp(5);
  const started = loader.start();
  for (let count = 1; count <= 5; count++) {
    await created(workers, count);
    workers[count - 1]!.die();
  }
  await assertRejects(() => started, ResourceError, "Cannot start a worker: ");
  assertEquals(workers.length, 5);
});
