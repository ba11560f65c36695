/**
 * A lack of descriptors is not the store's fault: the limit is reached while a store is read.
 */

import { OsError } from "../../lib/errors.ts";
import { Errno, osError, rethrowLack } from "../../lib/linux/errno.ts";
import { assertEquals, assertThrows } from "../assert.ts";
import { addRevision, makeStore, sampleBytes } from "../support/store_builder.ts";
import { Scratch, testUnless } from "../support/machine.ts";
import { programProblem, runSync, scriptCommand } from "../support/programs.ts";

Deno.test("rethrowLack() throws on what says nothing of the file, and nothing else", () => {
  const cases: [errno: number, advice: string][] = [
    [Errno.EMFILE, "Too many open files (EMFILE); raise the limit of open files (ulimit -n)"],
    [
      Errno.ENFILE,
      "Too many open files in system (ENFILE); raise the system's limit of open files (fs.file-max)",
    ],
    [Errno.ENOMEM, "Cannot allocate memory (ENOMEM); free some memory"],
  ];
  for (const [errno, says] of cases) {
    const own = osError(errno, { syscall: "open", path: "/s/r" });
    const runtimes = new Error(`Whatever (os error ${errno}): stat '/s/r'`);
    for (const error of [own, runtimes]) {
      assertThrows(() => rethrowLack(error, "/s/r"), OsError, `Cannot read "/s/r": ${says}`);
    }
  }
  for (const errno of [Errno.ENOENT, Errno.EACCES, Errno.EIO]) {
    rethrowLack(osError(errno, { syscall: "open", path: "/s/r" }), "/s/r");
  }
  rethrowLack(new TypeError("a bug"), "/s/r");
});

/**
 * Reads a store without a free descriptor, in another process. @returns The code of each error.
 */
function readWithoutDescriptors(basedir: string): string[] {
  const code = `
    const { openFd } = await import(lib("linux/files.ts"));
    const { readRevisionMap } = await import(lib("store/revision_map.ts"));
    const { readRevisionInfo } = await import(lib("store/revision_info.ts"));
    const { readCatalog } = await import(lib("store/catalog.ts"));
    const { requireStore } = await import(lib("store/store.ts"));
    const { PurgeLock } = await import(lib("store/purge_lock.ts"));
    const dir = "${basedir}";
    try { for (;;) openFd("/", 0); } catch { /* none is left */ }
    const reads = [
      () => readRevisionMap(dir + "/R"),
      () => readRevisionInfo(dir + "/R.rev"),
      () => readCatalog(dir),
      () => requireStore(dir),
      () => PurgeLock.acquire({ basedir: dir, timeoutMs: 0, onEvent: () => {} }),
    ];
    const codes = [];
    for (const read of reads) {
      try { await read(); codes.push("none"); } catch (error) { codes.push(error.code); }
    }
    console.log(codes.join());
  `;
  return runSync("sh", "-c", `exec prlimit --nofile=60:60 -- ${scriptCommand(code)}`).split(",");
}

testUnless(
  programProblem("prlimit"),
  "No reader of a store calls it bad for want of descriptors",
  () => {
    using scratch = new Scratch();
    const basedir = scratch.file("vm0");
    makeStore(basedir);
    addRevision(basedir, "R", [sampleBytes(1)]);
    assertEquals(readWithoutDescriptors(basedir), Array(5).fill("os"));
  },
);
