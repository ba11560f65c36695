import { check, type CheckEvent, type CheckOptions } from "../../lib/check/check.ts";
import { LockError, RevisionError, StoreFormatError } from "../../lib/errors.ts";
import { closeFd, openFd, OpenFlag } from "../../lib/linux/files.ts";
import { FlockOperation, tryFlock } from "../../lib/linux/locks.ts";
import type { ChunkReason } from "../../lib/work/messages.ts";
import { CHUNK_ENCODINGS } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertRejects } from "../assert.ts";
import { damageChunk } from "../restore/damage_kinds.ts";
import { CHUNK_BYTES, Scene } from "../restore/scene.ts";
import type { TestStore } from "../support/test_store.ts";

async function run(options: Partial<CheckOptions>) {
  const events: CheckEvent[] = [];
  const onEvent = (event: CheckEvent) => void events.push(event);
  const report = await check({ revisions: [], threads: 2, onEvent, ...options });
  return { report, events };
}

function fileBytes(store: TestStore, ids: Iterable<string | null>): number {
  let bytes = 0;
  for (const id of new Set(ids)) if (id) bytes += Deno.statSync(store.chunkFile(id)).size;
  return bytes;
}

/** All files of a backup directory, with what tells whether they were changed. */
function contentOf(dir: string): string[] {
  return [...Deno.readDirSync(dir)].flatMap(({ name, isDirectory }) => {
    const path = `${dir}/${name}`;
    if (isDirectory) return contentOf(path);
    const { size, ino, mtime, ctime, mode } = Deno.lstatSync(path);
    return [[path, size, ino, mtime?.getTime(), ctime?.getTime(), mode].join(" ")];
  }).sort();
}

Deno.test("check() reads each distinct chunk of all revisions once, and changes nothing", async () => {
  using scene = new Scene();
  const { store } = scene;
  const first = store.add("First", "aB.0ac", { size: 6 * CHUNK_BYTES - 9 });
  const second = store.add("Second", "aBd");
  store.add("NotAsked", "e");
  const before = contentOf(store.basedir);
  const { report, events } = await run({ revisions: [first.path, second.path, first.path] });
  assert(report.elapsedMs > 0);
  const { elapsedMs: _, ...rest } = report;
  const checked = (name: string, imageBytes: number) => ({
    basedir: store.basedir,
    name,
    mapPath: `${store.basedir}/${name}`,
    imageBytes,
    state: "intact" as const,
    reason: null,
    damage: { chunks: 0, bytes: 0, ranges: 0 },
  });
  const ids = [...first.ids.filter((_, seq) => seq !== 3), ...second.ids];
  assertEquals(rest, {
    revisions: [
      checked("First", 6 * CHUNK_BYTES - 9),
      checked("Second", 3 * CHUNK_BYTES),
    ],
    distinctChunks: 4,
    checkedChunks: 4,
    damagedChunks: 0,
    readBytes: fileBytes(store, ids),
    // The last chunk of the first image is shorter.
    decodedBytes: 4 * CHUNK_BYTES - 9,
    damaged: [],
    interruption: null,
  });
  assertEquals(contentOf(store.basedir), before);
  const types = events.map(({ type }) => type);
  // Another image may need more of a short last chunk.
  assertEquals(types, ["locking", "reading-maps", "checking", "reading-maps"]);
  const checking = events.find(({ type }) => type === "checking");
  assert(checking?.type === "checking");
  assertEquals([checking.basedir, checking.revisions, checking.threads], [store.basedir, 2, 2]);
  assertEquals([checking.distinctChunks, checking.distinctBytes], [4, 4 * CHUNK_BYTES]);
  assertEquals(checking.progress().jobs, 4);
});

Deno.test("check() of a directory checks all of its revisions", async () => {
  using scene = new Scene();
  scene.store.add("First", "ab");
  scene.store.add("Second", "bc");
  for (const path of [scene.store.basedir, `${scene.store.basedir}/`]) {
    const { report } = await run({ revisions: [path] });
    assertEquals(report.revisions.map(({ name }) => name).sort(), ["First", "Second"]);
    assertEquals([report.distinctChunks, report.checkedChunks], [3, 3]);
  }
});

Deno.test("check() checks once what is asked for twice, under whatever name", async () => {
  using scene = new Scene();
  const { path } = scene.store.add("First", "ab");
  scene.store.add("Second", "bc");
  const { basedir } = scene.store;
  const link = scene.file();
  Deno.symlinkSync(basedir, link);
  const names = [basedir, `${basedir}/`, `${basedir}//First`, `${basedir}/chunks/../First`];
  for (const other of [...names, link, `${link}/First`]) {
    const { report } = await run({ revisions: [basedir, path, other] });
    const revisions = report.revisions.map(({ name }) => name).sort();
    assertEquals([revisions, report.distinctChunks], [["First", "Second"], 3], other);
  }
});

