import { Control, CONTROL_CELLS, Counter, type StartMessage } from "../../lib/work/messages.ts";
import { planRestore, type RestorePlan } from "../../lib/restore/plan.ts";
import { type StreamTask, StreamWork } from "../../lib/work/stream_work.ts";
import { ReadWaits } from "../../lib/work/read_waits.ts";
import { type Notify, Work } from "../../lib/work/work.ts";
import { chunkIdAt } from "../../lib/store/chunk_ids.ts";
import { readRevisionMap } from "../../lib/store/revision_map.ts";
import { closeFd, openFd, OpenFlag } from "../../lib/linux/files.ts";
import { setNonblocking } from "../../lib/linux/descriptors.ts";
import type { ChunkSources } from "../../lib/chunk/chunk_sources.ts";
import type { StreamHandle } from "../../lib/target/target.ts";
import { assert, assertEquals } from "../assert.ts";
import { CHUNK_BYTES, Scene } from "../restore/scene.ts";
import { makeFifo } from "../support/machine.ts";

/** What a worker gets, for work in this thread. */
function startOf<T>(basedir: string, task: T): StartMessage<T> {
  return {
    task,
    sources: [basedir],
    verify: true,
    onError: "abort",
    workers: 1,
    control: new Int32Array(new SharedArrayBuffer(CONTROL_CELLS * 4)),
    counters: new BigInt64Array(new SharedArrayBuffer((Counter.CHUNKS_FROM + 1) * 8)),
    throttle: null,
  };
}

function planOf(scene: Scene, letters: string): RestorePlan {
  const { path } = scene.store.add(`Revision_${letters}`, letters);
  return planRestore(readRevisionMap(path));
}

function streamTask(plan: RestorePlan, target: StreamHandle): StreamTask {
  const { image, streamItems: items, zeroRanges } = plan;
  return { kind: "stream", target, format: "raw", image, items, zeroRanges };
}

/** Takes jobs without doing them, and writes down what is requested from the disk meanwhile. */
class JobTaker extends Work<null> {
  readonly requested: string[] = [];
  /** Returns how long it takes. */
  onRequest = () => 0;
  protected override readonly sources = {
    prefetch: (id: string) => {
      this.requested.push(id);
      return this.onRequest();
    },
  } as unknown as ChunkSources;
  protected override readonly waits: ReadWaits;

  /** @param now By default no time passes. */
  constructor(start: StartMessage<null>, notify: Notify, now = () => 0) {
    super(start, notify);
    this.waits = new ReadWaits(now);
  }

  override run(): void {}

  takeOne(idOf: (job: number) => string | null, jobCount: number): number {
    const job = this.take(Control.NEXT_JOB);
    this.prefetchAfter(job, jobCount, idOf);
    return job;
  }
}

Deno.test("Work.prefetchAfter() requests each chunk file once, some jobs ahead of its own", () => {
  using scene = new Scene();
  const letters = "abcde.fghi";
  const plan = planOf(scene, letters);
  const start = startOf(scene.store.basedir, null);
  const idOf = (job: number) => letters[job] === "." ? null : chunkIdAt(plan.image.ids, job);
  const workers = [0, 1].map(() => new JobTaker(start, () => {}));
  const idsOf = (some: string) =>
    [...some].map((letter) => {
      const at = letters.indexOf(letter) * 16;
      return plan.image.ids.slice(at, at + 16).toHex();
    });
  const [first, second] = workers as [JobTaker, JobTaker];
  assertEquals(first.takeOne(idOf, 10), 0);
  assertEquals(first.requested, idsOf("bcde"));
  // One more job, one more request; the sixth needs no file.
  assertEquals(second.takeOne(idOf, 10), 1);
  assertEquals(second.requested, []);
  second.takeOne(idOf, 10);
  assertEquals(second.requested, idsOf("f"));
  for (let job = 3; job < 10; job++) workers[job % 2]!.takeOne(idOf, 10);
  const all = [...first.requested, ...second.requested];
  assertEquals(all.sort(), idsOf("bcdefghi").sort());
});

