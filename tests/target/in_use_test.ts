import { assertEquals } from "../assert.ts";
import {
  describeDeviceUse,
  deviceName,
  parseMountinfo,
  parseSwaps,
} from "../../lib/target/in_use.ts";
import { LoopDevice, loopDeviceProblem, Scratch, testUnless } from "./machine.ts";

Deno.test("parseMountinfo() reads device, mount point and source", () => {
  const text = [
    "22 1 8:17 / / rw,relatime shared:1 - ext4 /dev/sdb1 rw,errors=remount-ro",
    "27 22 0:24 / /run rw,nosuid - tmpfs tmpfs rw,size=1024k",
    "40 22 0:35 /@home /home rw shared:7 master:3 - btrfs /dev/vdc rw,subvol=/@home",
    "",
  ].join("\n");
  assertEquals(parseMountinfo(text), [
    { device: "8:17", mountPoint: "/", source: "/dev/sdb1" },
    { device: "0:24", mountPoint: "/run", source: "tmpfs" },
    { device: "0:35", mountPoint: "/home", source: "/dev/vdc" },
  ]);
});

Deno.test("parseMountinfo() decodes octal escapes", () => {
  const line = String.raw`36 35 8:1 / /mnt/a\040b\011c\012d\134e\043 rw - ext4 /dev/a\040b rw`;
  assertEquals(parseMountinfo(line), [
    { device: "8:1", mountPoint: "/mnt/a b\tc\nd\\e#", source: "/dev/a b" },
  ]);
});

Deno.test("parseMountinfo() leaves out lines it does not understand", () => {
  assertEquals(parseMountinfo("\n36 35 8:1 / /mnt rw ext4 /dev/sda1 rw\n36 35\n- - -\n"), []);
});

Deno.test("parseSwaps() reads partitions and files", () => {
  const text = [
    "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority",
    "/dev/dm-1                               partition\t1003516\t\t0\t\t-2",
    String.raw`/swap\040file\040(deleted)              file	524284	0	-3`,
    "",
  ].join("\n");
  assertEquals(parseSwaps(text), ["/dev/dm-1", "/swap file (deleted)"]);
  assertEquals(parseSwaps(""), []);
});

Deno.test("deviceName() takes both halves of major and minor", () => {
  assertEquals(deviceName(0x0801), "8:1");
  // makedev(259, 1048577): minor numbers above 255 go to bit 20 and up.
  assertEquals(deviceName(259 * 256 + 1 + 4096 * 2 ** 20), "259:1048577");
});

Deno.test("deviceName() agrees with the kernel about /dev/null", () => {
  assertEquals(deviceName(Deno.statSync("/dev/null").rdev!), "1:3");
});

/** Writes files below a folder, making folders as needed. */
function writeTree(root: string, files: Record<string, string>): void {
  for (const [path, content] of Object.entries(files)) {
    Deno.mkdirSync(`${root}${path.slice(0, path.lastIndexOf("/"))}`, { recursive: true });
    Deno.writeTextFileSync(`${root}${path}`, content);
  }
}

Deno.test("describeDeviceUse() names holders and the disk's partitions", () => {
  using scratch = new Scratch();
  const root = scratch.path;
  writeTree(root, {
    "/sys/devices/sda/dev": "8:0\n",
    "/sys/devices/sda/holders/md0": "",
    "/sys/devices/sda/sda1/dev": "8:1\n",
    "/sys/devices/sda/sda1/partition": "1\n",
    "/sys/devices/sda/sda1/holders/dm-0": "",
    "/sys/devices/sda/sda2/dev": "8:2\n",
    "/sys/devices/sda/sda2/partition": "2\n",
    "/sys/block/dm-0/dm/name": "vg-root\n",
    "/sys/dev/block/README": "",
    "/proc/self/mountinfo": "36 35 8:2 / /srv\\040x rw - ext4 /dev/sda2 rw\n",
  });
  for (const [device, folder] of [["8:0", "sda"], ["8:1", "sda/sda1"], ["8:2", "sda/sda2"]]) {
    Deno.symlinkSync(`../../devices/${folder}`, `${root}/sys/dev/block/${device}`);
  }
  assertEquals(describeDeviceUse(0x0800, root), [
    'it is held by "/dev/md0"',
    'its partition "/dev/sda1" is held by "/dev/mapper/vg-root"',
    'its partition "/dev/sda2" is mounted at "/srv x"',
  ]);
  assertEquals(describeDeviceUse(0x0801, root), [
    'it is held by "/dev/mapper/vg-root"',
    'its disk "/dev/sda" is held by "/dev/md0"',
  ]);
  assertEquals(describeDeviceUse(0x0803, root), []);
});

testUnless(loopDeviceProblem(), "describeDeviceUse() knows btrfs by its source", () => {
  using scratch = new Scratch();
  using device = new LoopDevice(65_536);
  const line = `36 35 0:35 /@ /home rw - btrfs ${device.path} rw\n`;
  writeTree(scratch.path, { "/proc/self/mountinfo": line });
  assertEquals(describeDeviceUse(Deno.statSync(device.path).rdev!, scratch.path), [
    'it is mounted at "/home"',
  ]);
});
