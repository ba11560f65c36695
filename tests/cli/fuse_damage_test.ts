/** Chunks and revisions that are missing or damaged, and are repaired while mounted. */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertStringIncludes } from "../assert.ts";
import { assertBytes, assertContent, dropPageCache, errnoOf, readAt } from "../support/bytes.ts";
import { run } from "../support/programs.ts";
import { chunkFile, sampleBytes } from "../support/store_builder.ts";
import { type FuseMount, fuseTest, type Site } from "./fuse_harness.ts";

const EIO = 5;
const SIZE = 4 * CHUNK_BYTES + 5000;
const BAD_SEQ = 2;

/** A revision of five chunks, and the path of one chunk's file. */
function addSample(site: Site) {
  const chunks = [1, 2, 3, 4].map((seed) => sampleBytes(seed));
  const { ids, image } = site.add("Sample", [...chunks, sampleBytes(5, 5000)]);
  assertEquals(image.length, SIZE);
  const id = ids[BAD_SEQ]!;
  return { image, id, path: chunkFile(site.basedir, id), chunks };
}

/** Replaces a chunk file by another, or removes it. */
function replaceFile(path: string, content: Uint8Array | null): void {
  // A new file, as a repair makes one: chunk files are read-only, and their content may be cached.
  Deno.removeSync(path);
  if (content !== null) Deno.writeFileSync(path, content, { mode: 0o440 });
}

/** Asserts that the bytes of the bad chunk, and only those, cannot be read. */
async function assertOnlyBadChunkFails(mount: FuseMount, image: Uint8Array): Promise<void> {
  const path = mount.file("Sample");
  const start = BAD_SEQ * CHUNK_BYTES;
  const end = start + CHUNK_BYTES;
  await dropPageCache();
  for (const at of [start, start + 1_000_000, end - 4096]) {
    assertEquals(await errnoOf(readAt(path, at, 4096)), EIO, `${at}`);
  }
  assertEquals(await errnoOf(Deno.readFile(path)), EIO);
  for (const [from, to] of [[0, start], [start - 1, start], [end, SIZE], [end, end + 1]] as const) {
    assertBytes(await readAt(path, from, to - from), image.subarray(from, to));
  }
}

const DAMAGES: readonly [
  name: string,
  damage: (good: Uint8Array<ArrayBuffer>) => Uint8Array | null,
][] = [
  ["missing", () => null],
  ["empty", () => new Uint8Array()],
  ["cut off", (good) => good.slice(0, good.length / 2)],
  ["changed in one bit", (good) => good.with(good.length >> 1, good[good.length >> 1]! ^ 4)],
  ["overwritten with zeros", (good) => new Uint8Array(good.length)],
];

for (const [name, damage] of DAMAGES) {
  fuseTest(
    `A chunk that is ${name} gives EIO and a line, until it is there again`,
    async (site) => {
      const { image, id, path } = addSample(site);
      const good = Deno.readFileSync(path);
      replaceFile(path, damage(good));
      const mount = await site.mount();
      await assertOnlyBadChunkFails(mount, image);
      await mount.tool.untilSaid(id);
      // Reported once, though it was requested many times.
      assertEquals(mount.messages.length, 1, mount.tool.said);
      const line = mount.messages[0]!;
      const start = BAD_SEQ * CHUNK_BYTES;
      const place = `image bytes ${start} to ${start + CHUNK_BYTES - 1} (seq ${BAD_SEQ})`;
      assertStringIncludes(line, `warning: Cannot read ${place} of revision "Sample": `);
      assertStringIncludes(line, `"${id}"`);

      replaceFileOrAdd(path, good);
      await dropPageCache();
      await assertContent(mount.file("Sample"), image);
      await mount.end();
    },
  );
}

function replaceFileOrAdd(path: string, content: Uint8Array): void {
  try {
    replaceFile(path, content);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    Deno.writeFileSync(path, content, { mode: 0o440 });
  }
}

fuseTest("dd conv=noerror reads all but the damaged chunk", async (site) => {
  const { image, path } = addSample(site);
  replaceFile(path, null);
  const mount = await site.mount();
  const copy = site.file("copy");
  await run(
    "dd",
    ...[`if=${mount.file("Sample")}`, `of=${copy}`, "bs=64k", "conv=noerror,sync", "status=none"],
  );
  image.fill(0, BAD_SEQ * CHUNK_BYTES, (BAD_SEQ + 1) * CHUNK_BYTES);
  assertBytes(Deno.readFileSync(copy).subarray(0, SIZE), image);
  await mount.end();
});

