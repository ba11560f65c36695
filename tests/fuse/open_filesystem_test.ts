/**
 * Everything below the kernel: a real backup directory, real workers, but no mount.
 *
 * @module
 */

import { FuseError } from "deno-fuse";
import { encodeChunk } from "../../lib/chunk/encoder.ts";
import { errnoName } from "../../lib/linux/errno.ts";
import type { Filesystem } from "../../lib/fuse/filesystem.ts";
import { openFilesystem } from "../../lib/fuse/open_filesystem.ts";
import { ROOT_INO } from "../../lib/fuse/inodes.ts";
import { ImageAccess } from "../../lib/image_access/image_access.ts";
import { CHUNK_BYTES, ZERO_CHUNK_ID } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../assert.ts";
import {
  addRevision,
  type ChunkContent,
  chunkFile,
  imageOf,
  makeStore,
  sampleBytes,
} from "../support/store_builder.ts";
import { Mount, mountProblem, Scratch, testUnless } from "../support/machine.ts";
import { atOnce } from "./prompt_filesystem.ts";
import { isSame, join, nextTurn } from "../pages/fake_chunks.ts";

const C = CHUNK_BYTES;
const MIB = 1024 * 1024;

const SAMPLES = [1, 2, 3, 4, 5].map((seed) => sampleBytes(seed));
const [A, B, D, E, F] = SAMPLES as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];

/** A backup directory with a file system over it. */
class Fixture implements Disposable {
  readonly #scratch = new Scratch();
  readonly basedir = this.#scratch.file("store");
  readonly lines: string[] = [];
  readonly skipped: string[] = [];
  #images: ImageAccess | null = null;
  #handlers: Filesystem | null = null;

  constructor(revisions: Record<string, readonly ChunkContent[]>, size?: number) {
    Deno.mkdirSync(this.basedir);
    makeStore(this.basedir);
    for (const [name, chunks] of Object.entries(revisions)) {
      addRevision(this.basedir, name, chunks, size === undefined ? {} : { size });
    }
  }

  open(options: { spillDir?: string; cacheBytes?: number; verify?: boolean } = {}) {
    const images = new ImageAccess({
      basedir: this.basedir,
      spillDir: options.spillDir ?? this.basedir,
      cacheBytes: options.cacheBytes ?? 4 * C,
      threads: 2,
      verify: options.verify ?? true,
      onFailure: (line) => this.lines.push(line),
    });
    this.#images = images;
    this.#handlers = openFilesystem(images, {
      owner: { uid: 0, gid: 0 },
      onSkipped: ({ name, reason }) => this.skipped.push(`${name}: ${reason}`),
      onBadTable: (text) => this.lines.push(text),
      invalidate: () => Promise.resolve(),
    });
    return { images, handlers: this.#handlers };
  }

  /** Opens a revision as a program would. */
  async file(name: string) {
    const handlers = this.#handlers!;
    const ino = atOnce(handlers.lookup({ parent: ROOT_INO, name }))!.attributes.ino;
    const handle = (await handlers.open({ ino, flags: 2 })).handle!;
    return {
      read: async (offset: number, size: number) => {
        const bytes = join(await handlers.read({ ino, handle, offset, size }));
        await nextTurn();
        return bytes;
      },
      write: async (offset: number, bytes: Uint8Array) =>
        await handlers.write({ ino, handle, offset, data: bytes.slice() }),
    };
  }

  /** All files of the store, with what shows that a file was changed. */
  snapshot(): Map<string, string> {
    const files = new Map<string, string>();
    const visit = (dir: string) => {
      for (const { name, isDirectory } of Deno.readDirSync(dir)) {
        const path = `${dir}/${name}`;
        if (isDirectory) visit(path);
        else {
          const { ino, size, mtime } = Deno.statSync(path);
          files.set(path, `${ino} ${size} ${mtime?.getTime()}`);
        }
      }
    };
    visit(this.basedir);
    return files;
  }

  [Symbol.dispose](): void {
    this.#images?.[Symbol.dispose]();
    this.#scratch[Symbol.dispose]();
  }
}

async function assertFails(run: () => Promise<unknown>, name: string): Promise<void> {
  const error = await assertRejects(run, FuseError);
  assertEquals(errnoName(error.errno), name);
}

