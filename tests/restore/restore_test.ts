import {
  ChunkCorruptError,
  ChunkMissingError,
  InterruptedError,
  TargetError,
} from "../../lib/errors.ts";
import { restore, type RestoreEvent, type RestoreOptions } from "../../lib/restore/restore.ts";
import type { RestoreReport } from "../../lib/restore/report.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertInstanceOf, assertRejects } from "../assert.ts";
import { SampleStore, Seq } from "../cli/sample_store.ts";
import { assertBytes } from "../support/bytes.ts";
import { makeFifo, openIdleReader } from "../support/machine.ts";

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

/** Restores the sample, and collects the events. */
async function run(
  options: Partial<RestoreOptions>,
): Promise<{ report: RestoreReport; events: RestoreEvent[] }> {
  const events: RestoreEvent[] = [];
  const report = await restore({
    revision: store.revision.path,
    output: "/dev/null",
    threads: 2,
    onEvent: (event) => void events.push(event),
    ...options,
  });
  return { report, events };
}

function typesOf(events: readonly RestoreEvent[]): string[] {
  return events.map(({ type }) => type);
}

/** Bytes of the files of the sample's chunks, each once. */
function chunkFileBytes(...seqs: number[]): number {
  return seqs.reduce((sum, seq) => sum + Deno.statSync(store.chunkFileAt(seq)).size, 0);
}

const LAST_BYTES = (): number => store.image.length - Seq.LAST * CHUNK_BYTES;
const DISTINCT = [Seq.FIRST, Seq.HOLES, Seq.UNALIGNED_ZEROS, Seq.LAST];

Deno.test("restore() to a file reports each distinct chunk once, and zeros as not written", async () => {
  const output = store.file("image");
  const { report } = await run({ output });
  assertBytes(Deno.readFileSync(output), store.image);
  const { elapsedMs, ...numbers } = report;
  assert(elapsedMs > 0);
  assertEquals(numbers, {
    imageBytes: store.image.length,
    extent: { start: 0, end: store.image.length, targetStart: 0 },
    dataSeqs: 6,
    dataBytes: store.image.length - 3 * CHUNK_BYTES,
    zeroSeqs: 3,
    zeroBytes: 3 * CHUNK_BYTES,
    keptSeqs: 0,
    keptBytes: 0,
    distinctChunks: 4,
    distinctBytes: 3 * CHUNK_BYTES + LAST_BYTES(),
    readBytes: chunkFileBytes(...DISTINCT),
    decodedBytes: 3 * CHUNK_BYTES + LAST_BYTES(),
    writtenBytes: store.dataBytes,
    sameBytes: 0,
    rewrittenBytes: null,
    badRanges: [],
    badRangeCount: 0,
    badBytes: 0,
    badChunks: 0,
    lentChunks: [],
    isVerified: true,
    isSynced: true,
  });
});

Deno.test("restore() to a stream reports a chunk at each of its seqs, and zeros as written", async () => {
  const { report } = await run({ verify: false, sync: false });
  assertEquals(report.readBytes, chunkFileBytes(...DISTINCT, Seq.REPEATED, Seq.HOLES_REPEATED));
  assertEquals(report.decodedBytes, 5 * CHUNK_BYTES + LAST_BYTES());
  assertEquals(report.writtenBytes, store.image.length);
  assertEquals([report.isVerified, report.isSynced], [false, false]);
});

Deno.test("restore() tells its steps in order, with the plan and the progress", async () => {
  const output = store.file("events");
  const all = await run({ output, threads: 3, revision: `${store.basedir}/last` });
  const events = all.events;
  assertEquals(typesOf(events), ["locking", "reading-map", "restoring", "flushing"]);
  const [locking, reading, restoring] = events;
  assertEquals(locking, { type: "locking", basedir: store.basedir });
  assert(reading?.type === "reading-map");
  assertEquals(reading.path, store.revision.path);
  const { size } = Deno.statSync(store.revision.path);
  assertEquals(reading.progress(), { doneBytes: size, totalBytes: size });
  assert(restoring?.type === "restoring");
  const { revision, target, threads, access, plan, progress } = restoring;
  assertEquals([revision, target, threads, access], ["SampleRevision", output, 3, "random"]);
  assertEquals([plan.imageBytes, plan.distinctChunks], [store.image.length, 4]);
  assertEquals(progress().imageBytes, store.image.length);
  const { events: unsynced } = await run({ sync: false });
  assertEquals(typesOf(unsynced), ["locking", "reading-map", "restoring"]);
});

Deno.test("restore() with an aborted signal throws its reason and touches nothing", async () => {
  const output = store.file("untouched");
  Deno.writeTextFileSync(output, "old");
  const reason = new InterruptedError("Interrupted by SIGINT", { signal: "SIGINT" });
  const error = await assertRejects(
    () => run({ output, signal: AbortSignal.abort(reason) }),
    InterruptedError,
  );
  assert(error === reason);
  assertEquals(Deno.readTextFileSync(output), "old");
});

