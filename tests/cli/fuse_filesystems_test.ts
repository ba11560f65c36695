/** Images that are file systems or whole disks, mounted from a mount as on a rescue host. */

import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "../assert.ts";
import { run, sh, tryRun } from "../support/programs.ts";
import { randomFrom } from "../support/random.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { fuseTest, hashesBelow, type Site } from "./fuse_harness.ts";

const MIB = 1_048_576;
const EXT4 = { programs: ["mkfs.ext4", "fsck.ext4", "debugfs"] };

/** Makes a folder with files of many sizes, two levels of folders, and links. */
function makeTree(site: Site): string {
  const tree = site.folder("tree");
  const random = randomFrom(77);
  for (let number = 0; number < 120; number++) {
    const folder = `${tree}/folder ${number % 7}/inner`;
    Deno.mkdirSync(folder, { recursive: true });
    const bytes = random(2 ** (4 + random(16)));
    Deno.writeFileSync(`${folder}/file ${number}`, sampleBytes(number, bytes));
  }
  Deno.writeFileSync(`${tree}/large`, sampleBytes(999, 9 * MIB + 5));
  Deno.symlinkSync("folder 1/inner/file 1", `${tree}/link`);
  return tree;
}

/** Makes an ext4 file system with the content of a folder, in a file. */
async function makeExt4(
  site: Site,
  options: { tree?: string; mib?: number } = {},
): Promise<string> {
  const { tree, mib = 64 } = options;
  const image = site.file("ext4.img");
  await run("truncate", "-s", `${mib}M`, image);
  await run("mkfs.ext4", "-q", "-F", ...tree === undefined ? [] : ["-d", tree], image);
  return image;
}

/** Asserts that two folders hold the same files. */
async function assertSameFiles(actual: string, expected: string): Promise<void> {
  assertEquals(await hashesBelow(actual), await hashesBelow(expected));
}

fuseTest("Every file of an ext4 image is right when it is mounted ro,loop", async (site) => {
  const tree = makeTree(site);
  site.addImage("Ext4", await makeExt4(site, { tree }));
  const before = await hashesBelow(site.basedir);
  const mount = await site.mount(["-c", "16"]);
  const files = await site.mountDevice("-o", "ro,loop", mount.file("last"));
  await Deno.remove(`${files}/lost+found`).then(
    () => assert(false, "the file system can be written to"),
    () => {},
  );
  await assertSameFiles(files, tree);
  assertEquals(await Deno.readLink(`${files}/link`), "folder 1/inner/file 1");
  await run("umount", files);
  assertEquals((await tryRun("fsck.ext4", "-fn", mount.file("Ext4"))).code, 0);
  assertEquals(mount.messages, []);
  await mount.end();
  assertEquals(await hashesBelow(site.basedir), before);
}, EXT4);

/** Changes files of a mounted file system, and their copy in the same way. */
async function changeFiles(...folders: string[]): Promise<void> {
  for (const folder of folders) {
    await sh(
      `cd "$1"
       rm -r 'folder 3'
       mv 'folder 4' moved
       printf changed | dd of=large bs=1 seek=4194300 conv=notrunc status=none
       truncate -s 100 'moved/inner/file 4'
       mkdir new; seq 1 400000 > new/numbers
       sync -f .`,
      folder,
    );
  }
}

fuseTest(
  "An ext4 image mounted rw,loop keeps its changes, is clean, and leaves the backup as it was",
  async (site) => {
    const tree = makeTree(site);
    const image = await makeExt4(site, { tree });
    site.addImage("Ext4", image);
    site.addImage("Untouched", image);
    const original = await run("sha256sum", "--zero", image);
    const before = await hashesBelow(site.basedir);
    const mount = await site.mount(["-c", "64"]);
    for (let round = 0; round < 2; round++) {
      const files = await site.mountDevice("-o", "rw,loop", mount.file("Ext4"));
      if (round === 0) await changeFiles(files, tree);
      await assertSameFiles(files, tree);
      await run("umount", files);
      const fsck = await tryRun("fsck.ext4", "-fn", mount.file("Ext4"));
      assertEquals(fsck.code, 0, fsck.stdout + fsck.stderr);
    }
    const digestOf = async (path: string) => (await run("sha256sum", "--zero", path)).slice(0, 64);
    assertEquals(await digestOf(mount.file("Untouched")), original.slice(0, 64));
    assertNotEquals(await digestOf(mount.file("Ext4")), original.slice(0, 64));
    assertEquals(mount.messages, []);
    await mount.end();
    assertEquals(await hashesBelow(site.basedir), before);

    // Changes are gone with the mount.
    const again = await site.mount();
    assertEquals(await digestOf(again.file("Ext4")), original.slice(0, 64));
    await again.end();
  },
  EXT4,
);

