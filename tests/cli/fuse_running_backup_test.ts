/**
 * A mount beside a running backup. backy copies the parent's map to the new name. At its end it
 * rewrites that file in place and then replaces the metadata: from then on nothing of the old
 * content may be seen under that name.
 */

import { Buffer } from "node:buffer";

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch, assertNotEquals } from "../assert.ts";
import {
  assertBytes,
  assertContent,
  errnoOf,
  readAt,
  readFrom,
  writeAt,
} from "../support/bytes.ts";
import { run, sh } from "../support/programs.ts";
import {
  addRevision,
  type ChunkContent,
  imageOf,
  sampleBytes,
  writeMap,
} from "../support/store_builder.ts";
import { pause, until } from "../support/wait.ts";
import { type FuseMount, fuseTest, type Site } from "./fuse_harness.ts";

const C = CHUNK_BYTES;
const EIO = 5;
const [A, B, D] = [1, 2, 3].map((seed) => sampleBytes(seed)) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
];
const PARENT: ChunkContent[] = [A, A, D];
const LATER = { timestamp: "2026-02-02 02:00:00+00:00" };

/** Adds a finished revision, and one whose backup has just begun. Returns a way to finish it. */
function addRunning(site: Site, chunks: ChunkContent[]): { image: Uint8Array; finish: () => void } {
  const { image } = site.add("Done", chunks);
  // The chunks are written first, the map last.
  const end = site.add("End", chunks, LATER);
  const metadata = Deno.readTextFileSync(`${site.basedir}/End.rev`).replace("End", "Running");
  for (const name of ["End", "End.rev", "Done", "Done.rev"]) {
    Deno.removeSync(`${site.basedir}/${name}`);
  }
  site.add("Parent", PARENT);
  site.add("Running", PARENT, { ...LATER, isComplete: false });
  const finish = () => {
    writeMap(site.basedir, "Running", end);
    Deno.writeTextFileSync(`${site.basedir}/new`, metadata);
    Deno.renameSync(`${site.basedir}/new`, `${site.basedir}/Running.rev`);
  };
  return { image, finish };
}

/** Waits until the finished backup is visible. */
async function untilLastIs(mount: FuseMount, name: string): Promise<void> {
  await until(async () => await Deno.readLink(mount.file("last")) === name, `last -> ${name}`);
}

const isComplete = (path: string) =>
  run("getfattr", "--absolute-names", "--only-values", "-n", "user.backy.complete", path);

const GETFATTR = { programs: ["getfattr"] };

fuseTest("A backup that finishes becomes another file with its own bytes", async (site) => {
  const { image, finish } = addRunning(site, [A, B, D]);
  const parent = imageOf([A, A, D]);
  const mount = await site.mount();
  const running = mount.file("Running");
  assertEquals(await Deno.readLink(mount.file("last")), "Parent");
  assertEquals(await isComplete(running), "false");
  await assertContent(running, parent);
  const { ino } = await Deno.stat(running);
  using open = await Deno.open(running);
  finish();
  await untilLastIs(mount, "Running");
  assertEquals(await isComplete(mount.file("last")), "true");
  await assertContent(mount.file("last"), image);
  await assertContent(running, image);
  assertNotEquals((await Deno.stat(running)).ino, ino);
  // Whoever has the old file open can read all of it.
  assertEquals((await open.stat()).ino, ino);
  assertBytes(await readFrom(open, 0, 3 * C), parent);
  assertEquals(mount.messages, []);
  await closeAndEnd(open, mount);
}, GETFATTR);

async function closeAndEnd(file: Deno.FsFile, mount: FuseMount): Promise<void> {
  file[Symbol.dispose]();
  await mount.end();
}

fuseTest("A file that is open has its map from when it was opened", async (site) => {
  addRunning(site, [A, B, D]);
  const mount = await site.mount();
  using open = await Deno.open(mount.file("Running"));
  Deno.writeTextFileSync(`${site.basedir}/Running`, "{");
  // Nothing of this file was read before.
  assertBytes(await readFrom(open, C, C), A);
  await closeAndEnd(open, mount);
});

for (const chunks of [[A, B], [A, B, D, A, B]] as ChunkContent[][]) {
  fuseTest(`A backup of ${chunks.length} chunks over a parent of 3 has its size`, async (site) => {
    const { image, finish } = addRunning(site, chunks);
    const mount = await site.mount();
    await Deno.readFile(mount.file("Running"));
    finish();
    await untilLastIs(mount, "Running");
    assertEquals((await Deno.stat(mount.file("last"))).size, image.length);
    await assertContent(mount.file("last"), image);
    await mount.end();
  });
}

