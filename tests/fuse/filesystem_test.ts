import { Errno, FileType, FuseError } from "deno-fuse";
import { RevisionError } from "../../lib/errors.ts";
import { errnoName } from "../../lib/linux/errno.ts";
import { RevisionDirectory } from "../../lib/fuse/revision_directory.ts";
import { BY_DATE_INO, LAST_INO, LAST_PARTS_INO, ROOT_INO } from "../../lib/fuse/inodes.ts";
import type { StaleRange } from "../../lib/fuse/views.ts";
import type { CatalogEntry } from "../../lib/store/catalog.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "../assert.ts";
import { fakeId, isSame, join, nextTurn } from "../pages/fake_chunks.ts";
import { fakeEntry } from "./fake_entry.ts";
import { PromptFilesystem } from "./prompt_filesystem.ts";
import { FakeImages, modelOf } from "../image_access/fake_images.ts";

const C = CHUNK_BYTES;
const NUMBERS = [0, 1, null];
const SIZE = 2 * C + 777;
const O_RDWR = 2, O_TRUNC = 0o1000;

/** Makes a file system with the revisions "a" and "b"; "b" is newer. */
function setUp(mount = new FakeImages()) {
  const world = {
    revisions: [
      fakeEntry("a", 1),
      fakeEntry("b", 2),
      fakeEntry("unfinished", 3, {}, false),
    ] as CatalogEntry[],
    modifiedMs: 1000,
    badTables: [] as string[],
    invalidated: [] as StaleRange[],
  };
  const directory = new RevisionDirectory({
    readCatalog: () => ({ revisions: world.revisions, skipped: [] }),
    readModifiedMs: () => world.modifiedMs,
    readState: () => mount.state,
    openImage: ({ name }) => mount.image(name, NUMBERS, SIZE),
    onReplaced: () => {},
    onBadTable: (text) => world.badTables.push(text),
    onSkipped: () => {},
    onFailure: () => {},
  });
  const filesystem = new PromptFilesystem({
    directory,
    owner: { uid: 7, gid: 8 },
    readSpace: () => ({ totalBytes: 100 * 4096 + 5, availableBytes: 50 * 4096 + 5 }),
    countChunks: () => Promise.resolve(2),
    invalidate: (range) => {
      world.invalidated.push(range);
      return Promise.resolve();
    },
  });
  const open = async (name = "a") => {
    const ino = filesystem.lookup({ parent: ROOT_INO, name })!.attributes.ino;
    const { handle } = await filesystem.open({ ino, flags: O_RDWR });
    return { ino, handle: handle! };
  };
  return { filesystem, world, mount, open };
}

/** Asserts that a request fails with an errno, at once or later. */
async function assertFails(run: () => unknown, name: keyof typeof Errno): Promise<void> {
  try {
    await run();
  } catch (error) {
    assertInstanceOf(error, FuseError);
    assertEquals(errnoName(error.errno), name);
    return;
  }
  throw new Error(`Expected ${name}`);
}

Deno.test("Filesystem shows revisions as files with their size and time", () => {
  const { filesystem, mount } = setUp();
  const entry = filesystem.lookup({ parent: ROOT_INO, name: "b" })!;
  assertEquals(entry.attributes, {
    ino: 4,
    mode: FileType.S_IFREG | 0o644,
    uid: 7,
    gid: 8,
    size: SIZE,
    blocks: Math.ceil(SIZE / 512),
    mtimeMs: Date.UTC(2026, 0, 2),
  });
  assertEquals(filesystem.getattr({ ino: 4 }).attributes, entry.attributes);
  assertEquals(filesystem.lookup({ parent: ROOT_INO, name: "none" }), null);
  assertEquals(mount.mapsRead, []);
});

Deno.test("Filesystem shows its root and the link to the newest finished revision", () => {
  const { filesystem, world } = setUp();
  const root = filesystem.getattr({ ino: ROOT_INO }).attributes;
  assertEquals([root.mode, root.nlink, root.mtimeMs], [FileType.S_IFDIR | 0o755, 3, 1000]);
  const link = filesystem.lookup({ parent: ROOT_INO, name: "last" })!.attributes;
  assertEquals([link.ino, link.mode, link.size], [LAST_INO, FileType.S_IFLNK | 0o777, 1]);
  assertEquals(filesystem.readlink({ ino: LAST_INO }), "b");
  world.revisions = [...world.revisions, fakeEntry("c", 4)];
  world.modifiedMs = 2000;
  assert(filesystem.lookup({ parent: ROOT_INO, name: "last" }));
  assertEquals(filesystem.readlink({ ino: LAST_INO }), "c");
});

