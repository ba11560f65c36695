/** Partitions as files in a mount, read and written by the programs that people have. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "../assert.ts";
import { run, sh, tryRun } from "../support/programs.ts";
import { until } from "../support/wait.ts";
import { fuseTest, type Site } from "./fuse_harness.ts";

const MIB = 1_048_576;

/** Six partitions of different kinds: their sfdisk lines, and the commands that fill them. */
const SIX: readonly { line: string; mib: number; make: string }[] = [
  { line: "size=8M, type=U, name=esp", mib: 8, make: 'mkfs.vfat -n ESP "$1"' },
  { line: "size=32M, type=L, name=root", mib: 32, make: 'mkfs.ext4 -q -F -L root -d "$2" "$1"' },
  { line: "size=4M, type=S", mib: 4, make: 'mkswap -q "$1"' },
  { line: "size=320M, type=L, name=data", mib: 320, make: 'mkfs.xfs -q -L data "$1"' },
  {
    line: "size=16M, type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",
    mib: 16,
    make: 'mkfs.ntfs -q -F -Q -L Windows "$1" 2>/dev/null',
  },
  { line: "start=819200, size=20M, type=L", mib: 20, make: ":" },
];

/**
 * Makes a disk in a file: a GPT with six partitions.
 *
 * @returns Path of the disk, and of a copy of each partition.
 */
async function makeSix(site: Site): Promise<{ disk: string; copies: string[] }> {
  const tree = site.folder("tree");
  Deno.mkdirSync(`${tree}/etc`);
  Deno.writeTextFileSync(`${tree}/etc/fstab`, "UUID=1 / ext4\n");
  const disk = site.file("disk");
  await run("truncate", "-s", "430M", disk);
  const lines = ["label: gpt", ...SIX.map(({ line }) => line)];
  const script = site.file("script", lines.join("\n") + "\n");
  await sh('sfdisk -q --no-reread --no-tell-kernel "$1" <"$2"', disk, script);
  const copies: string[] = [];
  for (const [index, { mib, make }] of SIX.entries()) {
    const copy = site.file(`copy ${index + 1}`);
    await run("truncate", "-s", `${mib}M`, copy);
    await sh(`${make} >/dev/null`, copy, tree);
    const start = await run("partx", "-g", "-o", "START", "-n", String(index + 1), disk);
    await sh(
      'dd if="$1" of="$2" bs=1M seek=$(($3 * 512)) oflag=seek_bytes conv=notrunc,sparse status=none',
      copy,
      disk,
      start.trim(),
    );
    copies.push(copy);
  }
  return { disk, copies };
}

const SIX_PROGRAMS = [
  ...["sfdisk", "partx", "mkfs.vfat", "mkfs.ext4", "mkswap", "mkfs.xfs", "mkfs.ntfs"],
  ...["debugfs", "ntfs-3g", "fuse2fs", "7z", "getfattr", "python3"],
];

fuseTest("Partitions of a GPT are files that programs take for devices", async (site) => {
  const { disk, copies } = await makeSix(site);
  site.addImage("Rev", disk);
  const mount = await site.mount();
  const parts = mount.file("Rev.parts");
  assertEquals((await run("ls", parts)).trim().split("\n"), ["1", "2", "3", "4", "5", "6"]);
  for (const [index, copy] of copies.entries()) await run("cmp", copy, `${parts}/${index + 1}`);
  assertEquals(await run("ls", mount.file("last.parts")), await run("ls", parts));

  const fstab = "UUID=1 / ext4\n";
  assertEquals(await run("debugfs", "-R", "cat /etc/fstab", `${parts}/2`), fstab);
  const byLoop = await site.mountDevice("-o", "ro,loop", `${parts}/2`);
  assertEquals(await Deno.readTextFile(`${byLoop}/etc/fstab`), fstab);
  const xfs = await site.mountDevice("-o", "ro,loop", `${parts}/4`);
  assertEquals(await run("ls", "-A", xfs), "");
  const byFuse2fs = site.folder();
  await run("fuse2fs", "-o", "ro", `${parts}/2`, byFuse2fs);
  try {
    assertEquals(await Deno.readTextFile(`${byFuse2fs}/etc/fstab`), fstab);
  } finally {
    await run("fusermount3", "-u", byFuse2fs);
  }
  const ntfs = site.folder();
  await run("ntfs-3g", "-o", "ro", `${parts}/5`, ntfs);
  await run("fusermount3", "-u", ntfs);
  assertStringIncludes(await run("7z", "l", "-ba", `${parts}/2`), "etc/fstab");
  await run("7z", "x", "-y", `-o${site.folder("out")}`, `${parts}/2`, "etc/fstab");
  assertEquals(await Deno.readTextFile(site.file("out/etc/fstab")), fstab);
  assertEquals(mount.messages, []);
}, { programs: SIX_PROGRAMS });

