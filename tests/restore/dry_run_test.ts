import { LockError, TargetError, UsageError } from "../../lib/errors.ts";
import { closeFd, openFd, OpenFlag } from "../../lib/linux/files.ts";
import { FlockOperation, tryFlock } from "../../lib/linux/locks.ts";
import { dryRun } from "../../lib/restore/dry_run.ts";
import type { RestoreEvent, RestoreOptions } from "../../lib/restore/restore.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { assertBytes, fill } from "../support/bytes.ts";
import {
  LoopDevice,
  loopDeviceProblem,
  makeFifo,
  Mount,
  mountProblem,
  testUnless,
} from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import type { StoredRevision } from "../support/test_store.ts";
import { damageChunk } from "./damage_kinds.ts";
import { CHUNK_BYTES, Scene } from "./scene.ts";

const LETTERS = "aB.0acd";
const SIZE = 7 * CHUNK_BYTES - 3_000_000;

let scene: Scene;
let revision: StoredRevision;
Deno.test.beforeAll(() => {
  scene = new Scene();
  revision = scene.store.add("Revision", LETTERS, { size: SIZE });
});
Deno.test.afterAll(() => scene[Symbol.dispose]());

async function survey(options: Partial<RestoreOptions> = {}) {
  const events: RestoreEvent[] = [];
  const report = await dryRun({
    revision: revision.path,
    output: "/dev/null",
    threads: 2,
    onEvent: (event) => void events.push(event),
    ...options,
  });
  return { report, events };
}

function fileBytes(seqs: readonly number[], of = revision, store = scene.store): number {
  return seqs.reduce((sum, seq) => sum + Deno.statSync(store.chunkFile(of.ids[seq])).size, 0);
}

/** Ways to restore, and the seqs whose chunks they read. */
const WAYS: readonly [options: Partial<RestoreOptions>, seqs: readonly number[]][] = [
  [{}, [0, 1, 5, 6]],
  [{ update: true }, [0, 1, 5, 6]],
  [{ sparse: "never", verifyTarget: true }, [0, 1, 5, 6]],
  [{ range: { offset: CHUNK_BYTES + 1, length: 4 * CHUNK_BYTES } }, [1, 4, 5]],
  [{ range: { offset: 2 * CHUNK_BYTES, length: 5 } }, []],
];

Deno.test("dryRun() finds what would be read, and creates no file", async () => {
  for (const [options, seqs] of WAYS) {
    const output = scene.file();
    const { report, events } = await survey({ ...options, output });
    assertThrows(() => Deno.lstatSync(output), Deno.errors.NotFound);
    assertEquals(report.readBytes, fileBytes(seqs));
    assertEquals([report.badRanges, report.lentChunks], [[], []]);
    assertEquals(report.mayWriteLess, options.update === true);
    assertEquals(report.distinctChunks, seqs.length);
    const types = events.map(({ type }) => type);
    assertEquals(types, ["locking", "reading-map", "surveying"]);
    const surveying = events.at(-1);
    assert(surveying?.type === "surveying" && surveying.progress().jobs === seqs.length);
  }
});

Deno.test("dryRun() to a stream counts a chunk at each of its seqs, as the stream reads it", async () => {
  const { report } = await survey();
  assertEquals(report.readBytes, fileBytes([0, 1, 4, 5, 6]));
});

Deno.test("dryRun() leaves a file as it is", async () => {
  for (const [options] of WAYS) {
    const output = scene.file(fill(SIZE + 100));
    const before = Deno.statSync(output);
    await survey({ ...options, output });
    const after = Deno.statSync(output);
    assertEquals([after.size, after.blocks], [before.size, before.blocks]);
    assertEquals([after.mtime, after.ctime], [before.mtime, before.ctime]);
    assertBytes(Deno.readFileSync(output), fill(SIZE + 100));
    Deno.removeSync(output);
  }
});

testUnless(loopDeviceProblem(), "dryRun() leaves a device as it is", async () => {
  using device = new LoopDevice(7 * CHUNK_BYTES);
  for (const [options] of WAYS) {
    await survey({ ...options, output: device.path });
    assertBytes(device.read(), fill(device.bytes));
  }
});

Deno.test("dryRun() with a base finds only what differs", async () => {
  const base = scene.store.add("Base", "aX.0acd", { size: SIZE }).path;
  const output = scene.file(fill(SIZE));
  const { report } = await survey({ base, output });
  assertEquals([report.readBytes, report.keptSeqs], [fileBytes([1]), 6]);
  assertBytes(Deno.readFileSync(output), fill(SIZE));
});