fuseTest("--no-verify serves a chunk with other content, and no broken one", async (site) => {
  const { image, path } = addSample(site);
  const { ids } = site.add("Other", [sampleBytes(9)]);
  const other = Deno.readFileSync(chunkFile(site.basedir, ids[0]!));
  replaceFile(path, other);
  const verified = await site.mount();
  await assertOnlyBadChunkFails(verified, image);
  await verified.end();

  const unverified = await site.mount(["--no-verify"]);
  const expected = image.slice();
  expected.set(sampleBytes(9), BAD_SEQ * CHUNK_BYTES);
  await assertContent(unverified.file("Sample"), expected);
  assertEquals(unverified.messages, []);
  await unverified.end();

  replaceFile(path, other.slice(0, 1000));
  const broken = await site.mount(["--no-verify"]);
  await assertOnlyBadChunkFails(broken, image);
  await broken.end();
});

fuseTest("A damaged chunk concerns each revision that has it, and no other", async (site) => {
  const { path, chunks } = addSample(site);
  const sharing = site.add("Sharing", [chunks[0]!, chunks[BAD_SEQ]!]);
  const apart = site.add("Apart", [chunks[0]!, chunks[1]!]);
  replaceFile(path, null);
  const mount = await site.mount();
  await assertContent(mount.file("Apart"), apart.image);
  assertEquals(await errnoOf(readAt(mount.file("Sharing"), CHUNK_BYTES, 1)), EIO);
  assertBytes(
    await readAt(mount.file("Sharing"), 0, CHUNK_BYTES),
    sharing.image.subarray(0, CHUNK_BYTES),
  );
  await mount.tool.untilSaid('of revision "Sharing"');
  await mount.end();
});

fuseTest("A damaged map spoils its own revision only, until it is put right", async (site) => {
  const { image } = addSample(site);
  const bad = site.add("Bad", [sampleBytes(1)]);
  const map = Deno.readTextFileSync(bad.path);
  Deno.writeTextFileSync(bad.path, map.replace('"mapping":{"0":', '"mapping":{"zero":'));
  const mount = await site.mount();
  assertEquals(await errnoOf(Deno.readFile(mount.file("Bad"))), EIO);
  await mount.tool.untilSaid('revision "Bad"');
  assertEquals(mount.messages.length, 1, mount.tool.said);
  await assertContent(mount.file("Sample"), image);
  Deno.writeTextFileSync(bad.path, map);
  await assertContent(mount.file("Bad"), bad.image);
  await mount.end();
});

/** Metadata files of revisions that cannot be served: name, text, message. */
const BAD_METADATA: readonly [name: string, text: string, reason: RegExp][] = [
  ["yaml", "uuid: [yaml\n", /./],
  ["empty", "", /./],
  ["binary", "\0\x01\x02", /./],
  ["remote", "uuid: remote\nbackend_type: chunked\nserver: 'other'\n", /server "other"/],
  ["cow", "uuid: cow\nbackend_type: cowfile\nserver: ''\n", /"cowfile", not "chunked"/],
  ["mapless", "uuid: mapless\nbackend_type: chunked\n", /its map is missing/],
  ["misnamed", "uuid: Sample\nbackend_type: chunked\n", /the metadata of "Sample"/],
];

fuseTest("Revisions that cannot be served are left out with a warning each", async (site) => {
  const { image } = addSample(site);
  const map = Deno.readTextFileSync(`${site.basedir}/Sample`);
  for (const [name, text] of BAD_METADATA) {
    Deno.writeTextFileSync(`${site.basedir}/${name}.rev`, text);
    if (name !== "mapless") Deno.writeTextFileSync(`${site.basedir}/${name}`, map);
  }
  // Metadata of old versions, which had only one format.
  const metadata = Deno.readTextFileSync(`${site.basedir}/Sample.rev`);
  Deno.writeTextFileSync(
    `${site.basedir}/Untyped.rev`,
    metadata.replace("backend_type: chunked\n", "").replace("uuid: Sample", "uuid: Untyped"),
  );
  Deno.writeTextFileSync(`${site.basedir}/Untyped`, map);
  const mount = await site.mount();
  assertEquals((await run("ls", mount.path)).trim().split("\n"), [
    ...["Sample", "Untyped", "by-date", "last", "last.parts"],
  ]);
  assertEquals(mount.messages.length, BAD_METADATA.length, mount.tool.said);
  for (const [name, , reason] of BAD_METADATA) {
    const start = `warning: revision "${name}" is left out: `;
    const line = mount.messages.find((line) => line.startsWith(start));
    assert(line !== undefined && reason.test(line.slice(start.length)), mount.tool.said);
  }
  await assertContent(mount.file("Untyped"), image);
  await assertContent(mount.file("Sample"), image);
  await mount.end();
});

fuseTest("A backup directory without revisions is mounted, empty", async (site) => {
  const mount = await site.mount();
  assertEquals(await run("ls", "-A", mount.path), "");
  assertStringIncludes(mount.tool.said, "0 revisions of ");
  await mount.end();
});