fuseTest(
  "A partition has its size, its holes, and attributes that say where it is",
  async (site) => {
    const { disk, copies } = await makeSix(site);
    site.addImage("Rev", disk);
    const mount = await site.mount();
    const parts = mount.file("Rev.parts");
    const stat = async (number: number) =>
      (await run("stat", "-c", "%s %b %A", `${parts}/${number}`)).trim().split(" ");
    for (const [index, { mib }] of SIX.entries()) {
      const [size, blocks, mode] = await stat(index + 1);
      assertEquals([size, mode], [String(mib * MIB), "-rw-r--r--"]);
      assert(Number(blocks) * 512 <= mib * MIB, blocks);
    }
    // XFS is nearly empty, and the last partition is.
    assert(Number((await stat(4))[1]) * 512 < 64 * MIB);
    assertEquals((await stat(6))[1], "1");
    const copy = site.file("sparse");
    await run("cp", "--sparse=auto", `${parts}/4`, copy);
    await run("cmp", copy, copies[3]!);
    assert(Deno.statSync(copy).blocks! * 512 < 64 * MIB);
    // Data at each hole's end, and none behind the partition's end.
    const seeks = await run(
      "python3",
      "-c",
      `import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
at = 0
while at < size:
    try: data = os.lseek(fd, at, os.SEEK_DATA)
    except OSError as error: assert error.errno == 6; break
    hole = os.lseek(fd, data, os.SEEK_HOLE)
    assert at <= data < hole <= size, (at, data, hole)
    print(data, hole)
    at = hole
for bad in size, size + 1:
    try: os.lseek(fd, bad, os.SEEK_HOLE)
    except OSError as error: assert error.errno == 6
    else: assert False`,
      `${parts}/4`,
    );
    assert(seeks.split("\n").length > 1, seeks);
    const attributes = await run("getfattr", "-d", "--absolute-names", `${parts}/2`);
    for (
      const line of [
        'user.backy.revision="Rev"',
        'user.backy.partition_name="root"',
        'user.backy.partition_type="0FC63DAF-8483-4772-8E79-3D69D8477DE4"',
        `user.backy.size="${32 * MIB}"`,
        `user.backy.offset="${9 * MIB}"`,
      ]
    ) {
      assertStringIncludes(attributes, line);
    }
    const table = await run("getfattr", "-d", "--absolute-names", parts);
    assertStringIncludes(table, 'user.backy.table="gpt"');
    assertStringIncludes(table, 'user.backy.sector_size="512"');
  },
  { programs: SIX_PROGRAMS },
);

fuseTest("A walk through the mount meets each image once", async (site) => {
  const { disk } = await makeSix(site);
  site.addImage("Rev", disk);
  const mount = await site.mount();
  assertEquals(
    (await run("find", mount.path, "-mindepth", "1", "-printf", "%P %y\n")).trim().split("\n")
      .sort(),
    ["Rev f", "by-date d", "by-date/2026-01-11T17:45 l", "last l", "last.parts l"],
  );
  await run("cat", mount.file("Rev"));
  const du = (path: string) => run("du", "-sB1", path).then((text) => Number(text.split("\t")[0]));
  const image = await du(mount.file("Rev"));
  assert(image < 120 * MIB, `${image}`);
  assert(await du(mount.path) - image < MIB, "something is counted twice");
}, { programs: SIX_PROGRAMS });

fuseTest("Logical partitions are files, the extended one is not", async (site) => {
  const disk = site.file("disk");
  await run("truncate", "-s", "64M", disk);
  const script = site.file("script", "label: dos\n,4M,83\n,4M,82\n,,5\n,8M,83\n,8M,8e\n,,83\n");
  await sh('sfdisk -q --no-reread --no-tell-kernel "$1" <"$2"', disk, script);
  // Content that differs from place to place, then the table and its chain once more.
  await sh(
    `seq 1 9000000 | dd of="$1" bs=1M seek=1 count=63 conv=notrunc iflag=fullblock status=none
     sfdisk -q --no-reread --no-tell-kernel -w never "$1" <"$2"`,
    disk,
    script,
  );
  site.addImage("Rev", disk);
  const mount = await site.mount();
  const parts = mount.file("Rev.parts");
  assertEquals((await run("ls", parts)).trim().split("\n"), ["1", "2", "5", "6", "7"]);
  const rows = await run("partx", "-gb", "-o", "NR,START,SIZE", disk);
  for (const row of rows.trim().split("\n")) {
    const [number, start, size] = row.trim().split(/ +/).map(Number);
    if (number === 3) continue;
    await sh(
      'tail -c +$(($3 * 512 + 1)) "$1" | head -c "$4" | cmp - "$2"',
      disk,
      `${parts}/${number}`,
      String(start),
      String(size),
    );
    assertEquals((await Deno.stat(`${parts}/${number}`)).size, size);
  }
  assertEquals(mount.messages, []);
}, { programs: ["sfdisk", "partx"] });