Deno.test("dryRun() to a pipe needs no reader, and writes nothing", async () => {
  const fifo = makeFifo(scene.file());
  for (const format of ["raw", "rbd-diff"] as const) {
    assertEquals((await survey({ output: fifo, format })).report.imageBytes, SIZE);
    using reader = Deno.openSync(fifo, { read: true, write: true });
    await survey({ output: fifo, format });
    reader.writeSync(fill(1, 7));
    assertEquals(reader.readSync(new Uint8Array(10)), 1);
  }
});

Deno.test("dryRun() finds chunks without a file that could be one", async () => {
  using scene = new Scene();
  const shape = { size: 9 * CHUNK_BYTES - 5, isLastFull: true };
  const own = scene.store.add("Revision", "abcdefgha", shape);
  const other = scene.addStore("other");
  const lent = other.add("Revision", "...d...h.", shape);
  const file = (seq: number) => scene.store.chunkFile(own.ids[seq]);
  const replacements: ((path: string) => void)[] = [
    () => {}, // absent
    (path) => Deno.mkdirSync(path),
    (path) => void makeFifo(path),
    (path) => Deno.writeFileSync(path, new Uint8Array(5)),
    (path) => Deno.writeFileSync(path, new Uint8Array(4_456_521)), // a byte too long
    (path) => Deno.symlinkSync("nowhere", path),
    (path) => Deno.symlinkSync("/dev/zero", path),
  ];
  replacements.forEach((replace, seq) => {
    Deno.removeSync(file(seq));
    replace(file(seq));
  });
  const { report, events } = await survey({ revision: own.path, also: [other.basedir] });
  assertEquals(
    report.badRanges.map(({ offset, length, chunkId, reason }) => [
      ...[offset / CHUNK_BYTES, length, own.ids.indexOf(chunkId), reason],
    ]),
    [
      [0, CHUNK_BYTES, 0, "missing"],
      [1, CHUNK_BYTES, 1, "missing"],
      [2, CHUNK_BYTES, 2, "missing"],
      [4, CHUNK_BYTES, 4, "size"],
      [5, CHUNK_BYTES, 5, "missing"],
      [6, CHUNK_BYTES, 6, "missing"],
      [8, CHUNK_BYTES - 5, 0, "missing"],
    ],
  );
  assertEquals(report.readBytes, fileBytes([7], own, scene.store) + fileBytes([3], lent, other));
  assertEquals(report.lentChunks, [{ dir: other.basedir, chunks: 1 }]);
  assertEquals(events.filter(({ type }) => type === "bad-chunk").length, 6);
});

testUnless(
  loopDeviceProblem() ?? mountProblem() ?? programProblem("mkfs.ext2"),
  "dryRun() takes no directory for a chunk's file, whatever its size",
  async () => {
    using scene = new Scene();
    const { path, ids } = scene.store.add("Revision", "a");
    // On many file systems a directory has a size that a chunk's file could have.
    using device = new LoopDevice(8 * CHUNK_BYTES);
    runSync("mkfs.ext2", "-q", "-F", "-O", "^dir_index", device.path);
    using mount = new Mount(device.path);
    const file = scene.store.chunkFile(ids[0]);
    damageChunk(file, "missing");
    Deno.mkdirSync(`${mount.path}/folder`);
    Deno.symlinkSync(`${mount.path}/folder`, file);
    const { report } = await survey({ revision: path });
    assertEquals(report.badRanges.map(({ reason }) => reason), ["missing"]);
  },
);

Deno.test("dryRun() refuses what a restore refuses", async () => {
  const fd = openFd(`${scene.store.basedir}/.purge`, OpenFlag.O_RDWR);
  assert(tryFlock(fd, FlockOperation.LOCK_EX));
  await assertRejects(() => survey({ lockTimeoutMs: 0 }), LockError);
  closeFd(fd);
  await assertRejects(() => survey({ output: "/" }), TargetError);
  await assertRejects(() => survey({ output: "-", update: true }), TargetError);
  await assertRejects(() => survey({ output: scene.file(), base: revision.path }), TargetError);
  await assertRejects(() => survey({ range: { offset: SIZE, length: 1 } }), UsageError);
  await assertRejects(() => survey({ partition: 1 }), UsageError);
  const reason = new Error("enough");
  const error = await assertRejects(() => survey({ signal: AbortSignal.abort(reason) }));
  assert(error === reason);
});
