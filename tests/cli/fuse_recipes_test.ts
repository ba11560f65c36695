/**
 * Runs the commands that README.md and docs/mounting.md show, on images of running machines, whose
 * latest files are in the journal only.
 *
 * @module
 */

import { assertEquals, assertMatch, assertRejects } from "../assert.ts";
import { run, sh, tryRun } from "../support/programs.ts";
import { EXTRACT, FUSE } from "../support/tool.ts";
import { FSTAB, makeDirty } from "./disk_images.ts";
import { fuseTest, hashesBelow, type Site } from "./fuse_harness.ts";
import { recipe, shellQuote } from "./recipes.ts";

const README = "README.md";
const MOUNTING = "docs/mounting.md";

const PROGRAMS = ["mkfs.ext4", "mkfs.xfs", "xfs_io", "sfdisk", "partx", "fdisk"];

/** Where partition 1 of the disk begins, and how many sectors it has, as docs/mounting.md says. */
const PARTITION = { start: 2048, sectors: 81_920 } as const;

/** Makes an image of a disk whose first partition is a file system. */
async function makeDisk(site: Site, partition: string): Promise<string> {
  const disk = site.file("disk.img");
  const { start, sectors } = PARTITION;
  await sh(
    `truncate -s 103M "$1"
     printf 'label: gpt\\n start=${start}, size=${sectors}\\n start=104448, size=20480\\n' | sfdisk -q "$1"
     dd if="$2" of="$1" bs=512 seek=${start} conv=notrunc,sparse status=none`,
    disk,
    partition,
  );
  return disk;
}

/**
 * Runs commands with this site's folders in place of theirs.
 *
 * @param at.revision The revision to use as the newest one.
 * @returns The folder that stood for /root.
 */
async function follow(
  site: Site,
  commands: readonly string[],
  at: { mountPoint: string; revision: string },
): Promise<string> {
  const restore = site.folder();
  const home = site.folder();
  const script = commands.flatMap((command) => {
    const here = command
      .replaceAll("/mnt/backy-fuse/last", `${shellQuote(at.mountPoint)}/${at.revision}`)
      .replaceAll("/mnt/backy-fuse", shellQuote(at.mountPoint))
      .replaceAll("/srv/backy/vm0", shellQuote(site.basedir))
      .replaceAll("/mnt/restore", shellQuote(restore))
      .replaceAll("/root/", `${shellQuote(home)}/`);
    // For kernels without partition tables, and where no udev makes device nodes.
    return / -P /.test(command) ? [here, "make_partition_nodes"] : [here];
  });
  await sh(
    `backy-fuse() { ${FUSE.map(shellQuote).join(" ")} "$@"; }
     backy-extract() { ${EXTRACT.map(shellQuote).join(" ")} "$@"; }
     make_partition_nodes() {
       local number=/sys/class/block/\${loop#/dev/}p1/dev
       [ -e "$number" ] || partx -a "$loop"
       [ -b "$loop"p1 ] || mknod "$loop"p1 b $(tr : ' ' <"$number")
     }
     clean_up() {
       umount ${shellQuote(restore)} || true
       [ -z "$loop" ] || losetup -d "$loop"
     }
     loop=
     trap '[ $? = 0 ] || clean_up' EXIT
     ${script.join("\n")}`,
  );
  return await sh('cat "$1"/fstab || true', home);
}

fuseTest(
  "README's commands show revisions, partitions and times, and copy an image",
  async (site) => {
    const image = await makeDisk(site, await makeDirty(site, "ext4", 64));
    site.addImage("Disk", image);
    const copy = site.file("copy.img");
    const commands = recipe(README, "Mounting").map((line) =>
      line.replace(" vm0.img", ` ${shellQuote(copy)}`)
    );
    await follow(site, commands, { mountPoint: site.folder(), revision: "last" });
    await sh('cmp "$1" "$2"', image, copy);
  },
  { programs: PROGRAMS },
);

fuseTest("The commands that mount in the background mount, or fail", async (site) => {
  site.addImage("Ext4", await makeDirty(site, "ext4", 64));
  const at = { mountPoint: site.folder(), revision: "Ext4" };
  const start = recipe(MOUNTING, "Mount the backup");
  const end = recipe(MOUNTING, "The end");
  const copy = recipe(MOUNTING, "An image that is one file system");
  assertEquals(await follow(site, [...start, ...copy, ...end], at), FSTAB);
  const commands = start.map((line) => line.replace("/srv/backy/vm0", "/srv/backy/vm0/none"));
  const error = await assertRejects(() => follow(site, [...commands, "sleep 1000"], at), Error);
  assertMatch(error.message, /exit 10: .*Cannot open backup directory /s);
}, { programs: PROGRAMS });

