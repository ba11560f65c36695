/** `backy-fuse files`: what is in images of all kinds, and what runs in it. */

import { assert, assertEquals, assertMatch } from "../assert.ts";
import { run, sh, trySh } from "../support/programs.ts";
import { chunkFile } from "../support/store_builder.ts";
import { FUSE } from "../support/tool.ts";
import { assertRefused, fuseTest, hashesBelow, type Site } from "./fuse_harness.ts";
import { FSTAB, makeBtrfs, makeDirty, makeDisk, makeNtfs, NEW_FILES } from "./disk_images.ts";
import {
  assertEnded,
  FILES_PROGRAMS,
  leftovers,
  pathsOf,
  runFiles,
  startFiles,
} from "./files_harness.ts";

const PROGRAMS = { programs: FILES_PROGRAMS };
const MIB = 1_048_576;

/** Names of images are part of the paths of loop devices, by which a test tells its own. */
function uniqueName(): string {
  return `Rev${crypto.randomUUID().slice(0, 8)}`;
}

/** What a replayed mount of the image itself shows. */
async function hashesOfReplayed(site: Site, image: string, options: string): Promise<string> {
  const copy = site.file("replayed.img");
  await sh('cp --sparse=always "$1" "$2"', image, copy);
  const live = await site.mountDevice("-o", `loop,${options}`, copy);
  const found = await hashesBelow(live);
  await run("umount", live);
  await Deno.remove(copy);
  return found;
}

/** Makes a file that begins with some bytes. */
async function makeRaw(site: Site, name: string, mib: number, bytes: string): Promise<string> {
  const path = site.file(name, Uint8Array.from(bytes, (char) => char.charCodeAt(0)));
  await run("truncate", "-s", `${mib}M`, path);
  return path;
}

fuseTest("files brings a file out of a disk, and everything is undone", async (site) => {
  const ext4 = await makeDirty(site, "ext4", 32, "-L", "root");
  site.addImage(uniqueName(), await makeDisk(site, [{ content: ext4 }]));
  const before = await hashesBelow(site.basedir);
  const home = site.folder();
  const outcome = await runFiles(site, [site.basedir, "--", "cp", "-a", "1/etc/fstab", home]);
  assertEnded(outcome);
  assertEquals([outcome.stderr, pathsOf(outcome)], ["", []]);
  assertEquals(await Deno.readTextFile(`${home}/fstab`), FSTAB);
  assertEquals(await hashesBelow(site.basedir), before);
}, PROGRAMS);

fuseTest(
  "files mounts the six partitions of a GPT as far as they are file systems",
  async (site) => {
    const ext4 = await makeDirty(site, "ext4", 32, "-L", "root");
    const xfs = await makeDirty(site, "xfs", 320, "-L", "data");
    const vfat = site.file("vfat.img");
    await sh('truncate -s 40M "$1"; mkfs.vfat -n EFI "$1"', vfat);
    const swap = site.file("swap.img");
    await sh('truncate -s 2M "$1"; mkswap -q -L pages "$1"', swap);
    const luks = await makeRaw(site, "luks.img", 2, "LUKS\xba\xbe\x00\x02");
    const disk = await makeDisk(site, [
      { content: ext4, fields: 'name="first"' },
      { content: xfs },
      { content: await makeBtrfs(site, 120) },
      { content: vfat },
      { content: swap },
      { content: luks, fields: 'name="secret"' },
    ]);
    site.addImage(uniqueName(), disk);
    const place = site.folder("place");
    const tool = startFiles(site, [site.basedir, place]);
    await tool.untilSaid("To unmount: ");
    assertEquals(await hashesBelow(`${place}/1`), await hashesOfReplayed(site, ext4, "rw"));
    assertEquals(await hashesBelow(`${place}/2`), await hashesOfReplayed(site, xfs, "rw,nouuid"));
    assertEquals((await sh('ls "$1" | grep -c new', `${place}/2`)).trim(), String(NEW_FILES));
    assertEquals(await Deno.readTextFile(`${place}/3/@/etc/fstab`), FSTAB);
    const options = await sh('grep " $1" /proc/self/mounts', place);
    for (const line of options.trim().split("\n")) assertMatch(line, / ro,nosuid,nodev,noexec,/);
    tool.signal("SIGINT");
    const outcome = await tool.outcome();
    const hasVfat = /\bvfat$/m.test(await Deno.readTextFile("/proc/filesystems"));
    const paths = [1, 2, 3, ...hasVfat ? [4] : []].map((number) => `${place}/${number}`);
    assertEquals(pathsOf(outcome), paths);
    const says = [
      /^warning: partition 4, vfat "EFI", 40 MiB is not mounted: this kernel has no vfat; to try: mdir .*\.parts\/4 ::/,
    ];
    assertEnded(outcome, hasVfat ? {} : { code: 1, says });
    for (
      const line of [
        `partition 1, ext4 "root", 32 MiB: "${place}/1"`,
        `partition 2, xfs "data", 320 MiB: "${place}/2"`,
        `partition 3, btrfs "pool", 120 MiB: "${place}/3" (subvolumes: "@", "@home")`,
        'partition 5, swap "pages", 2 MiB: swap space: it holds no files',
      ]
    ) {
      assert(outcome.stderr.includes(`\n${line}\n`), outcome.stderr);
    }
    assertMatch(
      outcome.stderr,
      /^partition 6, LUKS 2 "secret", 2 MiB: encrypted: cryptsetup open /m,
    );
    assertEquals(leftovers(site), []);
    assertEquals([...Deno.readDirSync(place)], []);
  },
  { programs: [...FILES_PROGRAMS, "mkfs.vfat", "mkswap"] },
);

