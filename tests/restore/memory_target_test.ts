/** Restores by real workers to a target that is not behind a descriptor. */

import { TargetError } from "../../lib/errors.ts";
import { dryRun } from "../../lib/restore/dry_run.ts";
import type { RestoreEvent, RestoreOptions } from "../../lib/restore/restore.ts";
import { openBlockIo } from "../../lib/target/block_kinds.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { assertBytes, dataBytesOf, fill, patched } from "../support/bytes.ts";
import type { StoredRevision } from "../support/test_store.ts";
import { MemoryTarget } from "../target/memory_target.ts";
import { CHUNK_BYTES, GRANULE_BYTES, Scene } from "./scene.ts";

const LETTERS = "aB..c0aB.d";
const LAST_BYTES = 2_000_001;
const SIZE = 9 * CHUNK_BYTES + LAST_BYTES;

let scene: Scene;
let revision: StoredRevision;
Deno.test.beforeAll(() => {
  scene = new Scene();
  revision = scene.store.add("Revision", LETTERS, { size: SIZE });
});
Deno.test.afterAll(() => scene[Symbol.dispose]());

/** Has all workers that are started know the kind of target. */
function withMemoryWorkers(): Disposable {
  const RealWorker = globalThis.Worker;
  globalThis.Worker = class extends RealWorker {
    constructor(_url: string | URL, options?: WorkerOptions) {
      super(new URL("../target/memory_worker.ts", import.meta.url), options);
    }
  };
  return { [Symbol.dispose]: () => void (globalThis.Worker = RealWorker) };
}

async function restore(target: MemoryTarget, options: Partial<RestoreOptions> = {}) {
  using _workers = withMemoryWorkers();
  return await scene.restore({ revision: revision.path, output: target.output, ...options });
}

function image(target: MemoryTarget): Uint8Array {
  return target.content.slice(0, SIZE);
}

for (const threads of [1, 3]) {
  Deno.test(`restore() to memory that holds other things zeroes what is zeros (${threads} threads)`, async () => {
    using target = new MemoryTarget("dirty", SIZE + 100, fill(SIZE + 100));
    const { report } = await restore(target, { threads });
    assertBytes(image(target), revision.image);
    assertEquals(target.content.slice(SIZE), fill(100) as Uint8Array);
    assertEquals(report.writtenBytes, dataBytesOf(revision.image));
    assertEquals(target.calls, ["finish"]);
  });
}

Deno.test("restore() to memory that is known to be zeros leaves them alone", async () => {
  using target = new MemoryTarget("zeroed", SIZE);
  // Nobody looks at it, and nobody writes it.
  target.content[3 * CHUNK_BYTES] = 1;
  await restore(target, { sync: false });
  assertBytes(image(target), patched(revision.image, 3 * CHUNK_BYTES, fill(1, 1)));
});

Deno.test("restore() updates memory: what it holds already is not written", async () => {
  const before = patched(
    patched(revision.image, 7 * CHUNK_BYTES + 5, fill(9)),
    4 * CHUNK_BYTES + 5,
    fill(9),
  );
  before.fill(0xee, 3 * CHUNK_BYTES + GRANULE_BYTES, 3 * CHUNK_BYTES + GRANULE_BYTES + 3);
  using target = new MemoryTarget("old", SIZE, before);
  const { report, events } = await restore(target, { update: true, threads: 1 });
  assertBytes(image(target), revision.image);
  const [first, second] = [4, 7].map((seq) =>
    dataBytesOf(revision.image.subarray(seq * CHUNK_BYTES, (seq + 1) * CHUNK_BYTES))
  ) as [number, number];
  assertEquals(report.writtenBytes, first + second);
  assertEquals(report.sameBytes, SIZE - 2 * CHUNK_BYTES - GRANULE_BYTES);
  const restoring = events.find((event) => event.type === "restoring");
  assert(restoring!.progress().freeBytes > 0, "no range was known to be zeros");
  assertEquals(target.calls, ["settle", "finish"]);
});

