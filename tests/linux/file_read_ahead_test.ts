import { readAheadWindow } from "../../lib/linux/file_read_ahead.ts";
import { assertEquals } from "../assert.ts";
import { Scratch } from "../support/machine.ts";

Deno.test("readAheadWindow() is the most that the kernel reads ahead at a time", () => {
  using scratch = new Scratch();
  const root = scratch.path;
  const write = (name: string, text: string) => {
    const path = `${root}/sys/${name}`;
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    Deno.writeTextFileSync(path, text);
  };
  write("class/bdi/0:41/read_ahead_kb", "4096\n"); // a file system in a network
  write("class/bdi/0:42/read_ahead_kb", "0\n");
  write("devices/sda/queue/read_ahead_kb", "128\n");
  write("devices/sda/queue/max_sectors_kb", "1280\n");
  Deno.mkdirSync(`${root}/sys/devices/sda/sda1`);
  Deno.mkdirSync(`${root}/sys/dev/block`, { recursive: true });
  Deno.symlinkSync("../../devices/sda", `${root}/sys/dev/block/8:0`);
  Deno.symlinkSync("../../devices/sda/sda1", `${root}/sys/dev/block/8:1`);
  const windows = [0x29, 0x2a, 0x2b, 0x800, 0x801].map((dev) => readAheadWindow(dev, root));
  const mib = 1024 * 1024;
  assertEquals(windows, [4 * mib, mib / 8, mib / 8, 1280 * 1024, 1280 * 1024]);
});