fuseTest(
  "files mounts logical partitions, and those of a disk with large sectors",
  async (site) => {
    const small = await makeDirty(site, "ext4", 16);
    const inner = await makeDirty(site, "ext4", 16, "-L", "inner");
    const logical = await makeDisk(site, [
      { content: small },
      { content: null, bytes: 100 * MIB, fields: "type=5" },
      { content: small },
      { content: inner },
    ], { label: "dos" });
    const large = await makeDisk(site, [
      { content: await makeDirty(site, "ext4", 16, "-b", "4096") },
      { content: await makeDirty(site, "xfs", 320, "-s", "size=4096") },
    ], { sectorBytes: 4096 });
    for (const [disk, numbers] of [[logical, [1, 5, 6]], [large, [1, 2]]] as const) {
      const name = uniqueName();
      site.addImage(name, disk);
      const words = ["sh", "-c", "ls; cat */etc/fstab; ls 1 | grep -c new"];
      const outcome = await runFiles(site, ["-r", name, site.basedir, "--", ...words]);
      assertEnded(outcome);
      assertEquals(pathsOf(outcome), [
        ...numbers.map(String),
        ...numbers.map(() => FSTAB.trim()),
        String(NEW_FILES),
      ]);
    }
  },
  PROGRAMS,
);

for (
  const [kind, make] of [
    ["ext4", (site: Site) => makeDirty(site, "ext4", 32)],
    ["XFS", (site: Site) => makeDirty(site, "xfs", 320)],
    ["btrfs", (site: Site) => makeBtrfs(site, 120)],
    ["NTFS", (site: Site) => makeNtfs(site, 32)],
  ] as const
) {
  const programs = kind === "NTFS" ? ["mkntfs", "ntfs-3g"] : [];
  fuseTest(`files mounts an image that is a ${kind} at the mount point itself`, async (site) => {
    const image = await make(site);
    site.addImage(uniqueName(), image);
    const place = site.folder("place");
    // The machine itself, or another of its revisions, may be mounted here.
    const beside = kind === "XFS" ? await site.mountDevice("-o", "loop", image) : null;
    const tool = startFiles(site, [site.basedir, place]);
    await tool.untilSaid("To unmount: ");
    const fstab = await sh('cat "$1"/etc/fstab || cat "$1"/@/etc/fstab', place);
    assertEquals(fstab, FSTAB);
    if (beside !== null) await run("umount", beside);
    // Somebody unmounts it: then there is nothing left to do.
    await run("umount", place);
    const outcome = await tool.outcome();
    assertEnded(outcome);
    assertEquals(pathsOf(outcome), [place]);
    assertEquals(leftovers(site), []);
  }, { programs: [...FILES_PROGRAMS, ...programs] });
}

fuseTest("files exits as its command does", async (site) => {
  site.addImage(uniqueName(), await makeDirty(site, "ext4", 16));
  for (
    const [words, code] of [
      [["sh", "-c", "exit 7"], 7],
      [["sh", "-c", "kill -KILL $$"], 137],
      [["test", "-f", "etc/fstab"], 0],
    ] as const
  ) {
    assertEnded(await runFiles(site, [site.basedir, "--", ...words]), { code });
  }
  const missing = await runFiles(site, [site.basedir, "--", "no-such-program"]);
  assertEnded(missing, {
    code: 127,
    says: [/^Cannot start "no-such-program": No such file or directory \(ENOENT\)$/],
  });
}, PROGRAMS);

