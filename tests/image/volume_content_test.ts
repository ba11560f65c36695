/**
 * Compares what is read of volumes, which the usual programs made, with what blkid says of them.
 *
 * @module
 */

import type { ImageSource } from "../../lib/image/partition_table.ts";
import {
  describeVolume,
  readVolumeContent,
  type VolumeContent,
} from "../../lib/image/volume_content.ts";
import { assert, assertEquals } from "../assert.ts";
import { LoopDevice, loopDeviceProblem, Scratch, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { randomFrom } from "../support/random.ts";
import { FakeImage } from "./table_builder.ts";

const MIB = 1_048_576;

function readFile(path: string): VolumeContent | null {
  using file = Deno.openSync(path);
  return readVolumeContent({
    bytes: file.seekSync(0, Deno.SeekMode.End),
    read(offset, length) {
      const bytes = new Uint8Array(length);
      file.seekSync(offset, Deno.SeekMode.Start);
      if (length > 0) assertEquals(file.readSync(bytes), length);
      return bytes;
    },
  });
}

function blkid(path: string, tag: string): string {
  const args = ["-p", "-s", tag, "-o", "value", path];
  const { stdout } = new Deno.Command("blkid", { args, env: { LC_ALL: "C.UTF-8" } }).outputSync();
  return new TextDecoder().decode(stdout).trimEnd();
}

/** Compares with blkid. Returns what was read. */
function compare(path: string): VolumeContent {
  const content = readFile(path);
  assert(content !== null, `nothing is recognised, blkid says ${blkid(path, "TYPE")}`);
  const { kind, label, uuid } = content;
  assertEquals({ kind, uuid }, { kind: blkid(path, "TYPE"), uuid: blkid(path, "UUID") });
  // blkid names no volume group.
  if (kind !== "LVM2_member") assertEquals(label, blkid(path, "LABEL"));
  return content;
}

/** A command that formats the file whose path follows, its size, and what it should be. */
const MADE: readonly [string[], mib: number, expected: Partial<VolumeContent>][] = [
  [["mkfs.ext2", "-q", "-F", "-L", "boot"], 8, { kind: "ext2", label: "boot" }],
  [["mkfs.ext3", "-q", "-F", "-L", "old"], 8, { kind: "ext3", label: "old" }],
  [["mkfs.ext4", "-q", "-F", "-L", "sixteen chars é"], 16, { kind: "ext4" }],
  [["mkfs.ext4", "-q", "-F", "-O", "^has_journal"], 16, { kind: "ext4", label: "" }],
  [["mkfs.xfs", "-q", "-L", "data"], 320, { kind: "xfs", label: "data" }],
  [["mkfs.btrfs", "-q", "-L", "pool of files"], 200, { kind: "btrfs", label: "pool of files" }],
  [["mkfs.f2fs", "-q", "-l", "flash"], 64, { kind: "f2fs", label: "flash" }],
  [["mkfs.ntfs", "-q", "-F", "-Q", "-L", "Windows"], 16, { kind: "ntfs", label: "Windows" }],
  [["mkfs.ntfs", "-q", "-F", "-Q", "-c", "65536"], 64, { kind: "ntfs", label: "" }],
  [["mkfs.vfat", "-F", "12", "-n", "DOS"], 4, { kind: "vfat", label: "DOS" }],
  [["mkfs.vfat", "-F", "16", "-n", "EFI SYSTEM"], 32, { kind: "vfat", label: "EFI SYSTEM" }],
  [["mkfs.vfat", "-F", "32", "-n", "ESP"], 64, { kind: "vfat", label: "ESP" }],
  [["mkfs.vfat", "-F", "32"], 64, { kind: "vfat", label: "" }],
  [["mkfs.exfat", "-L", "card é"], 8, { kind: "exfat", label: "card é" }],
  [["mkfs.jfs", "-q", "-L", "jay"], 32, { kind: "jfs", label: "jay" }],
  [["mkfs.reiserfs", "-q", "-ff", "-l", "rey"], 64, { kind: "reiserfs", label: "rey" }],
  [["mkswap", "-L", "swap0"], 8, { kind: "swap", label: "swap0" }],
  [["mkswap", "-p", "65536"], 8, { kind: "swap", label: "" }],
];

for (const [command, mib, expected] of MADE) {
  const problem = programProblem(command[0]!) ?? programProblem("blkid");
  testUnless(problem, `readVolumeContent() reads what "${command.join(" ")}" makes`, () => {
    using scratch = new Scratch();
    const path = scratch.file("volume", "");
    Deno.truncateSync(path, mib * MIB);
    runSync(...command as [string, ...string[]], path);
    const content = compare(path);
    assertEquals({ ...content, ...expected }, content);
  });
}

const FOLDER_COMMANDS: readonly [string[], kind: string, label: string][] = [
  [["mksquashfs", "FOLDER", "FILE", "-quiet"], "squashfs", ""],
  [["mkfs.erofs", "FILE", "FOLDER"], "erofs", ""],
  [
    ["xorriso", "-as", "mkisofs", "-quiet", "-V", "CD 1", "-o", "FILE", "FOLDER"],
    "iso9660",
    "CD 1",
  ],
];

for (const [words, kind, label] of FOLDER_COMMANDS) {
  const problem = programProblem(words[0]!) ?? programProblem("blkid");
  testUnless(problem, `readVolumeContent() reads what ${words[0]} makes`, () => {
    using scratch = new Scratch();
    Deno.mkdirSync(scratch.file("folder"));
    scratch.file("folder/file", "content");
    const places: Record<string, string> = {
      FOLDER: scratch.file("folder"),
      FILE: scratch.file("image"),
    };
    runSync(...words.map((word) => places[word] ?? word) as [string, ...string[]]);
    const content = compare(places["FILE"]!);
    assertEquals([content.kind, content.label], [kind, label]);
  });
}

for (const [type, label] of [["luks1", ""], ["luks2", "secret"]] as const) {
  const problem = programProblem("cryptsetup") ?? programProblem("blkid");
  testUnless(problem, `readVolumeContent() reads what cryptsetup makes: ${type}`, () => {
    using scratch = new Scratch();
    const path = scratch.file("volume", "");
    Deno.truncateSync(path, 32 * MIB);
    const key = scratch.file("key", "x");
    const labelled = label === "" ? [] : ["--label", label];
    const cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    runSync("cryptsetup", "-q", "luksFormat", "--type", type, ...labelled, ...cheap, path, key);
    const content = compare(path);
    assertEquals(describeVolume(content), `LUKS ${type.at(-1)}`);
  });
}

testUnless(
  programProblem("vgcreate") ?? programProblem("blkid") ?? loopDeviceProblem(),
  "readVolumeContent() reads what vgcreate makes, and the group's name",
  () => {
    using device = new LoopDevice(32 * MIB);
    const name = `vg.test-${Deno.pid}`;
    // Only this device, whatever the host's volume groups are.
    const only = `devices { filter = [ "a|^${device.path}$|", "r|.*|" ] }`;
    runSync("pvcreate", "-q", "-y", "--config", only, device.path);
    assertEquals(compare(device.path).label, "");
    runSync("vgcreate", "-q", "--config", only, name, device.path);
    const content = compare(device.path);
    assertEquals([content.label, describeVolume(content)], [name, "LVM2 member"]);
  },
);

/** Writes a RAID superblock as mdadm lays it out; the kernel's driver need not be there. */
function raidImage(version: "0.90" | "1.0" | "1.1" | "1.2", bytes: number): FakeImage {
  const superblock = new Uint8Array(4096);
  const view = new DataView(superblock.buffer);
  const sectors = bytes / 512;
  const offset = {
    "0.90": Math.floor(bytes / 65_536) * 65_536 - 65_536,
    "1.0": Math.floor((sectors - 16) / 8) * 8 * 512,
    "1.1": 0,
    "1.2": 4096,
  }[version];
  view.setUint32(0, 0xa92b4efc, true);
  if (version === "0.90") {
    view.setUint32(8, 90, true);
    [20, 52, 56, 60].forEach((at, i) => view.setUint32(at, 0x01234567 * (i + 1), true));
    // What blkid demands of it besides: the sum of all words.
    view.setUint32(152, 0, true);
  } else {
    view.setUint32(4, 1, true);
    superblock.set(Uint8Array.from({ length: 16 }, (_, i) => 17 * i), 16);
    superblock.set(new TextEncoder().encode("host:3"), 32);
    view.setBigUint64(144, BigInt(offset / 512), true);
  }
  return new FakeImage(bytes).write(offset, superblock);
}

for (const version of ["0.90", "1.0", "1.1", "1.2"] as const) {
  testUnless(programProblem("blkid"), `readVolumeContent() knows RAID ${version}`, () => {
    using scratch = new Scratch();
    for (const bytes of [8 * MIB, 8 * MIB + 12_288, 8 * MIB + 512]) {
      const image = raidImage(version, bytes);
      const path = scratch.file("volume", image.read(0, bytes));
      const content = compare(path);
      assertEquals(describeVolume(content), `RAID member ${version}`);
      assert(content.uuid.length === 36);
      assertEquals(content.label, version === "0.90" ? "" : "host:3");
    }
  });
}

Deno.test("readVolumeContent() takes a mirrored file system for the RAID member that it is", () => {
  const image = raidImage("1.0", 8 * MIB);
  image.write(0, new TextEncoder().encode("XFSB"));
  assertEquals(readVolumeContent(image)?.kind, "linux_raid_member");
});

/** The first label of a ZFS device: a list of names and values, and uberblocks. */
function poolImage(bytes: number): FakeImage {
  const pairs: [string, number, (data: DataView) => number][] = [
    ["version", 8, (data) => (data.setBigUint64(0, 5000n), 8)],
    ["name", 9, (data) => {
      data.setUint32(0, 4);
      new Uint8Array(data.buffer, data.byteOffset + 4, 4).set(new TextEncoder().encode("tank"));
      return 8;
    }],
    ["pool_guid", 8, (data) => (data.setBigUint64(0, 12_345_678_901_234_567_890n), 8)],
  ];
  const list = new Uint8Array(4096);
  const view = new DataView(list.buffer);
  list.set([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  let at = 12;
  for (const [name, type, fill] of pairs) {
    const padded = Math.ceil(name.length / 4) * 4;
    const dataAt = at + 12 + padded + 8;
    const length = dataAt - at + fill(new DataView(list.buffer, dataAt));
    view.setUint32(at, length);
    view.setUint32(at + 4, 64);
    view.setUint32(at + 8, name.length);
    list.set(new TextEncoder().encode(name), at + 12);
    view.setUint32(at + 12 + padded, type);
    view.setUint32(at + 16 + padded, 1);
    at += length;
  }
  const image = new FakeImage(bytes);
  for (const label of [0, 262_144, bytes - 524_288, bytes - 262_144]) {
    image.write(label + 16_384, list);
    for (let i = 0; i < 8; i++) {
      image.write(label + 131_072 + i * 1024, Uint8Array.of(0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0));
    }
  }
  return image;
}

testUnless(programProblem("blkid"), "readVolumeContent() knows a member of a ZFS pool", () => {
  using scratch = new Scratch();
  const bytes = 64 * MIB;
  const path = scratch.file("volume", poolImage(bytes).read(0, bytes));
  assertEquals(compare(path), {
    kind: "zfs_member",
    version: "",
    label: "tank",
    uuid: "12345678901234567890",
  });
});

Deno.test("readVolumeContent() reads bcachefs, bcache and BlueStore by their layouts", () => {
  const own = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
  const label = new TextEncoder().encode("many disks");
  const magic = (hex: string) => Uint8Array.fromHex(hex);
  const bcachefs = new FakeImage(MIB)
    .write(4096 + 24, magic("c68573f666ce90a9d96a60cf803df7ef"))
    .write(4096 + 56, own).write(4096 + 72, label);
  const uuid = "01020304-0506-0708-090a-0b0c0d0e0f10";
  assertEquals(readVolumeContent(bcachefs), {
    kind: "bcachefs",
    version: "",
    label: "many disks",
    uuid,
  });
  const bcache = new FakeImage(MIB)
    .write(4096 + 24, magic("c68573f64e1a45ca8265f57f48ba6d81")).write(4096 + 40, own);
  assertEquals(readVolumeContent(bcache), { kind: "bcache", version: "", label: "", uuid });
  const bluestore = new FakeImage(MIB)
    .write(0, new TextEncoder().encode(`bluestore block device\n${uuid}\n`));
  assertEquals(readVolumeContent(bluestore)?.uuid, uuid);
});

Deno.test("readVolumeContent() recognises nothing in zeros and in little", () => {
  for (const bytes of [0, 1, 511, 512, 4096, 70_000, MIB]) {
    assertEquals(readVolumeContent(new FakeImage(bytes)), null);
  }
});

Deno.test("readVolumeContent() reads inside of the volume, whatever it contains", () => {
  const random = randomFrom(13);
  const marks: [number, string][] = [
    [0x438, "\x53\xef"],
    [0, "XFSB"],
    [512, "LABELONE"],
    [0, "LUKS\xba\xbe"],
    [3, "NTFS    "],
    [3, "EXFAT   "],
    [54, "FAT16   "],
    [82, "FAT32   "],
    [0x8001, "CD001"],
    [1024, "\x10\x20\xf5\xf2"],
    [4096, "\xfc\x4e\x2b\xa9"],
    [131_072, "\x0c\xb1\xba\x00\x00\x00\x00\x00"],
  ];
  for (let round = 0; round < 600; round++) {
    const [at, text] = marks[round % marks.length]!;
    const noise = Uint8Array.from({ length: 0x11000 }, () => random(256));
    // Small numbers lead further than large ones.
    if (round % 2 === 0) noise.forEach((_, i) => i % 4 > 1 && (noise[i] = 0));
    noise.set([0x55, 0xaa], 510);
    const image = new FakeImage(300_000 + random(400_000)).write(0, noise);
    image.write(at, Uint8Array.from(text, (character) => character.charCodeAt(0)));
    // FakeImage throws a RangeError for what lies outside.
    readVolumeContent(image as ImageSource);
    assert(image.bytesRead < MIB);
  }
});
