import { backingName, listLoopDevices } from "../../lib/linux/loop_devices.ts";
import { assertEquals } from "../assert.ts";
import { Scratch } from "../support/machine.ts";

/** Makes files below a folder, with the folders above them. */
function writeTree(root: string, files: Record<string, string>): void {
  for (const [path, content] of Object.entries(files)) {
    Deno.mkdirSync(`${root}${path.slice(0, path.lastIndexOf("/"))}`, { recursive: true });
    Deno.writeTextFileSync(`${root}${path}`, content);
  }
}

Deno.test("listLoopDevices() takes those in use from /sys, with what they stand on", () => {
  using scratch = new Scratch();
  const root = scratch.path;
  writeTree(root, {
    "/sys/block/loop0/loop/backing_file": "/srv/an image \n",
    "/sys/block/loop1/size": "0\n",
    "/sys/block/sda/loop/backing_file": "/none\n",
    "/proc/partitions": "   7        2       1024 loop2\n",
  });
  assertEquals(listLoopDevices(root), { paths: ["/dev/loop0"], isComplete: true });
  assertEquals(backingName("/dev/loop0", root), "/srv/an image ");
  assertEquals(backingName("/dev/loop1", root), null);
});

Deno.test("listLoopDevices() without /sys goes by /proc/partitions, then by the nodes", () => {
  using scratch = new Scratch();
  const root = scratch.path;
  assertEquals(listLoopDevices(root), { paths: [], isComplete: false });
  writeTree(root, { "/dev/loop3": "", "/dev/loop-control": "", "/dev/sda": "" });
  assertEquals(listLoopDevices(root), { paths: ["/dev/loop3"], isComplete: true });
  writeTree(root, {
    "/proc/partitions": "major minor  #blocks  name\n\n   8        0    4096000 sda\n" +
      "   7        2       1024 loop2\n",
  });
  assertEquals(listLoopDevices(root), { paths: ["/dev/loop2"], isComplete: true });
});
