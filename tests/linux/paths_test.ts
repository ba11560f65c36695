import { OsError } from "../../lib/errors.ts";
import { closeFd, openFd, OpenFlag, writeAll } from "../../lib/linux/files.ts";
import { isInside, readBeginning, readText, writeText } from "../../lib/linux/paths.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { makeFifo, Scratch } from "../support/machine.ts";

Deno.test("readBeginning() reads up to the end or the bound, at any length", () => {
  using scratch = new Scratch();
  for (const length of [0, 1, 65_535, 65_536, 65_537, 300_000]) {
    const content = Uint8Array.from({ length }, (_, index) => index % 251);
    const path = scratch.file(`f${length}`, content);
    assertEquals(readBeginning(path, 1_000_000), content);
    assertEquals(readBeginning(path, 70_000), content.subarray(0, 70_000));
    assertEquals(readBeginning(path, 1), content.subarray(0, 1));
  }
});

Deno.test("readText() reads what the kernel makes up, whose length is said to be 0", () => {
  const text = readText("/proc/self/status");
  assert(text.startsWith("Name:") && text.includes(`\nPid:\t${Deno.pid}\n`), text);
});

Deno.test("readBeginning() of a FIFO does not wait for a writer", async () => {
  using scratch = new Scratch();
  const path = scratch.file("fifo");
  await makeFifo(path);
  assertEquals(readBeginning(path, 10).length, 0);
});

Deno.test("writeText() to a FIFO does not wait for a reader", async () => {
  using scratch = new Scratch();
  const path = scratch.file("fifo");
  await makeFifo(path);
  assertEquals(assertThrows(() => writeText(path, "x"), OsError).errnoName, "ENXIO");
});

Deno.test("openFd() with O_EXCL says EEXIST where there is something, a link to nothing too", () => {
  using scratch = new Scratch();
  const file = scratch.file("file", "x");
  const link = scratch.file("link");
  Deno.symlinkSync(scratch.file("nothing"), link);
  for (const path of [file, link]) {
    const flags = OpenFlag.O_WRONLY | OpenFlag.O_CREAT | OpenFlag.O_EXCL;
    assertEquals(assertThrows(() => openFd(path, flags), OsError).errnoName, "EEXIST");
  }
});

Deno.test("What cannot be opened is an OsError with its errno", () => {
  using scratch = new Scratch();
  const missing = scratch.file("missing");
  for (const act of [() => readText(missing), () => writeText(missing, "x")]) {
    assertEquals(assertThrows(act, OsError).errnoName, "ENOENT");
  }
  assertEquals(assertThrows(() => readText("/proc"), OsError).errnoName, "EISDIR");
});

Deno.test("writeText() and writeAll() write all, and writeText() does not truncate", () => {
  using scratch = new Scratch();
  const path = scratch.file("text", "0123456789");
  writeText(path, "abc");
  assertEquals(Deno.readTextFileSync(path), "abc3456789");
  const content = new Uint8Array(1_000_003).fill(7);
  const fd = openFd(path, OpenFlag.O_WRONLY);
  writeAll(fd, content, path);
  closeFd(fd);
  assertEquals(Deno.readFileSync(path), content);
});

Deno.test("isInside() compares whole names", () => {
  for (const [path, dir] of [["/a", "/a"], ["/a/b", "/a"], ["/a", "/"], ["/", "/"]] as const) {
    assert(isInside(path, dir), `${path} in ${dir}`);
  }
  for (const [path, dir] of [["/ab", "/a"], ["/", "/a"], ["", "/"]] as const) {
    assert(!isInside(path, dir), `${path} not in ${dir}`);
  }
});
