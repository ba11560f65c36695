/** What programs see when they read a mount. */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import {
  assertBytes,
  assertContent,
  dropPageCache,
  errnoOf,
  readAt,
  readFrom,
} from "../support/bytes.ts";
import { run, sh } from "../support/programs.ts";
import { randomFrom } from "../support/random.ts";
import { type ChunkContent, sampleBytes, writeMap } from "../support/store_builder.ts";
import { until } from "../support/wait.ts";
import { type FuseMount, fuseTest, hashesBelow, mountsAt, type Site } from "./fuse_harness.ts";

const ENOENT = 2, EPERM = 1, EEXIST = 17, ENOTDIR = 20, EFBIG = 27;

/**
 * Some of everything: repeated, absent and zero chunks, and a size that is not a multiple of a
 * block.
 */
function mixedChunks(): ChunkContent[] {
  const first = sampleBytes(1);
  const holes = sampleBytes(2);
  holes.fill(0, 1000, 3_000_001);
  const end = sampleBytes(3, 1_048_576 + 777);
  return [first, "absent", holes, "zero", sampleBytes(4), first, "absent", holes, end];
}

fuseTest("Sequential reads of 4 MiB and of 4 KiB give the image byte for byte", async (site) => {
  const { image } = site.add("Mixed", mixedChunks());
  const mount = await site.mount();
  for (const blockBytes of ["4M", "4k"]) {
    await dropPageCache();
    const copy = site.file(`copy ${blockBytes}`);
    await run("dd", `if=${mount.file("Mixed")}`, `of=${copy}`, `bs=${blockBytes}`, "status=none");
    assertBytes(Deno.readFileSync(copy), image);
  }
  assertEquals(mount.messages, []);
  await mount.end();
});

fuseTest("cp, direct I/O, and loop devices with direct I/O give the same bytes", async (site) => {
  const { image } = site.add("Mixed", mixedChunks());
  const blocks = site.add("Blocks", [sampleBytes(1), "absent", sampleBytes(2)]).image;
  const mount = await site.mount(["-c", "16"]);
  const copy = site.file("copy");
  await run("cp", mount.file("Mixed"), copy);
  assertBytes(Deno.readFileSync(copy), image);
  const from = `if=${mount.file("Mixed")}`;
  await run("dd", from, `of=${copy}`, "bs=1536k", "iflag=direct", "status=none");
  assertBytes(Deno.readFileSync(copy), image);
  await run("flock", "-n", "-x", mount.file("Mixed"), "true");
  const device = await site.loopDevice("-r", "--direct-io=on", mount.file("Blocks"));
  await run("dd", `if=${device}`, `of=${copy}`, "bs=1M", "iflag=direct", "status=none");
  assertBytes(Deno.readFileSync(copy), blocks);
  assertEquals(mount.messages, []);
}, { programs: ["flock"] });

fuseTest(
  "Paths may be relative or links, and may contain commas, quotes and other special characters",
  async (site) => {
    const { image } = site.add("Sample", [sampleBytes(1)]);
    const odd = site.file('vm,0=\\ "ü" $HOME');
    Deno.renameSync(site.basedir, odd);
    const at = site.folder("mnt,=' ü");
    Deno.symlinkSync(at, site.file("link"));
    const cwd = odd.slice(0, odd.lastIndexOf("/"));
    const mount = await site.mount(["-d", odd.slice(cwd.length + 1)], { at, cwd });
    await assertContent(mount.file("Sample"), image);
    await mount.end();
    const tool = site.start(["-d", odd, "link/"], { cwd });
    await tool.untilSaid("To unmount");
    await assertContent(`${at}/Sample`, image);
    tool.signal("SIGTERM");
    assertEquals((await tool.outcome()).code, 0, tool.said);
    assertEquals(mountsAt(at).length, 0);
  },
);

