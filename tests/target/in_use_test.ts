import { assertEquals } from "../assert.ts";
import { describeDeviceUse } from "../../lib/target/in_use.ts";
import { LoopDevice, loopDeviceProblem, Scratch, testUnless } from "../support/machine.ts";

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
