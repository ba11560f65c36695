import { describeHarm } from "../../lib/target/backup_files.ts";
import { preflightTarget } from "../../lib/target/preflight.ts";
import { TargetError } from "../../lib/errors.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { addRevision, chunkFile, makeStore, sampleBytes } from "../support/store_builder.ts";
import { mountProblem, Scratch, testUnless } from "../support/machine.ts";
import { runSync } from "../support/programs.ts";

/** What is said against a path. */
function harmOf(path: string): string[] {
  const info = (() => {
    try {
      return Deno.statSync(path);
    } catch {
      return null;
    }
  })();
  const realPath = info === null ? path : Deno.realPathSync(path);
  return describeHarm({ path, realPath, info });
}

/** A real backup directory that no restore reads. */
class OtherStore implements Disposable {
  readonly scratch = new Scratch();
  readonly basedir = this.scratch.file("vm1");
  readonly map: string;
  readonly chunk: string;

  constructor() {
    makeStore(this.basedir);
    const { path, ids } = addRevision(this.basedir, "Revision", [sampleBytes(1, 5000)]);
    this.map = path;
    this.chunk = chunkFile(this.basedir, ids[0]!);
    Deno.writeTextFileSync(`${this.basedir}/config`, "x");
  }

  [Symbol.dispose](): void {
    this.scratch[Symbol.dispose]();
  }
}

Deno.test("describeHarm() recognises everything in a backup directory, new files too", () => {
  using store = new OtherStore();
  const { basedir } = store;
  const inside = [`it lies in the backup directory "${Deno.realPathSync(basedir)}"`];
  const paths = [
    store.map,
    `${store.map}.rev`,
    `${basedir}/.purge`,
    `${basedir}/config`,
    `${basedir}/chunks/store`,
    store.chunk,
    `${basedir}/new`,
    `${basedir}/chunks/ab/new`,
    `${basedir}/quarantine/new`,
  ];
  for (const path of paths) assertEquals([path, harmOf(path)], [path, inside]);
  const link = store.scratch.file("link");
  Deno.symlinkSync(store.map, link);
  assertEquals(harmOf(link), inside);
  assertEquals(harmOf(store.scratch.file("beside")), []);
});

Deno.test("describeHarm() recognises a backup's files by their names outside of the store", () => {
  using scratch = new Scratch();
  const map = scratch.file("A", "moved here"), rev = scratch.file("A.rev", "metadata");
  const cases: [path: string, reasons: string[]][] = [
    [map, [`it is a revision of a backup, which "${rev}" describes`]],
    [rev, [`it describes "${map}", a revision of a backup`]],
    [scratch.file(".purge"), ["it is named as the lock file of a backup"]],
    [scratch.file(".backup", ""), ["it is named as the lock file of a backup"]],
    [
      scratch.file("c72b4ba82d1f51b71c8a18195ad33fc8.chunk.lzo"),
      ["it is named as a chunk of a backup"],
    ],
    [scratch.file("alone.rev"), []],
    [scratch.file("image.chunk.lzo"), []],
  ];
  for (const [path, reasons] of cases) assertEquals([path, harmOf(path)], [path, reasons]);
  const inside = `it lies in the chunks directory of a backup, "${scratch.path}"`;
  scratch.file("store", "v2\n");
  assertEquals(harmOf(scratch.file("new")), [inside]);
  scratch.file("store", "of goods");
  assertEquals(harmOf(scratch.file("new")), []);
});

Deno.test("describeHarm() recognises a backup's files by their content, and counts names", () => {
  using store = new OtherStore();
  const { scratch } = store;
  const copy = (from: string, name: string) => {
    const to = scratch.file(name);
    Deno.copyFileSync(from, to);
    return to;
  };
  assertEquals(harmOf(copy(store.map, "x")), ["it holds the map of a revision"]);
  assertEquals(harmOf(copy(`${store.map}.rev`, "y")), ["it holds the metadata of a revision"]);
  assertEquals(harmOf(copy(store.chunk, "z")), ["it holds a chunk of a backup"]);
  const hard = scratch.file("hard");
  Deno.linkSync(store.map, hard);
  assertEquals(harmOf(hard), [
    "it holds the map of a revision",
    "it has 2 names (hard links), and would change under all of them",
  ]);
  // A file without a name is recognised by its content only.
  assertEquals(
    describeHarm({ path: copy(store.map, "n"), realPath: null, info: Deno.statSync(store.map) })[0],
    "it holds the map of a revision",
  );
  for (const content of ["", "\xf0", "image", '{"mapping', new Uint8Array(9000).fill(0xf0)]) {
    assertEquals(harmOf(scratch.file("image", content)), []);
  }
});

testUnless(mountProblem(), "describeHarm() recognises a backup that is mounted elsewhere", () => {
  using store = new OtherStore();
  const { scratch } = store;
  const folder = scratch.file("chunks elsewhere"), file = scratch.file("map", "");
  Deno.mkdirSync(folder);
  const mounted: string[] = [];
  const bind = (from: string, to: string) => {
    runSync("mount", "--bind", from, to);
    mounted.push(to);
  };
  try {
    bind(`${store.basedir}/chunks`, folder);
    bind(store.map, file);
    assertEquals(harmOf(`${folder}/ab/new`), [
      `it lies in the chunks directory of a backup, "${Deno.realPathSync(folder)}"`,
    ]);
    assertEquals(harmOf(file), ["it holds the map of a revision"]);
  } finally {
    for (const path of mounted) runSync("umount", path);
  }
});

Deno.test("preflightTarget() refuses files of any backup, and warns of them with --force", () => {
  using store = new OtherStore();
  const options = { extent: { start: 0, end: 1 }, sparse: "auto", stores: [] } as const;
  const before = Deno.readTextFileSync(store.map);
  for (const output of [store.map, `${store.basedir}/new`]) {
    const reason = `it lies in the backup directory "${Deno.realPathSync(store.basedir)}"`;
    const refused = assertThrows(
      () => preflightTarget(output, { ...options, force: false }),
      TargetError,
    );
    assertEquals(
      refused.message,
      `Cannot restore to "${output}": ${reason} (--force overrides this)`,
    );
    using forced = preflightTarget(output, { ...options, force: true });
    assertEquals(forced.warnings, [`"${output}" is written although ${reason}`]);
  }
  // Named by a descriptor, it has no name and is recognised by its content.
  using open = Deno.openSync(store.map);
  const name = Deno.readDirSync("/proc/self/fd");
  const fd = [...name].find(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`) === Deno.realPathSync(store.map);
    } catch {
      return false;
    }
  });
  assert(fd !== undefined);
  const byFd = `/proc/self/fd/${fd.name}`;
  assertThrows(
    () => preflightTarget(byFd, { ...options, force: false }),
    TargetError,
    "it lies in",
  );
  Deno.removeSync(store.map);
  assertThrows(
    () => preflightTarget(byFd, { ...options, force: false }),
    TargetError,
    "it holds the map of a revision",
  );
  assertEquals(new TextDecoder().decode(readAll(open)), before);
});

function readAll(file: Deno.FsFile): Uint8Array {
  const buffer = new Uint8Array(65_536);
  return buffer.subarray(0, file.readSync(buffer) ?? 0);
}