Deno.test("check() says what is wrong with a chunk, and where in which images it stands", async () => {
  using scene = new Scene();
  const { store } = scene;
  const first = store.add("First", "abcde.f", { size: 7 * CHUNK_BYTES - 5 });
  const second = store.add("Second", "gbabe");
  const damage: [letter: string, seq: number, reason: ChunkReason][] = [
    ["a", 0, "missing"],
    ["b", 1, "header"],
    ["c", 2, "encoding"],
    ["e", 4, "hash"],
    ["f", 6, "size"],
  ];
  const fileOf = (seq: number) => store.chunkFile(first.ids[seq]);
  for (const [, seq, reason] of damage.slice(0, -1)) damageChunk(fileOf(seq), reason);
  // How much of a chunk is needed is not known at first, so only its file can have a wrong size.
  Deno.removeSync(fileOf(6));
  Deno.writeFileSync(fileOf(6), new Uint8Array(CHUNK_ENCODINGS[0].maxFileBytes + 1));
  const { report, events } = await run({ revisions: [first.path, second.path] });
  const place = (revision: string, seq: number, missing = 0) => ({
    revision,
    offset: seq * CHUNK_BYTES,
    length: CHUNK_BYTES - missing,
  });
  const places: Record<string, unknown[]> = {
    a: [place("First", 0), place("Second", 2)],
    b: [place("First", 1), place("Second", 1), place("Second", 3)],
    c: [place("First", 2)],
    e: [place("First", 4), place("Second", 4)],
    f: [place("First", 6, 5)],
  };
  assertEquals(report.damaged.length, damage.length);
  for (const [letter, seq, reason] of damage) {
    const id = first.ids[seq]!;
    const found = report.damaged.find(({ chunkId }) => chunkId === id);
    assert(found, letter);
    assertEquals<unknown>([found.basedir, found.reason, found.places], [
      ...[store.basedir, reason, places[letter]],
    ]);
    assert(found.detail.includes(`"${id}"`), found.detail);
    // The workers do not know the places, so they must not name any.
    assert(!/\bseqs?\b|image bytes/.test(found.detail), found.detail);
    assert(!found.detail.includes("\n"), found.detail);
  }
  const told = events.flatMap((event) => event.type === "bad-chunk" ? [event.chunkId] : []);
  assertEquals(told.sort(), damage.map(([, seq]) => first.ids[seq]!).sort());
  assertEquals([report.distinctChunks, report.checkedChunks], [7, 7]);
});

Deno.test("check() finds a short last chunk that another image needs in full", async () => {
  using scene = new Scene();
  const { store } = scene;
  const short = store.add("Short", "ab", { size: CHUNK_BYTES + 1000 });
  const id = short.ids[1]!;
  // The same id in the middle of an image, and at ends that need more bytes and as many.
  const chunk = (seqs: Record<string, string>, size: number, name: string) => {
    Deno.writeTextFileSync(`${store.basedir}/${name}`, JSON.stringify({ mapping: seqs, size }));
    return `${store.basedir}/${name}`;
  };
  const full = chunk({ "0": id }, 2 * CHUNK_BYTES, "Full");
  const longer = chunk({ "0": id }, 1001, "Longer");
  const shorter = chunk({ "0": id }, 999, "Shorter");
  const revisions = [short.path, full, longer, shorter];
  const { report } = await run({ revisions });
  assertEquals(report.damaged, [{
    basedir: store.basedir,
    chunkId: id,
    path: store.chunkFile(id),
    reason: "size",
    detail: `Cannot use chunk "${id}" in full: it holds 1000 bytes (file "${store.chunkFile(id)}")`,
    places: [
      { revision: "Full", offset: 0, length: CHUNK_BYTES },
      { revision: "Longer", offset: 0, length: 1001 },
    ],
  }]);
  assertEquals((await run({ revisions: [short.path, shorter] })).report.damaged, []);
});

Deno.test("check() goes through several directories, each with its lock", async () => {
  using scene = new Scene();
  const other = scene.addStore("other");
  const first = scene.store.add("First", "ab"), second = other.add("Second", "abc");
  damageChunk(other.chunkFile(second.ids[0]), "missing");
  const revisions = [first.path, second.path];
  const { report, events } = await run({ revisions });
  // Two chunks are in both directories, with a file in each.
  assertEquals([report.distinctChunks, report.checkedChunks], [5, 5]);
  assertEquals(report.damaged.map(({ basedir, places }) => [basedir, places.length]), [
    [other.basedir, 1],
  ]);
  assertEquals(events.flatMap((event) => event.type === "locking" ? [event.basedir] : []), [
    ...[scene.store.basedir, other.basedir],
  ]);
  for (const { basedir } of [scene.store, other]) {
    const fd = openFd(`${basedir}/.purge`, OpenFlag.O_RDWR);
    assert(tryFlock(fd, FlockOperation.LOCK_EX));
    await assertRejects(() => run({ revisions, lockTimeoutMs: 0 }), LockError, basedir);
    closeFd(fd);
  }
});

