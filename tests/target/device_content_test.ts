import { assertEquals } from "../assert.ts";
import { openFd, OpenFlag, readAt, releaseFd } from "../../lib/linux/files.ts";
import { describeContent } from "../../lib/target/device_content.ts";
import { preflightTarget } from "../../lib/target/preflight.ts";
import type { PreflightOptions } from "../../lib/target/target.ts";
import { LoopDevice, loopDeviceProblem, Scratch, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { StoreFixture } from "./store_fixture.ts";

const MIB = 1_048_576;

function contentOf(path: string): string | null {
  const fd = openFd(path, OpenFlag.O_RDONLY);
  try {
    const read = (offset: number, length: number) => {
      const bytes = new Uint8Array(length);
      readAt(fd, bytes, offset);
      return bytes;
    };
    return describeContent({ bytes: Deno.statSync(path).size, read });
  } finally {
    releaseFd(fd);
  }
}

/**
 * Makes a file of some MiB, runs commands with its path as last argument, and says what it holds.
 */
function contentAfter(mib: number, ...commands: string[]): string | null {
  using scratch = new Scratch();
  const path = scratch.file("disk", "");
  Deno.truncateSync(path, mib * MIB);
  for (const command of commands) runSync("sh", "-c", `${command} '${path}'`);
  return contentOf(path);
}

const MADE: readonly [program: string, content: string, mib: number, ...commands: string[]][] = [
  ["mkfs.ext4", "ext file system", 8, "mkfs.ext4 -q -F"],
  ["mkfs.xfs", "XFS file system", 320, "mkfs.xfs -q"],
  ["mkfs.vfat", "FAT file system", 8, "mkfs.vfat"],
  ["mkswap", "swap space", 8, "mkswap -q"],
  [
    "sfdisk",
    "partition table (MBR, 2 partitions)",
    64,
    "printf '2048,16384,L\\n,16384,S\\n' | sfdisk -q",
  ],
  [
    "sfdisk",
    "partition table (GPT, 1 partition)",
    64,
    "printf 'label: gpt\\n2048,16384,L\\n' | sfdisk -q",
  ],
];

for (const [program, content, mib, ...commands] of MADE) {
  testUnless(programProblem(program), `describeContent() recognises: ${content}`, () => {
    assertEquals(contentAfter(mib, ...commands), content);
  });
}

testUnless(
  programProblem("mkfs.ext4", "sfdisk"),
  "describeContent() names everything that it finds",
  () => {
    const table = "printf '2048,8192,L\\n' | sfdisk -q -w never -W never";
    assertEquals(
      contentAfter(8, "mkfs.ext4 -q -F", table),
      "partition table (MBR, 1 partition), ext file system",
    );
  },
);

Deno.test("describeContent() finds marks behind the start, and nothing on an empty device", () => {
  using scratch = new Scratch();
  const bytes = 8 * MIB + 512;
  const withMark = (offset: number, ...mark: number[]) => {
    const content = new Uint8Array(bytes);
    content.set(mark, offset);
    return contentOf(scratch.file("disk", content));
  };
  const raid = [0xfc, 0x4e, 0x2b, 0xa9];
  assertEquals(withMark(0), null);
  assertEquals(withMark(131_072 + 5 * 1024, 0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0), "ZFS pool member");
  assertEquals(withMark(131_072 + 5 * 1024, 0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c), "ZFS pool member");
  // Version 0.90: 64 KiB before the last multiple of that; version 1.0: 8 KiB before the end, at a
  // multiple of 4 KiB.
  assertEquals(withMark(8 * MIB - 65_536, ...raid), "RAID member");
  assertEquals(withMark(8 * MIB - 8192, ...raid), "RAID member");
  assertEquals(withMark(4096, ...raid), "RAID member");
  const text = new TextEncoder().encode("bluestore block device\n");
  assertEquals(withMark(0, ...text), "Ceph BlueStore device");
  assertEquals(contentOf(scratch.file("empty", "")), null);
  assertEquals(contentOf(scratch.file("short", "XFSB")), null);
});

testUnless(
  loopDeviceProblem() ?? programProblem("mkfs.ext4"),
  "preflightTarget() says what on a device will be overwritten",
  () => {
    using store = new StoreFixture();
    using device = new LoopDevice(8 * MIB);
    const content = (options: Partial<PreflightOptions> = {}) => {
      using checked = preflightTarget(device.path, { ...store.options(), ...options });
      return checked.content;
    };
    assertEquals(content(), null);
    runSync("mkfs.ext4", "-q", "-F", device.path);
    assertEquals(content(), "ext file system");
    assertEquals(content({ oldContent: "patched" }), "ext file system");
    assertEquals(content({ oldContent: "updated" }), null);
    assertEquals(content({ extent: { start: MIB, end: 2 * MIB } }), null);
  },
);
