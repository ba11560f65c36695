import { assert, assertEquals, assertThrows } from "../assert.ts";
import { OsError } from "../../lib/errors.ts";
import { statFd, writeBarriers } from "../../lib/linux/file_status.ts";
import { openFd, OpenFlag, releaseFd } from "../../lib/linux/libc.ts";
import { chattrProblem, Scratch, testUnless } from "../target/machine.ts";

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