fuseTest(
  "An ext4 image that was copied while in use has its journal replayed, in the mount only",
  async (site) => {
    const tree = makeTree(site);
    const image = await makeExt4(site, { tree });
    const live = await site.mountDevice("-o", "rw,loop", image);
    await sh(
      `cd "$1"; for i in $(seq 200); do echo "line $i" >>log; mkdir -p d$i; done; sync -f .
       for i in $(seq 100); do rmdir d$i; done; sync -f .`,
      live,
    );
    const copy = site.file("dirty.img");
    await sh('cp --sparse=always "$1" "$2"', image, copy);
    await run("umount", live);
    assertStringIncludes(
      await run("debugfs", "-R", "features", copy),
      "needs_recovery",
    );
    site.addImage("Dirty", copy);
    const before = await hashesBelow(site.basedir);
    const mount = await site.mount();

    const unreplayed = await site.mountDevice("-o", "ro,loop,noload", mount.file("Dirty"));
    await run("umount", unreplayed);
    const files = await site.mountDevice("-o", "rw,loop", mount.file("Dirty"));
    assertEquals((await Deno.readTextFile(`${files}/log`)).split("\n").length, 201);
    assertEquals((await sh('ls -d "$1"/d[0-9]* | wc -l', files)).trim(), "100");
    await run("umount", files);
    const fsck = await tryRun("fsck.ext4", "-fn", mount.file("Dirty"));
    assertEquals(fsck.code, 0, fsck.stdout + fsck.stderr);
    assertEquals(mount.messages, []);
    await mount.end();
    assertEquals(await hashesBelow(site.basedir), before);
  },
  EXT4,
);

fuseTest("fsck.ext4 repairs a damaged file system in the mount", async (site) => {
  const image = await makeExt4(site, { tree: makeTree(site), mib: 32 });
  await run("debugfs", "-w", "-R", "clri <12>", image);
  await run("debugfs", "-w", "-R", "set_super_value free_blocks_count 1", image);
  site.addImage("Broken", image);
  const mount = await site.mount();
  assertNotEquals((await tryRun("fsck.ext4", "-fn", mount.file("Broken"))).code, 0);
  const repaired = await tryRun("fsck.ext4", "-fy", mount.file("Broken"));
  assertEquals(repaired.code, 1, repaired.stdout + repaired.stderr);
  const clean = await tryRun("fsck.ext4", "-fn", mount.file("Broken"));
  assertEquals(clean.code, 0, clean.stdout);
  await mount.end();
}, EXT4);

fuseTest("The partitions of a disk image are mounted by losetup -P", async (site) => {
  const tree = makeTree(site);
  const part = await makeExt4(site, { tree, mib: 40 });
  const disk = site.file("disk.img");
  await sh(
    `truncate -s 103M "$1"
     printf 'label: gpt\n start=2048, size=81920\n start=104448, size=20480\n' | sfdisk -q "$1"
     dd if="$2" of="$1" bs=1M seek=1 conv=notrunc,sparse status=none`,
    disk,
    part,
  );
  site.addImage("Disk", disk);
  const mount = await site.mount();
  for (const mode of ["ro", "rw"]) {
    const isReadOnly = mode === "ro" ? ["-r"] : [];
    const partition = await firstPartition(site, ...isReadOnly, mount.file("Disk"));
    const files = await site.mountDevice("-o", mode, partition);
    await assertSameFiles(files, tree);
    if (mode === "rw") {
      await changeFiles(files, tree);
      await assertSameFiles(files, tree);
    }
    await run("umount", files);
  }
  assertEquals(mount.messages, []);
}, { programs: [...EXT4.programs, "sfdisk", "partx"] });

/** Makes a loop device with partitions. Returns the path of the first one's device node. */
async function firstPartition(site: Site, ...args: string[]): Promise<string> {
  const device = await site.loopDevice("-P", ...args);
  const name = `${device.replace("/dev/", "")}p1`;
  const number = `/sys/class/block/${name}/dev`;
  // Kernels for small virtual machines are built without partition tables; then partx reads them.
  await sh('[ -e "$1" ] || partx -a "$2"', number, device);
  // In containers no udev makes the device node.
  const [major = "", minor = ""] = (await Deno.readTextFile(number)).trim().split(":");
  await sh('[ -b "$1" ] || mknod "$1" b "$2" "$3"', `/dev/${name}`, major, minor);
  return `/dev/${name}`;
}

fuseTest("An XFS image is mounted ro,norecovery,nouuid and rw", async (site) => {
  const tree = makeTree(site);
  const image = site.file("xfs.img");
  await run("truncate", "-s", "320M", image);
  await run("mkfs.xfs", "-q", image);
  const live = await site.mountDevice("-o", "loop", image);
  await sh('cp -a "$1"/. "$2"; sync -f "$2"', tree, live);
  // Copied while it is mounted: its log is dirty, and its UUID is in use when the copy is mounted.
  await sh(
    'fsfreeze -f "$1"; cp --sparse=always "$2" "$3"; fsfreeze -u "$1"',
    live,
    image,
    `${image}.copy`,
  );
  site.addImage("Xfs", `${image}.copy`);
  const before = await hashesBelow(site.basedir);
  const mount = await site.mount();
  const files = await site.mountDevice("-o", "ro,loop,norecovery,nouuid", mount.file("Xfs"));
  await assertSameFiles(files, tree);
  await run("umount", files);
  const writable = await site.mountDevice("-o", "rw,loop,nouuid", mount.file("Xfs"));
  await changeFiles(writable, tree);
  await assertSameFiles(writable, tree);
  await run("umount", writable);
  const repair = await tryRun("xfs_repair", "-n", "-f", mount.file("Xfs"));
  assertEquals(repair.code, 0, repair.stdout + repair.stderr);
  assertEquals(mount.messages, []);
  await mount.end();
  assertEquals(await hashesBelow(site.basedir), before);
}, { programs: ["mkfs.xfs", "xfs_repair", "fsfreeze"] });
