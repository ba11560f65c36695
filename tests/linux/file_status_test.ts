import { assert, assertEquals, assertThrows } from "../assert.ts";
import { OsError } from "../../lib/errors.ts";
import { deviceName, statFd, writeBarriers } from "../../lib/linux/file_status.ts";
import { openFd, OpenFlag, releaseFd } from "../../lib/linux/files.ts";
import { chattrProblem, Scratch, testUnless } from "../support/machine.ts";

Deno.test("statFd() says what the runtime says of the path, of every kind of file", () => {
  using scratch = new Scratch();
  const file = scratch.file("file", "1234567");
  Deno.linkSync(file, scratch.file("second name"));
  Deno.utimeSync(file, new Date(0), new Date(1_234_567_890_123));
  assert(new Deno.Command("mkfifo", { args: [scratch.file("fifo")] }).outputSync().success);
  for (const path of [file, scratch.path, "/dev/null", scratch.file("fifo")]) {
    const fd = openFd(path, OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK);
    try {
      const info = Deno.statSync(path);
      const status = statFd(fd);
      for (const name of Object.keys(status) as (keyof typeof status)[]) {
        assertEquals<unknown>([path, name, status[name]], [path, name, info[name]]);
      }
    } finally {
      releaseFd(fd);
    }
  }
});

Deno.test("statFd() fails for a descriptor that is not open", () => {
  assertEquals(assertThrows(() => statFd(987_654), OsError).errnoName, "EBADF");
});

testUnless(chattrProblem(), "writeBarriers() knows what chattr has set", () => {
  using scratch = new Scratch();
  const path = scratch.file("x", "");
  const chattr = (change: string) =>
    assert(new Deno.Command("chattr", { args: [change, path] }).outputSync().success);
  assertEquals(writeBarriers(path), { isImmutable: false, isAppendOnly: false });
  chattr("+i");
  assertEquals(writeBarriers(path), { isImmutable: true, isAppendOnly: false });
  chattr("-i");
  chattr("+a");
  assertEquals(writeBarriers(path), { isImmutable: false, isAppendOnly: true });
  chattr("-a");
  assertEquals(writeBarriers("/nowhere"), { isImmutable: false, isAppendOnly: false });
});

Deno.test("deviceName() takes both halves of major and minor", () => {
  assertEquals(deviceName(0x0801), "8:1");
  // makedev(259, 1048577): minor numbers above 255 go to bit 20 and up.
  assertEquals(deviceName(259 * 256 + 1 + 4096 * 2 ** 20), "259:1048577");
});

Deno.test("deviceName() agrees with the kernel about /dev/null", () => {
  assertEquals(deviceName(Deno.statSync("/dev/null").rdev!), "1:3");
});