for (
  const [kind, script] of [["gpt", "label: gpt\n,8M\n,,L\n"], ["dos", "label: dos\n,8M\n,,83\n"]]
) {
  fuseTest(`Partitions of a disk with sectors of 4096 bytes are files: ${kind}`, async (site) => {
    const disk = site.file("disk");
    await run("truncate", "-s", "64M", disk);
    const device = await site.loopDevice("-b", "4096", disk);
    await sh('sfdisk -q --no-reread --no-tell-kernel "$1" <"$2"', device, site.file("s", script));
    const part = site.file("part");
    await run("truncate", "-s", "8M", part);
    await run("mkfs.ext4", "-q", "-F", "-L", "four", part);
    await sh('dd if="$1" of="$2" bs=1M seek=1 conv=notrunc,fsync status=none', part, device);
    await run("blockdev", "--flushbufs", device);
    site.addImage("Rev", disk);
    const mount = await site.mount();
    assertEquals((await run("ls", mount.file("Rev.parts"))).trim(), "1\n2");
    await run("cmp", part, mount.file("Rev.parts/1"));
    const files = await site.mountDevice("-o", "ro,loop", mount.file("Rev.parts/1"));
    assertEquals(await run("ls", files), "lost+found\n");
    assertEquals(mount.messages, []);
  }, { programs: ["sfdisk", "mkfs.ext4", "blockdev"] });
}

fuseTest("Without a table there are no partitions; a bad one is told of once", async (site) => {
  const plain = site.file("plain");
  await run("truncate", "-s", "16M", plain);
  await run("mkfs.ext4", "-q", "-F", plain);
  site.addImage("Plain", plain);
  const disk = site.file("disk");
  await run("truncate", "-s", "16M", disk);
  await sh(
    `printf 'label: gpt\\n,4M\\n' | sfdisk -q --no-reread --no-tell-kernel "$1"
     printf X | dd of="$1" bs=1 seek=530 conv=notrunc status=none
     truncate -s 15M "$1"`,
    disk,
  );
  site.addImage("Damaged", disk);
  const mount = await site.mount();
  for (let round = 0; round < 3; round++) {
    assertEquals(await run("ls", "-A", mount.file("Plain.parts")), "");
    assertEquals(await run("ls", "-A", mount.file("Damaged.parts")), "");
    assertEquals((await tryRun("cat", mount.file("Damaged.parts/1"))).code, 1);
  }
  assertEquals((await tryRun("ls", mount.file("Absent.parts"))).code, 2);
  assertEquals((await tryRun("ls", mount.file("Plain.parts.parts"))).code, 2);
  assertEquals(mount.messages.length, 1, mount.tool.said);
  assertMatch(
    mount.messages[0]!,
    /partition table of revision "Damaged": no partitions are shown: no copy .* \(damaged: .*\)$/,
  );
}, { programs: ["sfdisk", "mkfs.ext4"] });

fuseTest("Partitions can be written to, and the backup stays as it was", async (site) => {
  const { disk, copies } = await makeSix(site);
  site.addImage("Rev", disk);
  const mount = await site.mount();
  const part = mount.file("Rev.parts/2");
  const files = await site.mountDevice("-o", "rw,loop", part);
  await sh('echo changed >"$1/etc/fstab"; seq 1 300000 >"$1/numbers"', files);
  await run("umount", files);
  const fsck = await tryRun("fsck.ext4", "-fn", part);
  assertEquals(fsck.code, 0, fsck.stdout + fsck.stderr);
  assertEquals(await run("debugfs", "-R", "cat /etc/fstab", part), "changed\n");
  // The image has the same, and no other partition has changed.
  await sh(
    'tail -c +$((9 * 1048576 + 1)) "$1" | head -c 32M | cmp - "$2"',
    mount.file("Rev"),
    part,
  );
  for (const number of [1, 3, 4, 5, 6]) {
    await run("cmp", copies[number - 1]!, mount.file(`Rev.parts/${number}`));
  }
  const end = await tryRun(
    "dd",
    "if=/dev/zero",
    `of=${part}`,
    "bs=1M",
    "seek=32",
    "count=1",
    "conv=notrunc",
  );
  assertStringIncludes(end.stderr, "File too large");
  await mount.end();
  const again = await site.mount();
  await run("cmp", copies[1]!, again.file("Rev.parts/2"));
}, { programs: [...SIX_PROGRAMS, "fsck.ext4"] });