Deno.test("restore() that is interrupted while it reads the map touches nothing", async () => {
  const output = store.file("untouched by a late signal");
  Deno.writeTextFileSync(output, "old");
  const reason = new InterruptedError("Interrupted by SIGINT", { signal: "SIGINT" });
  const controller = new AbortController();
  // Like a signal, the event loop delivers it, but not while the map is being read.
  const timer = setTimeout(() => controller.abort(reason), 0);
  const error = await assertRejects(() => run({ output, signal: controller.signal }));
  clearTimeout(timer);
  assert(error === reason, String(error));
  assertEquals(Deno.readTextFileSync(output), "old");
});

Deno.test("restore() that is aborted at any of its events throws the reason", async () => {
  const reason = new InterruptedError("Interrupted by SIGTERM", { signal: "SIGTERM" });
  for (const type of ["locking", "reading-map", "restoring"]) {
    const output = store.file(`aborted-${type}`);
    const controller = new AbortController();
    const error = await assertRejects(() =>
      restore({
        revision: store.revision.path,
        output,
        threads: 2,
        signal: controller.signal,
        onEvent: (event) => event.type === type && controller.abort(reason),
      })
    );
    assert(error === reason, `${type}: ${error}`);
    const isMade = [...Deno.readDirSync(store.file("."))].some(({ name }) => name.endsWith(type));
    assertEquals(isMade, type === "restoring", type);
  }
});

Deno.test("restore() that is aborted while its reader sleeps gives back lock and descriptors", async () => {
  const fifo = makeFifo(store.file("fifo"));
  const controller = new AbortController();
  const reason = new InterruptedError("Interrupted by SIGINT", { signal: "SIGINT" });
  const before = openDescriptors();
  {
    using reader = openIdleReader(fifo);
    const running = assertRejects(() => run({ output: fifo, signal: controller.signal }));
    await reader.read(new Uint8Array(1000));
    controller.abort(reason);
    assert(await running === reason);
  }
  assertEquals(openDescriptors(), before);
  // The lock is free: a purge could start.
  const args = ["-n", "-x", `${store.basedir}/.purge`, "true"];
  const flock = await new Deno.Command("flock", { args }).output().catch(() => null);
  assert(flock === null || flock.success);
});

Deno.test("restore() leaves no descriptor open after success, refusal and damage", async () => {
  await run({ output: store.file("first") });
  const before = openDescriptors();
  await run({ output: store.file("second") });
  await assertRejects(() => run({ output: "/" }), TargetError);
  await store.withDamage(store.chunkFileAt(Seq.LAST), () => {}, async () => {
    await assertRejects(() => run({ output: store.file("third") }), ChunkMissingError);
  });
  assertEquals(openDescriptors(), before);
});

/** What this process has open that belongs to the store or to targets. */
function openDescriptors(): string[] {
  const links: string[] = [];
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      const link = Deno.readLinkSync(`/proc/self/fd/${name}`);
      if (link.startsWith(store.file(""))) links.push(link);
    } catch {
      // The descriptor of the listing itself.
    }
  }
  return links.sort();
}

Deno.test("A worker's failure reaches the caller as its class, with fields and cause", async () => {
  const path = store.chunkFileAt(Seq.UNALIGNED_ZEROS);
  const chunkId = store.idAt(Seq.UNALIGNED_ZEROS);
  const seqs = [Seq.UNALIGNED_ZEROS];
  await store.withDamage(path, () => {}, async () => {
    const error = await assertRejects(() => run({}), ChunkMissingError);
    assertEquals([error.chunkId, error.seqs, error.path], [chunkId, seqs, path]);
    assertInstanceOf(error.cause, Error);
    assertEquals((error.cause as { errnoName?: string }).errnoName, "ENOENT");
  });
  await store.withDamage(path, (to) => Deno.writeTextFileSync(to, "garbage"), async () => {
    const error = await assertRejects(() => run({}), ChunkCorruptError);
    assertEquals([error.chunkId, error.seqs, error.path, error.reason], [
      chunkId,
      seqs,
      path,
      "header",
    ]);
  });
  const error = await assertRejects(() => run({ output: "/dev/full" }), TargetError);
  assertEquals([error.path, error.offset], ["/dev/full", 0]);
  assertEquals((error.cause as { errnoName?: string }).errnoName, "ENOSPC");
});

Deno.test("restore() streams a long run of zeros without room for it", async () => {
  const size = 600 * CHUNK_BYTES;
  const path = `${store.basedir}/Zeros`;
  const mapping = `"300": "${store.idAt(Seq.FIRST)}"`;
  Deno.writeTextFileSync(path, `{"mapping": {${mapping}}, "size": ${size}}`);
  const { report } = await run({ revision: path, threads: 4 });
  assertEquals([report.writtenBytes, report.decodedBytes], [size, CHUNK_BYTES]);
});

Deno.test("restore() may run several times at once in one process", async () => {
  const outputs = ["a", "b", "c"].map((name) => store.file(`at-once-${name}`));
  await Promise.all(outputs.map((output) => run({ output, threads: 1 })));
  for (const output of outputs) assertBytes(Deno.readFileSync(output), store.image);
});