fuseTest("A file system that does not mount is named with the kernel's reason", async (site) => {
  const good = await makeDirty(site, "ext4", 16);
  const bad = await makeDirty(site, "ext4", 32);
  // The journal's inode.
  await run("debugfs", "-w", "-R", "clri <8>", bad);
  site.addImage(uniqueName(), await makeDisk(site, [{ content: bad }, { content: good }]));
  const place = site.folder("place");
  const tool = startFiles(site, [site.basedir, place]);
  await tool.untilSaid("To unmount: ");
  assertEquals(await Deno.readTextFile(`${place}/2/etc/fstab`), FSTAB);
  const advice = /; to try: (.*), or, /m.exec(tool.said)?.[1] ?? "";
  await tryAdvice(site, advice);
  tool.signal("SIGTERM");
  assertEnded(await tool.outcome(), {
    code: 1,
    says: [
      /^warning: partition 1, ext4, 32 MiB is not mounted: [^;]*; EXT4-fs .*journal.*; to try: e2fsck -fy \/run\//,
    ],
  });
  assertEquals(leftovers(site), []);
  const words = ["sh", "-c", "ls"];
  const outcome = await runFiles(site, [site.basedir, "--", ...words]);
  assertEnded(outcome, {
    says: [/^warning: partition 1, ext4, 32 MiB is not mounted: [^;]*; EXT4/],
  });
  assertEquals(pathsOf(outcome), ["2"]);
}, PROGRAMS);

fuseTest("What else to try can be tried even if nothing is mounted", async (site) => {
  const bad = await makeDirty(site, "ext4", 32);
  await run("debugfs", "-w", "-R", "clri <8>", bad);
  site.addImage(uniqueName(), bad);
  const place = site.folder("place");
  const tool = startFiles(site, [site.basedir, place]);
  await tool.untilSaid("To unmount: ");
  const file = /; to try: e2fsck -fy (\S+);/.exec(tool.said)?.[1] ?? "";
  const { code, stderr } = await trySh('e2fsck -fy "$1" >&2 || test $? = 1', file);
  assertEquals(code, 0, stderr);
  tool.signal("SIGTERM");
  const outcome = await tool.outcome();
  assertEnded(outcome, { code: 1, says: [/^warning: the image, ext4, 32 MiB is not mounted: /] });
  assertEquals(pathsOf(outcome), []);
  assertEquals(leftovers(site), []);
  const words = [site.basedir, place, "--", "true"];
  assertEnded(await runFiles(site, words), {
    code: 1,
    says: [/is not mounted: /, /^Cannot show files of ".*": nothing was mounted$/],
  });
}, PROGRAMS);

/** Follows advice, a mount at /mnt at its end, and does something with what is mounted. */
async function tryAdvice(site: Site, advice: string, look = "true"): Promise<void> {
  const at = site.folder();
  const script = `cd "$2"; ${advice.replace(/\/mnt$/, '"$1"')} >&2
    mountpoint -q "$1" && (cd "$1" && ${look}) && umount "$1"`;
  const { code, stderr } = await trySh(script, at, site.folder());
  assertEquals(code, 0, `${advice}: ${stderr}`);
}

fuseTest("An ext4 whose journal is missing can be mounted without it", async (site) => {
  const name = uniqueName();
  // Bytes 16 to 20 MiB have nothing but journal.
  const { ids } = site.addImage(name, await makeDirty(site, "ext4", 64, "-J", "size=8"));
  await Deno.remove(chunkFile(site.basedir, ids[4]!));
  const tool = startFiles(site, [site.basedir, site.folder("place")]);
  await tool.untilSaid("To unmount: ");
  const advice = /, or, without what is only in the journal, (mount .* \/mnt)$/m.exec(tool.said);
  await tryAdvice(site, advice?.[1] ?? tool.said, "test -d lost+found");
  tool.signal("SIGTERM");
  assertEnded(await tool.outcome(), {
    code: 1,
    says: [/^warning: Cannot read image bytes /, /^warning: the image, ext4, .* is not mounted: /],
  });
  assertEquals(leftovers(site), []);
}, PROGRAMS);