fuseTest(
  "Random reads by several readers at once, across borders and at the end, are exact",
  async (site) => {
    const { image } = site.add("Mixed", mixedChunks());
    const mount = await site.mount(["-c", "16", "-t", "2"]);
    await dropPageCache();
    const reader = async (seed: number) => {
      const random = randomFrom(seed);
      using file = await Deno.open(mount.file("Mixed"));
      for (let round = 0; round < 60; round++) {
        const length = 1 + random(2 ** (1 + random(23)));
        const border = CHUNK_BYTES * random(10);
        const places = [random(image.length), border - random(length + 1), image.length - length];
        const at = Math.max(0, places[round % 3]!);
        const bytes = await readFrom(file, at, length);
        assertBytes(bytes, image.subarray(at, at + length));
      }
    };
    await Promise.all([101, 102, 103, 104].map(reader));
    assertEquals(mount.messages, []);
    await mount.end();
  },
);

fuseTest("Images of every size end where they end", async (site) => {
  const sizes = [0, 1, 511, 4095, 4097, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1];
  const images = new Map(sizes.map((size) => {
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < size; at += CHUNK_BYTES) {
      chunks.push(sampleBytes(size % 97, Math.min(CHUNK_BYTES, size - at)));
    }
    return [`size${size}`, site.add(`size${size}`, chunks, { size }).image];
  }));
  images.set("hole at the end", site.add("hole", [sampleBytes(5)], { size: 9_000_001 }).image);
  images.set("only holes", site.add("holes", [], { size: 20_000_003 }).image);
  const names = [...images.keys()].map((name) =>
    name === "hole at the end" ? "hole" : name === "only holes" ? "holes" : name
  );
  const mount = await site.mount();
  for (const [index, image] of [...images.values()].entries()) {
    const path = mount.file(names[index]!);
    assertEquals((await Deno.stat(path)).size, image.length, path);
    await assertContent(path, image);
    for (const at of [image.length - 1, image.length, image.length + 5_000_000]) {
      const bytes = await readAt(path, Math.max(0, at), 4096);
      assertBytes(bytes, image.subarray(Math.max(0, at)));
    }
  }
  await mount.end();
});

fuseTest(
  "The root lists each revision with mode, size and time, and the link to the newest finished one",
  async (site) => {
    const chunks = [sampleBytes(1, 5000)];
    site.add("Older", chunks, { timestamp: "2026-01-11 17:45:25.666942+00:00" });
    site.add("Newer", chunks, { timestamp: "2026-02-01 00:00:01+01:00", size: 20_000_000_000_000 });
    site.add("Running", chunks, { timestamp: "2026-03-01 00:00:00+00:00", isComplete: false });
    Deno.symlinkSync("Running", `${site.basedir}/last`);
    Deno.symlinkSync("Running.rev", `${site.basedir}/last.rev`);
    const mount = await site.mount();
    const listed = await sh(
      'cd "$1"; for name in [!b]*; do stat -c "%n %A %u:%g %s %Y" "$name"; done',
      mount.path,
    );
    assertEquals(listed.trim().split("\n"), [
      "Newer -rw-r--r-- 0:0 20000000000000 1769900401",
      "Older -rw-r--r-- 0:0 5000 1768153525",
      "Running -rw-r--r-- 0:0 5000 1772323200",
      "last lrwxrwxrwx 0:0 5 1769900401",
      "last.parts lrwxrwxrwx 0:0 11 1769900401",
    ]);
    assertEquals(await Deno.readLink(mount.file("last")), "Newer");
    assertEquals((await Deno.stat(mount.file("last"))).size, 20_000_000_000_000);
    assertEquals((await run("ls", "-a", mount.path)).trim().split("\n").length, 8);
    await mount.end();
  },
);

