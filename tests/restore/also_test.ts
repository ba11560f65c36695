import { ChunkMissingError, LockError, StoreFormatError, TargetError } from "../../lib/errors.ts";
import { closeFd, openFd, OpenFlag } from "../../lib/linux/files.ts";
import { FlockOperation, tryFlock } from "../../lib/linux/locks.ts";
import type { ChunkReason } from "../../lib/work/messages.ts";
import type { RestoreOptions } from "../../lib/restore/restore.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { assertBytes, dataBytesOf } from "../support/bytes.ts";
import { type StoredRevision, type TestStore } from "../support/test_store.ts";
import { damageChunk } from "./damage_kinds.ts";
import { CHUNK_BYTES, Scene } from "./scene.ts";

const LETTERS = "abcBdaef";
const SIZE = 8 * CHUNK_BYTES - 1000;

/**
 * What is wrong with the chunks in the revision's own directory and in the others; `null`: nothing.
 * One chunk has no good copy.
 */
const STATES: Readonly<Record<string, readonly (ChunkReason | null)[]>> = {
  a: [null, null, null],
  b: ["missing", null, null],
  c: ["encoding", "missing", null],
  B: ["header", "hash", null],
  d: ["size", "size", null],
  e: ["hash", null, "missing"],
  f: ["header", "hash", "missing"],
};

let scene: Scene;
let revision: StoredRevision;
let stores: TestStore[];
let also: string[];
Deno.test.beforeAll(() => {
  scene = new Scene();
  stores = [scene.store, scene.addStore("second"), scene.addStore("third")];
  for (const store of stores) {
    const name = store === scene.store ? "Revision" : "AnotherName";
    const made = store.add(name, LETTERS, { size: SIZE });
    if (store === scene.store) revision = made;
  }
  for (const [letter, states] of Object.entries(STATES)) {
    const file = (store: TestStore) => store.chunkFile(revision.ids[LETTERS.indexOf(letter)]);
    states.forEach((reason, at) => reason !== null && damageChunk(file(stores[at]!), reason));
  }
  also = stores.slice(1).map(({ basedir }) => basedir);
});
Deno.test.afterAll(() => scene[Symbol.dispose]());

function options(): Partial<RestoreOptions> {
  return { revision: revision.path, also, onError: "zero" };
}

/** The image without the last chunk, which is lost. */
function expectedImage(): Uint8Array {
  return revision.image.slice().fill(0, 7 * CHUNK_BYTES);
}

Deno.test("restore() takes each chunk from the first directory that has a good copy", async () => {
  const output = scene.file();
  const { report, events } = await scene.restore({ ...options(), output });
  assertBytes(Deno.readFileSync(output), expectedImage());
  const [second, third] = also as [string, string];
  assertEquals(report.lentChunks, [{ dir: second, chunks: 2 }, { dir: third, chunks: 3 }]);
  // The error says what is wrong in the revision's own directory.
  assertEquals(
    report.badRanges.map(({ offset, length, reason }) => [offset, length, reason]),
    [[7 * CHUNK_BYTES, CHUNK_BYTES - 1000, "header"]],
  );
  assertEquals(events.filter(({ type }) => type === "bad-chunk").length, 1);
  const file = (at: number, seq: number) =>
    Deno.statSync(stores[at]!.chunkFile(revision.ids[seq])).size;
  assertEquals(
    report.readBytes,
    file(0, 0) + file(1, 1) + file(2, 2) + file(2, 3) + file(2, 4) + file(1, 6),
  );
});

Deno.test("restore() tries the other directories in the order given", async () => {
  const output = scene.file();
  const reversed = also.toReversed();
  const { report } = await scene.restore({ ...options(), also: reversed, output });
  assertBytes(Deno.readFileSync(output), expectedImage());
  assertEquals(report.lentChunks, [{ dir: reversed[0]!, chunks: 4 }, {
    dir: reversed[1]!,
    chunks: 1,
  }]);
});

Deno.test("restore() borrows a chunk for each of its seqs in a stream", async () => {
  const { report, bytes } = await scene.stream(options());
  assertBytes(bytes, expectedImage());
  assertEquals(report.lentChunks.map(({ chunks }) => chunks), [2, 3]);
});

Deno.test("restore() verifies chunks of other directories even if told not to verify", async () => {
  const output = scene.file();
  const { report } = await scene.restore({ ...options(), verify: false, output });
  const expected = expectedImage();
  // The only chunk of the own directory that looks right but is not.
  expected.fill(1, 6 * CHUNK_BYTES, 7 * CHUNK_BYTES);
  assertBytes(Deno.readFileSync(output), expected);
  assertEquals(report.lentChunks.map(({ chunks }) => chunks), [1, 3]);
  assertEquals(report.badRanges.map(({ reason }) => reason), ["header"]);
});