Deno.test("Work.prefetchAfter() leaves it to the main thread once a worker had to wait", () => {
  using scene = new Scene();
  const letters = "abcdefghijkl";
  const plan = planOf(scene, letters);
  const start = startOf(scene.store.basedir, null);
  const ids = [...letters].map((_, job) => chunkIdAt(plan.image.ids, job));
  const messages: unknown[] = [];
  let nowMs = 0;
  const worker = new JobTaker(start, (message) => messages.push(message), () => nowMs);
  worker.onRequest = () => {
    nowMs += 6; // twice is more than 10 ms
    return 6;
  };
  worker.takeOne((job) => ids[job]!, 12);
  assertEquals(worker.requested, ids.slice(1, 3));
  const byMain = (job: number) => ({ type: "read-ahead", chunkId: ids[job], job });
  assertEquals(messages, [3, 4].map(byMain));
  // The other workers too.
  const other = new JobTaker(start, (message) => messages.push(message), () => nowMs);
  other.takeOne((job) => ids[job]!, 12);
  assertEquals(other.requested, []);
  assertEquals(messages, [3, 4, 5].map(byMain));
});

Deno.test("Work.prefetchAfter() requests nothing that is being read already", () => {
  using scene = new Scene();
  const plan = planOf(scene, "abcd");
  const start = startOf(scene.store.basedir, null);
  const worker = new JobTaker(start, () => {});
  // Others have taken the first three jobs but not requested anything yet.
  Atomics.store(start.control, Control.NEXT_JOB, 3);
  worker.takeOne((job) => chunkIdAt(plan.image.ids, job), 4);
  assertEquals(worker.requested, []);
  assertEquals(Atomics.load(start.control, Control.NEXT_PREFETCH), 4);
});

/** Asks work in this thread, which is blocked by it, to stop after a while. */
class Stopper implements Disposable {
  readonly #worker: Worker;

  private constructor(worker: Worker) {
    this.#worker = worker;
  }

  /** Returns when its thread runs, as long as this one can still help it to start. */
  static async start(): Promise<Stopper> {
    const code = `
      self.onmessage = ({ data: { control, afterMs } }) =>
        setTimeout(() => Atomics.store(control, ${Control.STOP}, 1), afterMs);
      self.postMessage("ready");
    `;
    const url = `data:text/javascript,${encodeURIComponent(code)}`;
    const worker = new Worker(url, { type: "module" });
    await new Promise((resolve) => worker.onmessage = resolve);
    return new Stopper(worker);
  }

  stopLater(control: Int32Array<SharedArrayBuffer>, afterMs: number): void {
    this.#worker.postMessage({ control, afterMs });
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

Deno.test("StreamWork passes its turn to nobody when its write is cut short", async () => {
  using scene = new Scene();
  const path = makeFifo(scene.file());
  // Nobody reads, so the pipe takes only as much as it has room for.
  const fd = openFd(path, OpenFlag.O_RDWR | OpenFlag.O_NONBLOCK);
  setNonblocking(fd, true);
  const plan = planOf(scene, "ab");
  const notes: Parameters<Notify>[0][] = [];
  const handle = { access: "stream", fd, path } as const;
  const task = streamTask(plan, handle);
  const start = startOf(scene.store.basedir, task);
  using stopper = await Stopper.start();
  stopper.stopLater(start.control, 300);
  new StreamWork(start, (note) => notes.push(note)).run();
  const { control, counters } = start;
  assertEquals(Atomics.load(control, Control.STOP), 1);
  assertEquals(Atomics.load(control, Control.TURN), 0, "the next worker may write");
  assertEquals([counters[Counter.WRITTEN], counters[Counter.JOBS]], [0n, 0n]);
  assertEquals(notes, []);
  const inPipe = new Uint8Array(2 * CHUNK_BYTES);
  using reader = Deno.openSync(path, { read: true });
  const bytes = reader.readSync(inPipe)!;
  assert(bytes > 0 && bytes < CHUNK_BYTES, `${bytes}`);
  closeFd(fd);
});

Deno.test("StreamWork writes in its turn and passes it on", () => {
  using scene = new Scene();
  const path = scene.file(new Uint8Array(0));
  const fd = openFd(path, OpenFlag.O_WRONLY);
  const plan = planOf(scene, "aB.a");
  const handle = { access: "stream", fd, path } as const;
  const task = streamTask(plan, handle);
  const start = startOf(scene.store.basedir, task);
  new StreamWork(start, () => {}).run();
  closeFd(fd);
  const { control, counters } = start;
  assertEquals(Atomics.load(control, Control.TURN), 4);
  assertEquals(counters[Counter.IMAGE], BigInt(4 * CHUNK_BYTES));
  assertEquals(counters[Counter.DECODED], BigInt(3 * CHUNK_BYTES));
  assertEquals(Deno.statSync(path).size, 4 * CHUNK_BYTES);
});