Deno.test("Filesystem.readdir() keeps its offsets while revisions come and go", () => {
  const { filesystem, world } = setUp();
  const { handle } = filesystem.opendir({ ino: ROOT_INO });
  const read = (offset: number, handle_ = handle!) => [
    ...filesystem.readdir({ ino: ROOT_INO, handle: handle_, offset }),
  ];
  const all = read(0);
  assertEquals(all.map(({ name, ino }) => [name, ino]), [
    [".", 1],
    ["..", 1],
    ["last", LAST_INO],
    ["last.parts", LAST_PARTS_INO],
    ["by-date", BY_DATE_INO],
    ["a", 3],
    ["b", 4],
    ["unfinished", 5],
  ]);
  world.revisions = world.revisions.slice(1);
  world.modifiedMs = 2000;
  const second = filesystem.opendir({ ino: ROOT_INO });
  for (const [index, { nextOffset }] of all.entries()) {
    assertEquals(read(nextOffset), all.slice(index + 1));
  }
  assertEquals(read(0, second.handle).length, 7);
  filesystem.releasedir({ ino: ROOT_INO, handle: handle! });
  assertThrows(() => read(0), FuseError);
});

Deno.test("Filesystem.readdir() lists 10,000 revisions in parts, quickly", () => {
  const { filesystem, world } = setUp();
  const model = fakeEntry("x", 1);
  world.revisions = Array.from(
    { length: 10_000 },
    (_, number) => ({ ...model, name: `r${number}` }),
  );
  world.modifiedMs = 2000;
  const { handle } = filesystem.opendir({ ino: ROOT_INO });
  const names = new Set<string>();
  let offset = 0;
  for (let isMore = true; isMore;) {
    isMore = false;
    let room = 100;
    for (const entry of filesystem.readdir({ ino: ROOT_INO, handle: handle!, offset })) {
      if (room-- === 0) break;
      names.add(entry.name);
      offset = entry.nextOffset;
      isMore = true;
    }
  }
  assertEquals(names.size, 10_005);
});

Deno.test("Filesystem reads and writes images, and keeps the kernel's cache", async () => {
  const { filesystem, open } = setUp();
  const model = modelOf(NUMBERS, SIZE);
  const { ino, handle } = await open();
  const opened = await filesystem.open({ ino, flags: 0 });
  assertEquals([opened.keepCache, opened.directIo], [true, false]);
  const read = async (offset: number, size: number) =>
    join(await filesystem.read({ ino, handle, offset, size }));
  assert(isSame(await read(C - 10, 20), model.subarray(C - 10, C + 10)));
  assert(isSame(await read(SIZE - 5, 4096), model.subarray(SIZE - 5)));
  const data = new Uint8Array(100).fill(0xab);
  assertEquals(await filesystem.write({ ino, handle, offset: C - 50, data }), 100);
  model.set(data, C - 50);
  filesystem.flush({ ino, handle });
  filesystem.fsync({ ino, handle });
  filesystem.release({ ino, handle });
  const again = await filesystem.read({ ino, handle: opened.handle!, offset: C - 60, size: 120 });
  assert(isSame(join(again), model.subarray(C - 60, C + 60)));
  await nextTurn();
  await assertFails(() => filesystem.read({ ino, handle, offset: 0, size: 1 }), "EBADF");
  await assertFails(() => filesystem.write({ ino, handle, offset: 0, data }), "EBADF");
});

Deno.test("Filesystem does not change answers before they are sent", async () => {
  const { filesystem, mount, open } = setUp(new FakeImages({ cachePages: 1 }));
  const { ino, handle } = await open();
  // The second read needs the only page of the cache, in the same turn of the event loop.
  const first = await filesystem.read({ ino, handle, offset: 0, size: C });
  const second = await filesystem.read({ ino, handle, offset: C, size: C });
  assert(isSame(join(first), modelOf([0])) && isSame(join(second), modelOf([1])));
  await nextTurn();
  await nextTurn();
  assertEquals(mount.chunks.loaded, [0, 1].map(fakeId));
});

Deno.test("Filesystem reuses the memory of answers that were sent", async () => {
  const { filesystem, mount, open } = setUp(new FakeImages({ cachePages: 1 }));
  const { ino, handle } = await open();
  for (let count = 0; count < 10; count++) {
    await filesystem.read({ ino, handle, offset: count % 2 * C, size: C });
    await nextTurn();
    await nextTurn();
  }
  // Each read reused the page of the read before it.
  assertEquals(mount.pool.allocatedBytes, C);
});