Deno.test("A mount's files hold what was backed up, for several readers at once", async () => {
  const chunks: ChunkContent[] = [A, "absent", B, "zero", D, A, sampleBytes(9, 54321)];
  const size = 6 * C + 54321;
  using fixture = new Fixture({ r1: chunks, r2: [A, B] });
  const { counts } = fixture.open().images;
  const image = imageOf([...chunks.slice(0, 6), sampleBytes(9)], size);
  image.set(sampleBytes(9, 54321), 6 * C);
  assertEquals(counts.misses, 0);
  const readAll = async () => {
    const { read } = await fixture.file("r1");
    for (let offset = 0; offset < size; offset += MIB) {
      const bytes = await read(offset, MIB);
      assert(isSame(bytes, image.subarray(offset, offset + MIB)), `at ${offset}`);
    }
  };
  await Promise.all([readAll(), readAll()]);
  assert(
    isSame(
      await (await fixture.file("r1")).read(2 * C - 1000, 2 * C),
      image.subarray(2 * C - 1000, 4 * C - 1000),
    ),
  );
  assert(
    isSame(
      await (await fixture.file("r2")).read(C - 5, 10),
      imageOf([A, B]).subarray(C - 5, C + 5),
    ),
  );
  assertEquals(fixture.lines, []);
});

Deno.test("A damaged or missing chunk gives EIO and a line, until it is whole again", async () => {
  using fixture = new Fixture({ r1: [A, B, D] });
  fixture.open();
  const { read } = await fixture.file("r1");
  const path = chunkFile(fixture.basedir, encodeChunk(B).id);
  const whole = Deno.readFileSync(path);
  Deno.chmodSync(path, 0o640);
  const damaged = whole.slice();
  damaged[damaged.length >> 1]! ^= 0x40;
  Deno.writeFileSync(path, damaged);
  await assertFails(() => read(C + 100, 10), "EIO");
  await assertFails(() => read(C - 1, 2), "EIO");
  assertEquals(fixture.lines.length, 1);
  assertStringIncludes(
    fixture.lines[0]!,
    `Cannot read image bytes ${C} to ${2 * C - 1} (seq 1) of revision "r1": Cannot use chunk "${
      encodeChunk(B).id
    }"`,
  );
  assert(isSame(await read(0, C), A) && isSame(await read(2 * C, C), D));
  Deno.removeSync(path);
  await assertFails(() => read(C + 100, 10), "EIO");
  Deno.writeFileSync(path, whole);
  assert(isSame(await read(C, C), B));
});

Deno.test("With verify: false a chunk with other content is accepted, a shorter one is not", async () => {
  using fixture = new Fixture({ r1: [A, B] });
  const replace = (content: Uint8Array, other: Uint8Array) => {
    const path = chunkFile(fixture.basedir, encodeChunk(content).id);
    Deno.removeSync(path);
    Deno.writeFileSync(path, encodeChunk(other).file);
  };
  replace(A, D);
  replace(B, D.subarray(0, C - 1));
  fixture.open({ verify: false });
  const { read } = await fixture.file("r1");
  assert(isSame(await read(0, C), D));
  await assertFails(() => read(C, 1), "EIO");
});

Deno.test("Changes beyond the bound are stored as chunks, and no file of the store changes", async () => {
  const chunks = [A, B, D, E, F, "zero", "absent"] as const;
  using fixture = new Fixture({ r1: chunks, r2: chunks });
  const before = fixture.snapshot();
  fixture.open({ cacheBytes: 2 * C });
  const { read, write } = await fixture.file("r1");
  const image = imageOf(chunks);
  for (let seq = 0; seq < 7; seq++) {
    const bytes = sampleBytes(100 + seq, 5000);
    const offset = Math.max(0, seq * C - 2500);
    assertEquals(await write(offset, bytes), 5000);
    image.set(bytes, offset);
  }
  assert(isSame(await read(0, 7 * C), image));
  await write(3 * C, new Uint8Array(10).fill(7));
  image.fill(7, 3 * C, 3 * C + 10);
  assert(isSame(await read(0, 7 * C), image));
  assert(isSame(await (await fixture.file("r2")).read(0, 7 * C), imageOf(chunks)));
  const after = fixture.snapshot();
  for (const [path, content] of before) assert(after.get(path) === content, path);
  assert(after.size > before.size);
  for (const path of after.keys()) {
    if (before.has(path)) continue;
    assert(/\/chunks\/([0-9a-f]{2})\/\1[0-9a-f]{30}\.chunk\.lzo$/.test(path), path);
    assertEquals(Deno.statSync(path).mode! & 0o777, 0o440);
  }
  assertEquals(fixture.lines, []);
});

Deno.test("Changes go to the spill directory if one is named, zeros nowhere", async () => {
  using fixture = new Fixture({ r1: [A, B, D, E] });
  using spill = new Scratch();
  const before = fixture.snapshot();
  fixture.open({ cacheBytes: 2 * C, spillDir: spill.path });
  const { read, write } = await fixture.file("r1");
  await write(0, new Uint8Array(C));
  await write(C, new Uint8Array([1]));
  await write(2 * C, new Uint8Array([2]));
  await assertRejects(async () => await Deno.stat(`${spill.path}/chunks`), Deno.errors.NotFound);
  await write(3 * C, new Uint8Array([3]));
  assertEquals([...Deno.readDirSync(`${spill.path}/chunks`)].length, 1);
  const image = imageOf(["zero", B, D, E]);
  for (const seq of [1, 2, 3]) image[seq * C] = seq;
  assert(isSame(await read(0, 4 * C), image));
  await write(5, new Uint8Array([5]));
  image[5] = 5;
  assert(isSame(await read(0, 4 * C), image));
  assertEquals(fixture.snapshot(), before);
  await assertRejects(
    async () => await Deno.stat(chunkFile(spill.path, ZERO_CHUNK_ID)),
    Deno.errors.NotFound,
  );
});