Deno.test("restore() that updates borrows only what it must write", async () => {
  const content = expectedImage();
  content.fill(0xaa, CHUNK_BYTES, CHUNK_BYTES + 10); // "b"
  const output = scene.file(content);
  const { report } = await scene.restore({ ...options(), update: true, output });
  assertBytes(Deno.readFileSync(output), expectedImage());
  assertEquals(report.lentChunks.map(({ chunks }) => chunks), [1, 0]);
  assertEquals(report.writtenBytes, dataBytesOf(revision.image.subarray(0, CHUNK_BYTES)));
});

Deno.test("restore() without a good copy anywhere fails with what its own directory has", async () => {
  const error = await assertRejects(() =>
    scene.restore({ ...options(), onError: "abort", output: scene.file() })
  );
  assertEquals((error as { reason?: string }).reason, "header");
  assertEquals((error as { path?: string }).path, scene.store.chunkFile(revision.ids[7]));
});

Deno.test("restore() finds its first chunk in another directory", async () => {
  using scene = new Scene();
  const other = scene.addStore("other");
  const { path, ids, image } = scene.store.add("Revision", "ab");
  other.add("Revision", "a");
  damageChunk(scene.store.chunkFile(ids[0]), "missing");
  const output = scene.file();
  const refused = () => scene.restore({ revision: path, output });
  const error = await assertRejects(refused, ChunkMissingError);
  assertEquals(error.path, scene.store.chunkFile(ids[0]));
  // Refused before the target was touched.
  assertThrows(() => Deno.statSync(output), Deno.errors.NotFound);
  await scene.restore({ revision: path, output, also: [other.basedir] });
  assertBytes(Deno.readFileSync(output), image);
});

/** Tries to lock a directory as a purge does. */
function tryPurgeLock(store: TestStore): boolean {
  const fd = openFd(`${store.basedir}/.purge`, OpenFlag.O_RDWR);
  const isLocked = tryFlock(fd, FlockOperation.LOCK_EX);
  closeFd(fd);
  return isLocked;
}

Deno.test("restore() holds the purge locks of all directories until it has ended", async () => {
  const during: boolean[] = [];
  await scene.restore({
    ...options(),
    output: scene.file(),
    onEvent(event) {
      if (event.type === "restoring" || event.type === "flushing") {
        during.push(...stores.map(tryPurgeLock));
      }
    },
  });
  assertEquals(during, Array(6).fill(false));
  assertEquals(stores.map(tryPurgeLock), [true, true, true]);
});

Deno.test("restore() waits for the purge lock of each directory, and touches nothing before", async () => {
  for (const store of stores) {
    const output = scene.file();
    const fd = openFd(`${store.basedir}/.purge`, OpenFlag.O_RDWR);
    assert(tryFlock(fd, FlockOperation.LOCK_EX));
    const waiting = () => scene.restore({ ...options(), lockTimeoutMs: 0, output });
    const error = await assertRejects(waiting, LockError);
    closeFd(fd);
    assert(error.message.includes(`"${store.basedir}/.purge"`), error.message);
    assertThrows(() => Deno.statSync(output), Deno.errors.NotFound);
    // The locks that were taken are released.
    assertEquals(stores.map(tryPurgeLock), [true, true, true]);
  }
});

Deno.test("restore() refuses to borrow from a directory that is not a backup directory", async () => {
  const notDirectory = scene.file(new Uint8Array(1));
  for (const dir of [scene.file(), notDirectory, `${scene.store.basedir}/chunks`]) {
    const output = scene.file();
    const refused = () => scene.restore({ ...options(), also: [also[0]!, dir], output });
    const error = await assertRejects(refused, StoreFormatError);
    assertEquals(error.path, dir);
    assertThrows(() => Deno.statSync(output), Deno.errors.NotFound);
  }
});

Deno.test("restore() refuses a target in any directory that it reads", async () => {
  for (const { basedir } of stores) {
    for (const name of ["chunks/new", ".purge", "new.rev"]) {
      const refused = () => scene.restore({ ...options(), output: `${basedir}/${name}` });
      await assertRejects(refused, TargetError);
    }
  }
  const map = `${also[1]}/AnotherName`;
  const before = Deno.readTextFileSync(map);
  await assertRejects(() => scene.restore({ ...options(), output: map }), TargetError);
  assertEquals(Deno.readTextFileSync(map), before);
});