fuseTest(
  "A table that is changed in the mount counts, for whoever opens a partition then",
  async (site) => {
    const disk = site.file("disk");
    await run("truncate", "-s", "64M", disk);
    await sh('printf "label: dos\\n,8M\\n,8M\\n" | sfdisk -q --no-reread "$1"', disk);
    site.addImage("Rev", disk);
    const mount = await site.mount();
    const parts = mount.file("Rev.parts");
    await sh(
      `exec 3<"$2/2"
     [ "$(ls "$2" | tr '\\n' ' ')" = "1 2 " ]
     printf ',16M\\n,4M\\n,,L\\n' | sfdisk -q --no-reread --no-tell-kernel "$1"
     [ "$(ls "$2" | tr '\\n' ' ')" = "1 2 3 " ]
     [ "$(stat -c %s "$2/1" "$2/2" | tr '\\n' ' ')" = "16777216 4194304 " ]
     [ "$(stat -Lc %s /proc/self/fd/3)" = 8388608 ]
     cat <&3 | wc -c`,
      mount.file("Rev"),
      parts,
    );
    assertEquals(mount.messages, []);
  },
  { programs: ["sfdisk"] },
);

fuseTest(
  "A revision that changes has new partitions; who has an old one open reads it",
  async (site) => {
    const disk = site.file("disk");
    const make = (mib: number, letter: string) =>
      sh(
        `rm -f "$1"; truncate -s 32M "$1"
       printf 'label: dos\\n,%sM\\n' "$2" | sfdisk -q --no-reread "$1"
       yes "$3" | dd of="$1" bs=1M seek=1 count=31 conv=notrunc iflag=fullblock status=none`,
        disk,
        String(mib),
        letter,
      );
    await make(8, "old");
    site.addImage("Rev", disk);
    const mount = await site.mount();
    const part = mount.file("Rev.parts/1");
    using open = await Deno.open(part);
    await make(16, "new");
    site.addImage("Rev", disk);
    await until(async () => (await Deno.stat(part)).size === 16 * MIB, "the new partition");
    assertEquals(await run("head", "-c", "4", part), "new\n");
    assertEquals((await open.stat()).size, 8 * MIB);
    const bytes = new Uint8Array(4);
    await open.read(bytes);
    assertEquals(new TextDecoder().decode(bytes), "old\n");
    assertEquals(mount.messages, []);
  },
  { programs: ["sfdisk"] },
);

const COHERENCE = new URL("coherence.py", import.meta.url).pathname;

fuseTest("What is written through one file is seen through all others at once", async (site) => {
  const { disk } = await makeSix(site);
  site.addImage("Rev", disk);
  const mount = await site.mount();
  const [image, part] = [mount.file("Rev"), mount.file("Rev.parts/2")];
  assertEquals(await run("python3", COHERENCE, image, part, String(9 * MIB)), "coherent\n");
  // The same through loop devices, whose pages are dropped between the steps.
  const whole = await site.loopDevice("--direct-io=off", image);
  const single = await site.loopDevice("--direct-io=off", part);
  await sh(
    `for round in 1 2 3; do
       head -c 65536 /dev/urandom >"$3"
       dd if="$3" of="$1" bs=64K seek=$((9 * 16 + round)) conv=fsync,notrunc status=none
       blockdev --flushbufs "$2"
       dd if="$2" bs=64K skip=$round count=1 status=none | cmp - "$3"
       head -c 65536 /dev/urandom >"$3"
       dd if="$3" of="$2" bs=64K seek=$round conv=fsync,notrunc status=none
       blockdev --flushbufs "$1"
       dd if="$1" bs=64K skip=$((9 * 16 + round)) count=1 status=none | cmp - "$3"
     done`,
    whole,
    single,
    site.file("random"),
  );
  assertEquals(mount.messages, []);
}, { programs: [...SIX_PROGRAMS, "blockdev"] });