fuseTest(
  "Extended attributes hold tags, trust, time, completeness, size and chunks",
  async (site) => {
    site.add("Done", [], { tags: ["daily", "manual:x"], trust: "verified", size: 1 });
    site.add("Running", [], { isComplete: false, size: 1 });
    const mount = await site.mount();
    const read = (name: string) =>
      run("getfattr", "-d", "--absolute-names", mount.file(name)).then((text) =>
        text.trim().split("\n").slice(1)
      );
    assertEquals(await read("Done"), [
      'user.backy.complete="true"',
      'user.backy.distinct_chunks="0"',
      'user.backy.size="1"',
      'user.backy.tags="daily,manual:x"',
      'user.backy.timestamp="2026-01-11T17:45:25.666Z"',
      'user.backy.trust="verified"',
    ]);
    assert((await read("Running")).includes('user.backy.complete="false"'));
    assertEquals(
      await run("getfattr", "--only-values", "-n", "user.backy.trust", mount.file("Done")),
      "verified",
    );
    await mount.end();
  },
  { programs: ["getfattr"] },
);

fuseTest("df shows the room that changes have, as the spill place's does", async (site) => {
  site.add("Mixed", [], { size: 1 });
  const tmpfs = await site.mountDevice("-t", "tmpfs", "-o", "size=64m", "tmpfs");
  const mount = await site.mount(["--spill", tmpfs]);
  const spaceOf = (path: string) => run("df", "-B1", "--output=size,avail", path);
  assertEquals(await spaceOf(mount.path), await spaceOf(tmpfs));
  await mount.end();
});

fuseTest(
  "A revision that appears while mounted is listed, read, and becomes last",
  async (site) => {
    site.add("First", [sampleBytes(1)]);
    const mount = await site.mount();
    assertEquals(await Deno.readLink(mount.file("last")), "First");
    assertEquals(await errnoOf(Deno.stat(mount.file("Second"))), ENOENT);
    const { image } = site.add("Second", [sampleBytes(2, 70_000)], {
      timestamp: "2026-05-01 00:00:00+00:00",
    });
    await assertContent(mount.file("Second"), image);
    await until(
      async () => await Deno.readLink(mount.file("last")) === "Second",
      "the new link",
    );
    assertEquals((await run("ls", mount.path)).trim().split("\n"), [
      ...["First", "Second", "by-date", "last", "last.parts"],
    ]);
    await mount.end();
  },
);

fuseTest("A revision that expires can be read to its end by whoever has it open", async (site) => {
  const { image } = site.add("Mixed", mixedChunks());
  site.add("Other", [], { size: 1 });
  const mount = await site.mount();
  using file = await Deno.open(mount.file("Mixed"));
  await readFrom(file, 0, 10);
  Deno.removeSync(`${site.basedir}/Mixed.rev`);
  Deno.removeSync(`${site.basedir}/Mixed`);
  assertBytes(await readFrom(file, 0, image.length), image);
  file.close();
  await until(
    async () => await run("ls", mount.path) === "Other\nby-date\nlast\nlast.parts\n",
    "the listing without it",
  );
  await mount.end();
});

/** Adds revisions with tiny maps, quickly. */
function addMany(site: Site, count: number): void {
  const { ids, size } = site.add("r00000", [sampleBytes(1, 4096)]);
  const metadata = Deno.readTextFileSync(`${site.basedir}/r00000.rev`);
  for (let number = 1; number < count; number++) {
    const name = `r${String(number).padStart(5, "0")}`;
    writeMap(site.basedir, name, { ids, size: size + number });
    Deno.writeTextFileSync(
      `${site.basedir}/${name}.rev`,
      metadata.replace("uuid: r00000", `uuid: ${name}`),
    );
  }
}

fuseTest("10,000 revisions are mounted and listed with their sizes", async (site) => {
  addMany(site, 10_000);
  const mount = await site.mount();
  const lines = (await run("ls", "-l", mount.path)).trim().split("\n");
  assertEquals(lines.length, 1 + 10_000 + 3);
  const sizes = lines.flatMap((line) => /^-rw-r--r-- +1 root +root +(\d+) /.exec(line)?.[1] ?? []);
  assertEquals(sizes.map(Number), Array.from({ length: 10_000 }, (_, number) => 4096 + number));
  await mount.end();
});