Deno.test("A change whose chunk is in the store already is not stored again, unless that is damaged", async () => {
  for (const isWhole of [true, false]) {
    using fixture = new Fixture({ r1: [A, B, D], r2: [E] });
    const path = chunkFile(fixture.basedir, encodeChunk(E).id);
    if (!isWhole) {
      Deno.chmodSync(path, 0o640);
      Deno.writeFileSync(path, Deno.readFileSync(path).fill(0, 1000, 2000));
    }
    const before = fixture.snapshot();
    fixture.open({ cacheBytes: 2 * C });
    const { read, write } = await fixture.file("r1");
    await write(0, E);
    await write(C, new Uint8Array([1]));
    await write(2 * C, new Uint8Array([1]));
    const image = imageOf([E, B, D]);
    image[C] = image[2 * C] = 1;
    assert(isSame(await read(0, 3 * C), image));
    const after = fixture.snapshot();
    assert(after.get(path) === before.get(path));
    // Another chunk was stored instead of the one whose id has a damaged file.
    assertEquals(after.size - before.size, isWhole ? 0 : 1);
  }
});

Deno.test("A missing spill directory fails the write with EIO and is not created", async () => {
  using fixture = new Fixture({ r1: [A, B, D] });
  const spillDir = `${fixture.basedir}/none`;
  fixture.open({ cacheBytes: 2 * C, spillDir });
  const { read, write } = await fixture.file("r1");
  await write(0, new Uint8Array([1]));
  await write(C, new Uint8Array([1]));
  await assertFails(() => write(2 * C, new Uint8Array([1])), "EIO");
  assertStringIncludes(fixture.lines.join(), "No such file or directory (ENOENT)");
  assertEquals((await read(C, 1))[0], 1);
  await assertRejects(async () => await Deno.stat(spillDir), Deno.errors.NotFound);
});

const problem = mountProblem();
for (
  const [what, options, errno] of [
    ["full", "size=1m", "ENOSPC"],
    ["read-only", "ro", "EROFS"],
  ] as const
) {
  testUnless(
    problem,
    `A ${what} spill place fails writes with ${errno} and loses nothing`,
    async () => {
      using fixture = new Fixture({ r1: [A, B, D, E] });
      using spill = new Mount("-t", "tmpfs", "-o", options, "tmpfs");
      fixture.open({ cacheBytes: 2 * C, spillDir: spill.path });
      const { read, write } = await fixture.file("r1");
      const image = imageOf([A, B, D, E]);
      const noise = crypto.getRandomValues(new Uint8Array(60_000));
      for (const seq of [0, 1]) {
        for (let offset = seq * C; offset < (seq + 1) * C; offset += C / 16) {
          await write(offset, noise);
          image.set(noise, offset);
        }
      }
      await assertFails(() => write(2 * C, new Uint8Array([1])), errno);
      await assertFails(() => write(3 * C - 1, new Uint8Array([1, 1])), errno);
      await write(5, new Uint8Array([9]));
      image[5] = 9;
      assert(isSame(await read(0, 4 * C), image));
      const left = [...Deno.readDirSync(spill.path)].length === 0 ? "" : `${spill.path}/chunks`;
      // No temporary file was left behind.
      if (left) {
        for (const { name } of Deno.readDirSync(left)) {
          assertEquals([...Deno.readDirSync(`${left}/${name}`)], []);
        }
      }
    },
  );
}

Deno.test("Revisions that cannot be served are reported, and new ones are found", async () => {
  using fixture = new Fixture({ r1: [A] });
  Deno.writeTextFileSync(`${fixture.basedir}/bad.rev`, "[");
  addRevision(fixture.basedir, "away", [], { server: "other" });
  const { handlers } = fixture.open();
  assertEquals(handlers.revisionCount, 1);
  assertEquals(fixture.skipped.length, 2);
  assertEquals(handlers.lookup({ parent: ROOT_INO, name: "r2" }), null);
  addRevision(fixture.basedir, "r2", [A, B], { timestamp: "2026-02-01 00:00:00+00:00" });
  assert(isSame(await (await fixture.file("r2")).read(C, C), B));
  assertEquals(handlers.readlink({ ino: 2 }), "r2");
  const space = handlers.statfs({ ino: ROOT_INO });
  assert(space.blocks! > 0 && space.inodes === 2);
});