Deno.test("Filesystem.write() ends at the image's end, and fails behind it", async () => {
  const { filesystem, open } = setUp();
  const { ino, handle } = await open();
  const data = new Uint8Array(10);
  assertEquals(await filesystem.write({ ino, handle, offset: SIZE - 4, data }), 4);
  await assertFails(() => filesystem.write({ ino, handle, offset: SIZE, data }), "EFBIG");
  await assertFails(() => filesystem.write({ ino, handle, offset: SIZE + C, data }), "EFBIG");
});

Deno.test("Filesystem turns failures of reads and writes into errno values, and throws bugs as they are", async () => {
  const { filesystem, mount, open } = setUp(new FakeImages({ dirtyPages: 2 }));
  const { ino, handle } = await open();
  const other = await open("b");
  const data = new Uint8Array(10).fill(1);
  const content = mount.chunks.contents.get(fakeId(0))!;
  mount.chunks.contents.delete(fakeId(0));
  await assertFails(() => filesystem.read({ ino, handle, offset: 0, size: 1 }), "EIO");
  await assertFails(() => filesystem.write({ ino, handle, offset: 0, data }), "EIO");
  mount.chunks.contents.set(fakeId(0), content);
  await filesystem.read({ ino, handle, offset: 0, size: 1 });
  await filesystem.write({ ino, handle, offset: 0, data });
  await filesystem.write({ ino, handle, offset: C, data });
  mount.chunks.shouldFail = () => true;
  await assertFails(() => filesystem.write({ ...other, offset: 2 * C, data }), "ENOSPC");
  mount.cache.get = () => null;
  mount.cache.load = () => Promise.reject(new TypeError("bug"));
  const bug = await assertRejects(async () => {
    await filesystem.read({ ...other, offset: C, size: 1 });
  }, TypeError);
  assertEquals(bug.message, "bug");
  await nextTurn();
});

Deno.test("Filesystem fails as long as an image's size cannot be read", async () => {
  const { filesystem, mount, world } = setUp();
  const broken = mount.image("c", NUMBERS, SIZE);
  let isBroken = true;
  Object.defineProperty(broken, "size", {
    get: () => {
      if (isBroken) throw new RevisionError("Cannot read revision map", { path: "c" });
      return SIZE;
    },
  });
  mount.image = () => broken;
  world.revisions = [...world.revisions, fakeEntry("c", 4)];
  world.modifiedMs = 2000;
  await assertFails(() => filesystem.lookup({ parent: ROOT_INO, name: "c" }), "EIO");
  isBroken = false;
  assertEquals(filesystem.lookup({ parent: ROOT_INO, name: "c" })?.attributes.size, SIZE);
});

Deno.test("Filesystem.setattr() accepts what changes nothing", async () => {
  const { filesystem, open } = setUp();
  const { ino } = await open();
  const before = filesystem.getattr({ ino });
  const accepted = [
    {},
    { size: SIZE },
    { mtimeMs: 5, atimeMs: "now" as const, ctimeMs: 7 },
    { mode: 0o644, uid: 7, gid: 8 },
    { mode: FileType.S_IFREG | 0o644 },
  ];
  for (const changes of accepted) {
    assertEquals(filesystem.setattr({ ino, changes }), before);
  }
  const refused = [{ size: 0 }, { size: SIZE + 1 }, { mode: 0o600 }, { uid: 0 }, { gid: 0 }];
  for (const changes of refused) {
    await assertFails(() => filesystem.setattr({ ino, changes }), "EPERM");
  }
});

Deno.test("Filesystem refuses what is impossible with the fitting errno", async () => {
  const { filesystem, open } = setUp();
  const { ino } = await open();
  await assertFails(() => filesystem.lookup({ parent: ino, name: "x" }), "ENOTDIR");
  await assertFails(() => filesystem.opendir({ ino }), "ENOTDIR");
  await assertFails(() => filesystem.open({ ino: ROOT_INO, flags: 0 }), "EISDIR");
  await assertFails(() => filesystem.open({ ino: LAST_INO, flags: 0 }), "ELOOP");
  await assertFails(() => filesystem.open({ ino: 99, flags: 0 }), "ENOENT");
  await assertFails(() => filesystem.open({ ino, flags: O_RDWR | O_TRUNC }), "EPERM");
  await assertFails(() => filesystem.getattr({ ino: 99 }), "ENOENT");
  await assertFails(() => filesystem.readlink({ ino }), "EINVAL");
  // deno-fuse answers these with EPERM if there is a handler for writing.
  const absent = ["create", "mknod", "mkdir", "unlink", "rmdir", "symlink", "rename", "link"];
  assertEquals(absent.filter((name) => name in filesystem), []);
});