Deno.test("check() holds the purge lock while it reads", async () => {
  using scene = new Scene();
  const { path } = scene.store.add("Revision", "ab");
  const tryLock = () => {
    const fd = openFd(`${scene.store.basedir}/.purge`, OpenFlag.O_RDWR);
    const isLocked = tryFlock(fd, FlockOperation.LOCK_EX);
    closeFd(fd);
    return isLocked;
  };
  const during: boolean[] = [];
  await check({
    revisions: [path],
    threads: 1,
    onEvent: ({ type }) => type === "checking" && during.push(tryLock()),
  });
  assertEquals([during, tryLock()], [[false], true]);
});

Deno.test("check() of a share checks that many chunks, and all of them in the end", async () => {
  using scene = new Scene();
  const letters = "abcdefghij";
  const { path, ids } = scene.store.add("Revision", letters);
  const checked = async (share: number) => {
    const { report } = await run({ revisions: [path], share });
    assertEquals(report.distinctChunks, letters.length);
    return report.checkedChunks;
  };
  assertEquals(await checked(1), 10);
  assertEquals(await checked(0.5), 5);
  assertEquals(await checked(0.41), 5);
  assertEquals(await checked(0.0001), 1);
  // The sample differs each time, so that each chunk is checked in the end.
  damageChunk(scene.store.chunkFile(ids[9]), "hash");
  let found = 0, missed = 0;
  for (let round = 0; round < 60 && (found === 0 || missed === 0); round++) {
    const { report } = await run({ revisions: [path], share: 0.3, threads: 1 });
    if (report.damaged.length > 0) found++;
    else missed++;
  }
  assert(found > 0 && missed > 0, `${found} times found, ${missed} missed`);
});

Deno.test("check() of images without data has nothing to read", async () => {
  using scene = new Scene();
  const paths = ["....", "0000", ""].map((letters, at) => scene.store.add(`R${at}`, letters).path);
  for (const share of [1, 0.5]) {
    const { report } = await run({ revisions: paths, share });
    const { revisions, distinctChunks, checkedChunks, readBytes, damaged } = report;
    assertEquals(revisions.length, 3);
    assertEquals([distinctChunks, checkedChunks, readBytes, damaged], [0, 0, 0, []]);
  }
});

Deno.test("check() refuses what is neither a revision nor a backup directory", async () => {
  using scene = new Scene();
  const { path } = scene.store.add("Revision", "a");
  await assertRejects(() => run({ revisions: [path, `${path}2`] }), RevisionError);
  const folder = scene.file();
  Deno.mkdirSync(folder);
  Deno.copyFileSync(path, `${folder}/Revision`);
  await assertRejects(() => run({ revisions: [`${folder}/Revision`] }), StoreFormatError);
});

Deno.test("check() goes on after maps that cannot be read, and says which revisions are intact", async () => {
  using scene = new Scene();
  const { store } = scene;
  const good = store.add("Good", "abc"), hit = store.add("Hit", "abddd.d");
  const cut = store.add("Cut", "ex"), gone = store.add("Gone", "ab");
  Deno.writeTextFileSync(cut.path, Deno.readTextFileSync(cut.path).slice(0, -20));
  damageChunk(store.chunkFile(hit.ids[3]), "hash");
  const revisions = [good, cut, gone, hit].map(({ path }) => path);
  const { report, events } = await run({
    revisions,
    onEvent: ({ type }) => type === "locking" && Deno.removeSync(gone.path),
  });
  assertEquals(events, []);
  assertEquals(report.revisions.map(({ name, state, imageBytes }) => [name, state, imageBytes]), [
    ["Good", "intact", 3 * CHUNK_BYTES],
    ["Cut", "bad-map", null],
    ["Gone", "bad-map", null],
    ["Hit", "damaged", 7 * CHUNK_BYTES],
  ]);
  const [, cutReason, goneReason] = report.revisions.map(({ reason }) => reason);
  assert(cutReason?.includes(`"${cut.path}": at byte `), String(cutReason));
  assert(goneReason?.includes(`"${gone.path}": No such file`), String(goneReason));
  // Neighbours are one range.
  assertEquals(report.revisions.at(-1)?.damage, { chunks: 1, bytes: 4 * CHUNK_BYTES, ranges: 2 });
  assertEquals([report.distinctChunks, report.checkedChunks, report.damagedChunks], [4, 4, 1]);
  assertEquals(report.damaged.map(({ path, places }) => [path, places]), [[
    store.chunkFile(hit.ids[3]),
    [
      { revision: "Hit", offset: 2 * CHUNK_BYTES, length: 3 * CHUNK_BYTES },
      { revision: "Hit", offset: 6 * CHUNK_BYTES, length: CHUNK_BYTES },
    ],
  ]]);
});