fuseTest("A map that is rewritten again and again is never served in part", async (site) => {
  const { finish } = addRunning(site, [A, B, D]);
  const images = [imageOf([A, B, D]), imageOf([A, A, D])];
  const maps = [[A, B, D], [A, A, D]].map((chunks) => addRevision(site.basedir, "Helper", chunks));
  const mount = await site.mount();
  const writing = new AbortController();
  const writer = (async () => {
    for (let round = 0; !writing.signal.aborted; round++) {
      writeMap(site.basedir, "Running", maps[round % 2]!);
      await pause(round % 3 * 300);
    }
  })();
  for (let round = 0; round < 6; round++) {
    const bytes = await Deno.readFile(mount.file("Running"));
    assert(images.some((image) => Buffer.compare(image, bytes) === 0));
  }
  writing.abort();
  await writer;
  finish();
  await untilLastIs(mount, "Running");
  await assertContent(mount.file("last"), images[0]!);
  await mount.end();
});

fuseTest("A half-written map is an I/O error until it is whole", async (site) => {
  const { image, finish } = addRunning(site, [A, B, D]);
  const mount = await site.mount();
  await Deno.readFile(mount.file("Running"));
  const text = Deno.readTextFileSync(`${site.basedir}/Running`);
  Deno.writeTextFileSync(`${site.basedir}/Running`, text.slice(0, -20));
  assertEquals(await errnoOf(readAt(mount.file("Running"), 0, 1)), EIO);
  await mount.tool.untilSaid("Cannot read revision");
  assertMatch(mount.messages[0]!, /^warning: Cannot read revision "Running": .*truncated/);
  finish();
  await untilLastIs(mount, "Running");
  await assertContent(mount.file("last"), image);
  await mount.end();
});

fuseTest("Changes stay while only metadata change, and end with their map", async (site) => {
  const { image } = site.add("Sample", [A, B]);
  const mount = await site.mount();
  const file = mount.file("Sample");
  await writeAt(file, 100, new Uint8Array(200));
  const changed = image.slice();
  changed.fill(0, 100, 300);
  const { ino } = await Deno.stat(file);
  await sh('sed -i s/daily/weekly/ "$1"; touch "$2"', `${site.basedir}/Sample.rev`, site.basedir);
  await sh('cp "$1" "$1.tmp"; mv "$1.tmp" "$1"', `${site.basedir}/Sample`);
  await until(async () => (await tagsOf(file)) === "weekly", "the new tag");
  await assertContent(file, changed);
  assertEquals((await Deno.stat(file)).ino, ino);
  using open = await Deno.open(file, { read: true, write: true });
  const other = addRevision(site.basedir, "Other", [B, A]);
  writeMap(site.basedir, "Sample", other);
  await until(async () => (await Deno.stat(file)).ino !== ino, "the new map");
  await assertContent(file, imageOf([B, A]));
  assertBytes(await readFrom(open, 0, 2 * C), changed);
  await open.seek(0, Deno.SeekMode.Start);
  await open.write(new Uint8Array(100));
  changed.fill(0, 0, 100);
  assertBytes(await readFrom(open, 0, 2 * C), changed);
  await assertContent(file, imageOf([B, A]));
  assertEquals(mount.messages, [
    'warning: revision "Sample" has changed in the backup directory: what was written to its file ' +
    "here is lost when those who have it open close it",
  ]);
  await closeAndEnd(open, mount);
}, GETFATTR);

const tagsOf = (path: string) =>
  run("getfattr", "--absolute-names", "--only-values", "-n", "user.backy.tags", path);

fuseTest(
  "Whoever next opens a finished revision whose map has changed gets the new file",
  async (site) => {
    site.add("Sample", [A, B]);
    const maps = [[B, A], [D, A, B]].map((chunks) => ({
      ...addRevision(site.basedir, "Other", chunks),
      image: imageOf(chunks),
    }));
    const mount = await site.mount();
    await assertContent(mount.file("Sample"), imageOf([A, B]));
    for (const map of maps) {
      // The kernel remembers the file of the name for one second.
      await Deno.stat(mount.file("Sample"));
      writeMap(site.basedir, "Sample", map);
      await assertContent(mount.file("Sample"), map.image);
      assertEquals((await Deno.stat(mount.file("Sample"))).size, map.size);
    }
    assertEquals(mount.messages, []);
    await mount.end();
  },
);
