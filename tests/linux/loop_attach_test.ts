import { attachLoop } from "../../lib/linux/loop_attach.ts";
import { backingName } from "../../lib/linux/loop_devices.ts";
import { OsError } from "../../lib/linux/os_error.ts";
import { assertEquals, assertThrows } from "../assert.ts";
import { loopDeviceProblem, Scratch, testUnless } from "../support/machine.ts";
import { runSync } from "../support/programs.ts";

const MIB = 1_048_576;

testUnless(
  loopDeviceProblem(),
  "attachLoop() shows a range of a file, writable, in sectors of the size that is asked for",
  () => {
    using scratch = new Scratch();
    const bytes = new Uint8Array(4 * MIB).map((_, at) => at >> 12);
    const file = scratch.file(`${"long name ".repeat(12)}`, bytes);
    for (const sectorBytes of [512, 4096]) {
      using loop = attachLoop(file, { offset: MIB, length: 2 * MIB, sectorBytes });
      const ask = (option: string) => Number(runSync("blockdev", option, loop.path));
      assertEquals([ask("--getsize64"), ask("--getss"), ask("--getro")], [2 * MIB, sectorBytes, 0]);
      using device = Deno.openSync(loop.path);
      const start = new Uint8Array(4096);
      device.readSync(start);
      assertEquals(start, bytes.subarray(MIB, MIB + 4096));
      assertEquals(backingName(loop.path), file);
    }
  },
);

testUnless(loopDeviceProblem(), "A loop device is detached when nobody has it any more", () => {
  using scratch = new Scratch();
  const file = scratch.file("file", new Uint8Array(MIB));
  const loops = Array.from(
    { length: 3 },
    () => attachLoop(file, { offset: 0, length: MIB, sectorBytes: 512 }),
  );
  assertEquals(new Set(loops.map(({ path }) => path)).size, 3);
  for (const loop of loops) loop[Symbol.dispose]();
  assertEquals(runSync("losetup", "-j", file), "");
});

testUnless(loopDeviceProblem(), "attachLoop() leaves nothing behind when it fails", () => {
  using scratch = new Scratch();
  const range = { offset: 0, length: MIB, sectorBytes: 512 };
  assertThrows(() => attachLoop(scratch.file("none"), range), OsError, "Cannot open");
  const file = scratch.file("file", new Uint8Array(MIB));
  assertThrows(
    () => attachLoop(file, { ...range, sectorBytes: 513 }),
    OsError,
    "Invalid argument (EINVAL); Linux 5.8 or newer is needed",
  );
  assertEquals(runSync("losetup", "-j", file), "");
});