/** Operations that would change the directory or a revision's attributes. */
const REFUSED: readonly [
  name: string,
  operation: (mount: FuseMount) => Promise<unknown>,
  errno: number,
][] = [
  ["create", ({ path }) => Deno.open(`${path}/new`, { write: true, createNew: true }), EPERM],
  ["mkdir", ({ path }) => Deno.mkdir(`${path}/new`), EPERM],
  ["symlink", ({ path }) => Deno.symlink("Mixed", `${path}/new`), EPERM],
  ["link", ({ path }) => Deno.link(`${path}/Mixed`, `${path}/new`), EPERM],
  ["unlink", ({ path }) => Deno.remove(`${path}/Mixed`), EPERM],
  ["unlink last", ({ path }) => Deno.remove(`${path}/last`), EPERM],
  ["rename", ({ path }) => Deno.rename(`${path}/Mixed`, `${path}/new`), EPERM],
  ["chmod", ({ path }) => Deno.chmod(`${path}/Mixed`, 0o600), EPERM],
  ["chown", ({ path }) => Deno.chown(`${path}/Mixed`, 1, 1), EPERM],
  ["truncate", ({ path }) => Deno.truncate(`${path}/Mixed`, 1000), EPERM],
  ["extend", ({ path }) => Deno.truncate(`${path}/Mixed`, 1e9), EPERM],
  ["O_TRUNC", ({ path }) => Deno.open(`${path}/Mixed`, { write: true, truncate: true }), EPERM],
  ["mkdir of what exists", ({ path }) => Deno.mkdir(`${path}/Mixed`), EEXIST],
  ["unlink of what does not", ({ path }) => Deno.remove(`${path}/none`), ENOENT],
  ["lookup below a file", ({ path }) => Deno.stat(`${path}/Mixed/x`), ENOTDIR],
  ["write beyond the end", async ({ path }) => {
    using file = await Deno.open(`${path}/Mixed`, { append: true });
    await file.write(new Uint8Array(10));
  }, EFBIG],
];

fuseTest(
  "Operations that would change what revisions there are fail at once, with the right errno",
  async (site) => {
    const { image } = site.add("Mixed", mixedChunks());
    const before = await hashesBelow(site.basedir);
    const mount = await site.mount();
    for (const [name, operation, errno] of REFUSED) {
      assertEquals(await errnoOf(operation(mount)), errno, name);
    }
    const { code, stderr } = await new Deno.Command("timeout", {
      args: [
        "20",
        "bash",
        "-c",
        'rmdir "$1/Mixed"; mknod "$1/p" p; fallocate -l 9G "$1/Mixed"',
        "bash",
        mount.path,
      ],
      env: { LC_ALL: "C" },
    }).output();
    assertEquals(code, 1);
    const said = new TextDecoder().decode(stderr).trim().split("\n");
    assertEquals(said.length, 3, said.join("\n"));
    assertMatch(said[0]!, /Not a directory/);
    assertMatch(said[1]!, /Operation not permitted/);
    assertMatch(said[2]!, /not supported/);
    // Setting an attribute to the value it has is allowed.
    await Deno.utime(mount.file("Mixed"), 0, 0);
    await Deno.chmod(mount.file("Mixed"), 0o644);
    await Deno.truncate(mount.file("Mixed"), image.length);
    await run("sync", mount.file("Mixed"));
    await assertContent(mount.file("Mixed"), image);
    assertEquals(await hashesBelow(site.basedir), before);
    assertEquals(mount.messages, []);
    await mount.end();
  },
);

fuseTest("backy-fuse DIR MOUNTPOINT, with a cache below the least, mounts too", async (site) => {
  const { image } = site.add("Mixed", mixedChunks());
  const mount = await site.mount(["-c", "1", site.basedir]);
  await assertContent(mount.file("last"), image);
  await mount.end();
});