Deno.test("Filesystem shows metadata as extended attributes", async () => {
  const { filesystem, world, open } = setUp();
  const { ino } = await open();
  const values: [string, string][] = [];
  for (const name of filesystem.listxattr({ ino })) {
    values.push([name, new TextDecoder().decode(await filesystem.getxattr({ ino, name }))]);
  }
  assertEquals(values, [
    ["user.backy.tags", "daily,manual:before-upgrade"],
    ["user.backy.trust", "trusted"],
    ["user.backy.timestamp", "2026-01-01T00:00:00.000Z"],
    ["user.backy.complete", "true"],
    ["user.backy.size", String(SIZE)],
    ["user.backy.distinct_chunks", "2"],
  ]);
  const entry = fakeEntry("c", 4, {}, false);
  world.revisions = [{ ...entry, info: { ...entry.info, timestamp: null } }];
  world.modifiedMs = 2000;
  const { ino: other } = await open("c");
  assertEquals(filesystem.listxattr({ ino: other }).includes("user.backy.timestamp"), false);
  const absent: [number, string][] = [
    [other, "user.backy.timestamp"],
    [ino, "security.capability"],
    [ino, "constructor"],
    [ROOT_INO, "user.backy.tags"],
  ];
  for (const [ino, name] of absent) {
    await assertFails(() => filesystem.getxattr({ ino, name }), "ENODATA");
  }
  assertEquals(filesystem.listxattr({ ino: ROOT_INO }), []);
});

Deno.test("Filesystem.statfs() reads no map", () => {
  const { filesystem, mount } = setUp();
  assertEquals(filesystem.statfs({ ino: ROOT_INO }), {
    blockBytes: 4096,
    blocks: 100,
    freeBlocks: 50,
    availableBlocks: 50,
    inodes: 3,
    freeInodes: 0,
    maxNameBytes: 255,
  });
  assertEquals(mount.mapsRead, []);
});

Deno.test("Filesystem.lseek() finds data and holes, and fails as lseek(2) says", async () => {
  const { filesystem, open } = setUp();
  const file = await open();
  const seek = (offset: number, whence: number) => filesystem.lseek({ ...file, offset, whence });
  const [data, hole] = [3, 4];
  const seekAll = (...seeks: [number, number][]) =>
    Promise.all(seeks.map(([offset, whence]) => seek(offset, whence)));
  assertEquals(await seekAll([5, data], [5, hole], [2 * C, hole]), [5, 2 * C, 2 * C]);
  await assertFails(() => seek(2 * C, data), "ENXIO");
  await assertFails(() => seek(SIZE, hole), "ENXIO");
  await assertFails(() => seek(0, 2), "EINVAL");
  await assertFails(() => filesystem.lseek({ ...file, handle: 99, offset: 0, whence: 3 }), "EBADF");
  await filesystem.write({ ...file, offset: 2 * C + 9, data: new Uint8Array(1) });
  assertEquals(await seekAll([2 * C, data], [5, hole]), [2 * C, SIZE]);
});

Deno.test("Filesystem shows the space of a file whose map was read, and else lets nobody rely on it", async () => {
  const { filesystem, mount, open } = setUp();
  const { ino } = filesystem.lookup({ parent: ROOT_INO, name: "a" })!.attributes;
  const look = () => {
    const entry = filesystem.lookup({ parent: ROOT_INO, name: "a" })!;
    const timed = filesystem.getattr({ ino });
    assertEquals(entry, { ...timed });
    return [timed.attributes.blocks, timed.attributesTimeoutMs];
  };
  assertEquals([look(), mount.mapsRead], [[Math.ceil(SIZE / 512), 0], []]);
  const file = await open();
  assertEquals(look(), [2 * C / 512, undefined]);
  await filesystem.write({ ...file, offset: 2 * C, data: new Uint8Array(1) });
  assertEquals(look(), [Math.ceil(SIZE / 512), undefined]);
  filesystem.release(file);
  assertEquals(look(), [Math.ceil(SIZE / 512), undefined]);
});
