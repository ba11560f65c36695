import { assertEquals } from "../assert.ts";
import { isFuseMount, parseMountTable } from "../../lib/linux/mount_table.ts";

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