Deno.test("restore() restores a range to memory, and touches nothing else", async () => {
  using target = new MemoryTarget("range", SIZE, fill(SIZE));
  const range = { offset: CHUNK_BYTES + 12_345, length: 5 * CHUNK_BYTES };
  await restore(target, { range });
  const wanted = revision.image.subarray(range.offset, range.offset + range.length);
  assertBytes(image(target), patched(fill(SIZE), range.offset, wanted));
});

/** Bytes that the memory loses before it is read back: data, and zeros that were never written. */
const LOSSES = [4 * CHUNK_BYTES + 99, 3 * CHUNK_BYTES + 99];

function losing(target: MemoryTarget, rounds: readonly number[]) {
  return (event: RestoreEvent) => {
    if (event.type !== "reading-back" || !rounds.includes(event.round)) return;
    for (const at of LOSSES) target.content[at]! ^= 0xff;
  };
}

Deno.test("restore() reads memory back, and writes again what it lost", async () => {
  for (const before of [null, fill(SIZE)]) {
    using target = new MemoryTarget("flaky", SIZE, before);
    const { report } = await restore(target, {
      verifyTarget: true,
      onEvent: losing(target, [1]),
    });
    assertBytes(image(target), revision.image);
    assertEquals(report.rewrittenBytes, CHUNK_BYTES + GRANULE_BYTES);
    assertEquals(target.calls, ["flush", "flush", "finish"]);
  }
});

Deno.test("restore() names what memory does not hold after a second write", async () => {
  using target = new MemoryTarget("lost", SIZE);
  const error = await assertRejects(
    () => restore(target, { verifyTarget: true, onEvent: losing(target, [1, 2]) }),
    TargetError,
  );
  const [data, zeros] = [4 * CHUNK_BYTES, 3 * CHUNK_BYTES];
  assertEquals(
    error.message,
    'Cannot restore to "memory:lost": it does not hold what was written, even after a second ' +
      `write, at bytes ${zeros} to ${zeros + GRANULE_BYTES - 1}, ` +
      `${data} to ${data + CHUNK_BYTES - 1}; its storage may be failing, name another target`,
  );
  assertEquals([error.path, error.offset], ["memory:lost", zeros]);
});

Deno.test("restore() ends by an error of a write that was in flight", async () => {
  using target = new MemoryTarget("bad", SIZE);
  // The last chunk's: only the end of the work waits for it.
  target.badByte = SIZE - 1;
  for (const threads of [1, 2]) {
    const error = await assertRejects(() => restore(target, { threads }), TargetError);
    assertEquals(error.message, `Cannot write "memory:bad" at byte ${SIZE - 1}: it is bad`);
    assertEquals([error.path, error.offset], ["memory:bad", SIZE - 1]);
  }
});

Deno.test("restore() refuses memory that is too small, and a diff as its content", async () => {
  using target = new MemoryTarget("small", SIZE - 1);
  const error = await assertRejects(() => restore(target), TargetError);
  assertEquals(
    error.message,
    `Cannot restore to "memory:small": it has ${SIZE - 1} bytes only`,
  );
  using large = new MemoryTarget("large", SIZE);
  const diff = await assertRejects(() => restore(large, { format: "rbd-diff" }), TargetError);
  assertEquals(diff.message.includes("a diff is a stream"), true, diff.message);
  assertEquals([target.calls, large.calls], [[], []]);
});

Deno.test("dryRun() counts what a restore to memory reads: each chunk once", async () => {
  using target = new MemoryTarget("dry", SIZE);
  const options = { revision: revision.path, threads: 2 };
  const report = await dryRun({ ...options, output: target.output });
  const file = await dryRun({ ...options, output: scene.file() });
  assertEquals(report.readBytes, file.readBytes);
  assertEquals(target.calls, []);
});

Deno.test("openBlockIo() refuses a handle of a kind that it does not know", () => {
  const handle = { access: "random", kind: "tape", path: "x" } as const;
  const error = assertThrows(
    () => openBlockIo(handle, { extent: { start: 0, end: 1 } }),
    TypeError,
  );
  assertEquals(error.message, 'Cannot open a target of kind "tape": unknown');
});
