import { assertEquals } from "../assert.ts";
import { isFuseMount, type Mount, parseMountTable, parseSwaps } from "../../lib/linux/mounts.ts";

Deno.test("parseMountTable() reads escapes and any number of optional fields", () => {
  const text = [
    "22 1 8:1 / / rw,relatime shared:1 master:2 - ext4 /dev/sda1 rw",
    "42 22 0:39 / /mnt/with\\040space\\134 rw - fuse.mem mem\\054fs rw,user_id=0",
    "43 22 0:40 / /mnt/tool rw shared:7 - fuse tool rw",
    "44 22 0:41 / /sys/fs/fuse/connections rw - fusectl fusectl rw",
    "",
  ].join("\n");
  const mounts = parseMountTable(text);
  assertEquals(mounts.map(({ device, mountpoint, type }) => [device, mountpoint, type]), [
    ["8:1", "/", "ext4"],
    ["0:39", "/mnt/with space\\", "fuse.mem"],
    ["0:40", "/mnt/tool", "fuse"],
    ["0:41", "/sys/fs/fuse/connections", "fusectl"],
  ]);
  assertEquals(mounts[1]?.source, "mem,fs");
  assertEquals(mounts.map(isFuseMount), [false, true, true, false]);
});

function essence({ device, mountpoint, source }: Mount): Partial<Mount> {
  return { device, mountpoint, source };
}

Deno.test("parseMountTable() reads device, mount point and source", () => {
  const text = [
    "22 1 8:17 / / rw,relatime shared:1 - ext4 /dev/sdb1 rw,errors=remount-ro",
    "27 22 0:24 / /run rw,nosuid - tmpfs tmpfs rw,size=1024k",
    "40 22 0:35 /@home /home rw shared:7 master:3 - btrfs /dev/vdc rw,subvol=/@home",
    "",
  ].join("\n");
  assertEquals(parseMountTable(text).map(essence), [
    { device: "8:17", mountpoint: "/", source: "/dev/sdb1" },
    { device: "0:24", mountpoint: "/run", source: "tmpfs" },
    { device: "0:35", mountpoint: "/home", source: "/dev/vdc" },
  ]);
});

Deno.test("parseMountTable() decodes octal escapes", () => {
  const line = String.raw`36 35 8:1 / /mnt/a\040b\011c\012d\134e\043 rw - ext4 /dev/a\040b rw`;
  assertEquals(parseMountTable(line).map(essence), [
    { device: "8:1", mountpoint: "/mnt/a b\tc\nd\\e#", source: "/dev/a b" },
  ]);
});

Deno.test("parseMountTable() leaves out lines it does not understand", () => {
  assertEquals(parseMountTable("\n36 35 8:1 / /mnt rw ext4 /dev/sda1 rw\n36 35\n- - -\n"), []);
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