fuseTest(
  "A partition that reaches beyond the image's end can be mounted as a copy",
  async (site) => {
    const [first, cut] = [await makeDirty(site, "ext4", 16), await makeDirty(site, "ext4", 64)];
    const disk = await makeDisk(site, [{ content: first }, { content: cut }]);
    // The second partition begins at 20 MiB.
    await run("truncate", "-s", "48M", disk);
    site.addImage(uniqueName(), disk);
    const tool = startFiles(site, [site.basedir, site.folder("place")]);
    await tool.untilSaid("To unmount: ");
    const advice = /; to try: .* is missing, (cp .* \/mnt)$/m.exec(tool.said)?.[1] ?? tool.said;
    await tryAdvice(site, advice, "grep -q vda1 etc/fstab");
    tool.signal("SIGTERM");
    assertEnded(await tool.outcome(), {
      code: 1,
      says: [
        /^warning: partition 2, unknown, 64 MiB is not mounted: it reaches beyond the image's end at /,
      ],
    });
    assertEquals(leftovers(site), []);
  },
  PROGRAMS,
);

fuseTest(
  "Where the image's start is missing, the partition table's second copy is used",
  async (site) => {
    const name = uniqueName();
    const contents = [await makeDirty(site, "ext4", 16), await makeDirty(site, "ext4", 16)];
    const disk = await makeDisk(site, contents.map((content) => ({ content })));
    const { ids } = site.addImage(name, disk);
    await Deno.remove(chunkFile(site.basedir, ids[0]!));
    const outcome = await runFiles(site, [site.basedir, "--", "cat", "2/etc/fstab"]);
    assertEnded(outcome, {
      says: [
        /^warning: Cannot read image bytes 0 to \d+ /,
        /^warning: the first copy of the partition table is in a chunk that is missing or corrupt; /,
        /^warning: partition 1, unknown, 16 MiB is not mounted: Cannot read ".*" at byte 2097152: /,
      ],
    });
    assertEquals(new TextDecoder().decode(outcome.stdout), FSTAB);
  },
  PROGRAMS,
);

fuseTest("A missing chunk is told of where it matters", async (site) => {
  const name = uniqueName();
  const ext4 = await makeDirty(site, "ext4", 16);
  const { ids } = site.addImage(name, await makeDisk(site, [{ content: ext4 }], { label: "dos" }));
  await Deno.remove(chunkFile(site.basedir, ids[0]!));
  const args = ["-r", name, site.basedir, site.folder("place")];
  assertEnded(await runFiles(site, args), {
    code: 3,
    says: [
      /^warning: Cannot read image bytes 0 to \d+ \(seq 0\) of revision ".*: there is no file /,
      new RegExp(`^Cannot read "/.*/image/${name}" at byte 0: a chunk is missing or corrupt$`),
    ],
  });
}, PROGRAMS);

fuseTest("files ends if it cannot print the paths", async (site) => {
  site.addImage(uniqueName(), await makeDirty(site, "ext4", 16));
  const { code, stderr } = await trySh('exec "$@" >/dev/full', ...FUSE, "files", site.basedir);
  assertEquals(code, 1, stderr);
  assertMatch(stderr, /^backy-fuse: Cannot write standard output: No space left .*ENOSPC\)$/m);
  assertEquals(leftovers(site), []);
}, PROGRAMS);

fuseTest("files says why it cannot begin, and leaves nothing", async (site) => {
  const place = site.folder("place");
  site.addImage(uniqueName(), await makeRaw(site, "nothing.img", 8, "nothing"));
  const inside = `${site.basedir}/inside`;
  Deno.mkdirSync(inside);
  for (
    const [args, code, says] of [
      [[site.basedir, place, "--", "true"], 1, /^Cannot show files of ".*": nothing was mounted$/],
      [["-r", "tag:none", site.basedir, place], 10, /^Cannot open revision "tag:none"/],
      [[site.basedir, `${place}/none`], 1, /: No such file.*create it \(mkdir -p /],
      [[site.basedir, site.basedir], 1, /it is not empty; use an empty directory$/],
      [[site.basedir, inside], 1, /it lies in ".*"; use an empty directory elsewhere$/],
      [[place], 10, /^Cannot open backup directory /],
      [["--clean", place], 1, /^Cannot clean up ".*": nothing is left there by backy-fuse files/],
      [[], 2, /^Cannot show files: the argument DIR is missing/],
      [[site.basedir, place, "--"], 2, /^Cannot show files: COMMAND is missing after "--"$/],
      [
        ["--clean", place, site.basedir],
        2,
        /^Cannot use "--clean" with DIR or .*: nothing is mounted then$/,
      ],
    ] as const
  ) {
    await assertRefused(startFiles(site, args), { code, says });
    assertEquals(leftovers(site), []);
  }
}, PROGRAMS);