fuseTest("The commands without a loop device read a partition", async (site) => {
  const mib = PARTITION.sectors * 512 / 1_048_576;
  const image = await makeDirty(site, "ext4", mib);
  await tryRun("e2fsck", "-fy", image);
  site.addImage("Disk", await makeDisk(site, image));
  const { path } = await site.mount();
  const [debugfs, unpack, mount] = recipe(MOUNTING, "An image with partitions", 1);
  const commands = [
    `${debugfs} >/root/debugfs`,
    `cd /root/; ${unpack}; cmp /root/debugfs /root/etc/fstab; cp etc/fstab /root/`,
    mount!,
    "cmp /root/fstab /mnt/restore/etc/fstab",
    "fusermount3 -u /mnt/restore",
  ];
  assertEquals(await follow(site, commands, { mountPoint: path, revision: "Disk" }), FSTAB);
}, { programs: [...PROGRAMS, "debugfs", "7z", "fuse2fs"] });

for (const number of [0, 2]) {
  fuseTest(
    `The commands for an image with partitions replay a journal: block ${number + 1}`,
    async (site) => {
      const mib = PARTITION.sectors * 512 / 1_048_576;
      site.addImage("Disk", await makeDisk(site, await makeDirty(site, "ext4", mib)));
      const before = await hashesBelow(site.basedir);
      const { path } = await site.mount();
      const at = { mountPoint: path, revision: "Disk" };
      const commands = recipe(MOUNTING, "An image with partitions", number);
      assertEquals(await follow(site, commands, at), FSTAB);
      assertEquals(await hashesBelow(site.basedir), before);
    },
    { programs: PROGRAMS },
  );
}

fuseTest("The commands for sectors of 4096 bytes find the partition", async (site) => {
  const mib = PARTITION.sectors * 512 / 1_048_576;
  const partition = await makeDirty(site, "ext4", mib, "-b", "4096");
  const disk = site.file("disk.img");
  await run("truncate", "-s", "103M", disk);
  const device = await site.loopDevice("-b", "4096", disk);
  const start = PARTITION.start / 8;
  await sh(
    `printf 'label: dos\\nstart=${start}, size=${PARTITION.sectors / 8}\\n' |
       sfdisk -q --no-reread --no-tell-kernel "$2"
     dd if="$1" of="$2" bs=4096 seek=${start} conv=sparse,fsync status=none`,
    partition,
    device,
  );
  site.addImage("Disk", disk);
  const { path } = await site.mount();
  const at = { mountPoint: path, revision: "Disk" };
  const commands = recipe(MOUNTING, "A disk with sectors of 4096 bytes");
  assertEquals(await follow(site, commands, at), FSTAB);
  const options = ["--show", "-S", "4096", "-o", "START,SECTORS", "--noheadings"];
  const shown = await run("partx", ...options, `${path}/Disk`);
  assertEquals(shown.trim().split(/\s+/).map(Number), [PARTITION.start, PARTITION.sectors]);
  const single = recipe(MOUNTING, "An image with partitions");
  assertEquals(await follow(site, single, at), FSTAB);
}, { programs: PROGRAMS });

fuseTest(
  "A read-only loop device fails on a dirty journal, as docs/mounting.md says",
  async (site) => {
    site.addImage("Ext4", await makeDirty(site, "ext4", 64));
    site.addImage("Xfs", await makeDirty(site, "xfs", 320));
    const mount = await site.mount();
    for (const name of ["Ext4", "Xfs"]) {
      const { code, stderr } = await tryRun(
        ...["mount", "-o", "ro,loop", mount.file(name), site.folder()] as const,
      );
      assertEquals(code, 32);
      assertMatch(stderr, /cannot mount \/dev\/loop\d+ read-only/);
    }
  },
  { programs: PROGRAMS },
);

fuseTest(
  "The commands for XFS replay a log beside another file system of its UUID",
  async (site) => {
    const image = await makeDirty(site, "xfs", 320);
    site.addImage("Xfs", image);
    const before = await hashesBelow(site.basedir);
    const mount = await site.mount();
    await site.mountDevice("-o", "loop", image);
    const at = { mountPoint: mount.path, revision: "Xfs" };
    const commands = recipe(MOUNTING, "XFS");
    assertEquals(await follow(site, commands, at), FSTAB);
    const without = commands.map((line) => line.replace("ro,nouuid", "ro"));
    const error = await assertRejects(() => follow(site, without, at), Error);
    assertMatch(error.message, /wrong fs type, bad option, bad superblock/);
    assertEquals(await hashesBelow(site.basedir), before);
  },
  { programs: PROGRAMS },
);

fuseTest("The last resort mounts an XFS without what was written last", async (site) => {
  site.addImage("Xfs", await makeDirty(site, "xfs", 320));
  const mount = await site.mount();
  const at = { mountPoint: mount.path, revision: "Xfs" };
  const commands = recipe(MOUNTING, "If the journal cannot be replayed");
  const found = commands.map((line) =>
    line === "ls -l /mnt/restore" ? "ls /mnt/restore >/root/fstab" : line
  );
  assertEquals(await follow(site, found, at), "");
}, { programs: PROGRAMS });