Deno.test("check() of nothing but unreadable maps checks no chunk, and does not fail", async () => {
  using scene = new Scene();
  const { path } = scene.store.add("Revision", "a");
  Deno.writeTextFileSync(path, "{");
  const { report } = await run({ revisions: [path] });
  assertEquals(report.revisions.map(({ state }) => state), ["bad-map"]);
  assertEquals([report.distinctChunks, report.checkedChunks], [0, 0]);
});

Deno.test("check() of a share calls no revision intact", async () => {
  using scene = new Scene();
  const { path } = scene.store.add("Revision", "abcd");
  const { report } = await run({ revisions: [path], share: 0.5 });
  assertEquals(report.revisions.map(({ state }) => state), ["unknown"]);
});

Deno.test("check() that is interrupted reports what it found", async () => {
  using scene = new Scene();
  const { store } = scene;
  const first = store.add("First", "ab"), other = store.add("Other", "cd");
  for (const { ids } of [first, other]) damageChunk(store.chunkFile(ids[0]), "missing");
  const controller = new AbortController();
  const reason = new Error("enough");
  // Missing chunks take no time, the others an hour.
  const { interruption, revisions, damaged, ...report } = await check({
    revisions: [first.path, other.path],
    threads: 4,
    signal: controller.signal,
    readBytesPerSecond: 1000,
    onEvent: (event) => {
      if (event.type === "bad-chunk" && ++missing === 2) controller.abort(reason);
    },
  });
  assert(interruption === reason);
  assertEquals(revisions.map(({ name, state }) => [name, state]), [
    ["First", "damaged"],
    ["Other", "damaged"],
  ]);
  assertEquals([report.damagedChunks, report.distinctChunks, damaged.length], [2, 4, 2]);
});
let missing = 0;

Deno.test("check() that is interrupted before it finds the places counts bad chunks as damage", async () => {
  using scene = new Scene();
  const { store } = scene;
  const { ids, path } = store.add("Revision", "abc", { size: 3 * CHUNK_BYTES - 9 });
  damageChunk(store.chunkFile(ids[1]), "missing");
  const controller = new AbortController();
  const { interruption, revisions, damagedChunks } = await check({
    revisions: [path],
    threads: 1,
    signal: controller.signal,
    onEvent: (event) => {
      if (event.type !== "reading-maps" || event.purpose !== "places") return;
      controller.abort(new Error("enough"));
      // Longer than a slice, so that the signal is checked after the first step.
      const end = performance.now() + 50;
      while (performance.now() < end);
    },
  });
  assertEquals(String(interruption), "Error: enough");
  assertEquals([revisions.map(({ state }) => state), damagedChunks], [["unknown"], 1]);
});

Deno.test("check() that is interrupted while it reads maps knows no revision to be intact", async () => {
  using scene = new Scene();
  const paths = ["ab", "cd"].map((letters, at) => scene.store.add(`R${at}`, letters).path);
  const controller = new AbortController();
  const { interruption, revisions, checkedChunks } = await check({
    revisions: paths,
    threads: 1,
    signal: controller.signal,
    onEvent: ({ type }) => type === "reading-maps" && controller.abort(new Error("enough")),
  });
  assertEquals(String(interruption), "Error: enough");
  assertEquals([revisions.map(({ state }) => state), checkedChunks], [["unknown", "unknown"], 0]);
});

Deno.test("check() that is aborted returns the reason, and gives the lock back", async () => {
  using scene = new Scene();
  const { path } = scene.store.add("Revision", "abcd");
  const controller = new AbortController();
  const reason = new Error("enough");
  const { interruption } = await check({
    revisions: [path],
    threads: 1,
    signal: controller.signal,
    readBytesPerSecond: 1000,
    onEvent: ({ type }) => type === "checking" && controller.abort(reason),
  });
  assert(interruption === reason);
  const fd = openFd(`${scene.store.basedir}/.purge`, OpenFlag.O_RDWR);
  assert(tryFlock(fd, FlockOperation.LOCK_EX));
  closeFd(fd);
});
