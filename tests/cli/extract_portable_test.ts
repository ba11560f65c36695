/**
 * What a portable `backy-extract` needs of its host, and what it leaves there: nothing. More hosts
 * are tried by `tests/userlands.sh`, the stub by itself by `tests/release/stub_test.ts`.
 */

import { packPlain, packPortable, readStub } from "../../release/portable/pack.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { Scratch, testUnless } from "../support/machine.ts";
import { lockMounts } from "../support/mount_lock.ts";
import { extractPortableProblem } from "../support/portable.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { EXTRACT } from "../support/tool.ts";
import { until } from "../support/wait.ts";
import { assertSuccess, extract, startExtract } from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

const CLOSE_INHERITED = 'for fd in $(seq 3 255); do eval "exec $fd>&-"; done;';

/** Restores to a file and to standard output, in a shell line around the tool. */
async function assertRestores(shell: string): Promise<void> {
  using scratch = new Scratch();
  const output = scratch.file("image");
  assertSuccess(await extract([store.revision.path, output], { shell }));
  assertBytes(Deno.readFileSync(output), store.image);
  const streamed = await extract(["-q", store.revision.path], { shell });
  assertEquals([streamed.code, streamed.stderr], [0, ""]);
  assertBytes(streamed.stdout, store.image);
}

const problem = extractPortableProblem;

for (
  const injections of [
    ["memfd_create:error=ENOSYS"],
    ["memfd_create:error=EPERM"],
    ["memfd_create:error=EINVAL:when=1+2"],
  ]
) {
  testUnless(
    problem ?? programProblem("strace"),
    `Restores work where memory files are refused: ${injections}`,
    async () => {
      const options = injections.map((injection) => `-e inject=${injection}`).join(" ");
      await assertRestores(`exec strace -o /dev/null ${options} "$@"`);
    },
  );
}

testUnless(problem, "With few descriptors it starts, or says why not in one line", async () => {
  for (const limit of [6, 9, 12, 14, 15, 16, 17, 18, 19, 20, 22, 24, 28]) {
    const shell = `${CLOSE_INHERITED} ulimit -n ${limit}; exec "$@"`;
    const version = await extract(["--version"], { shell });
    const said = `${limit}: ${version.stderr}`;
    if (limit >= 15) assertEquals(version.code, 0, said);
    else assertEquals(version.code, 1, said);
    const restore = await extract(["-q", store.revision.path, "image"], { shell });
    assertEquals(restore.signal, null, `${limit}: ${restore.stderr}`);
    if (restore.code === 0) continue;
    assertEquals(restore.code, 1, `${limit}: ${restore.stderr}`);
    assert(/^backy-extract: [^\n]*ulimit -n[^\n]*\n$/.test(restore.stderr), restore.stderr);
  }
});

testUnless(problem, "The user's libraries do not get into it", async () => {
  for (const name of ["LD_PRELOAD", "LD_AUDIT"]) {
    // The shell would complain of them.
    await assertRestores(`exec env ${name}=/lib/none.so LD_LIBRARY_PATH=/tmp LD_BIND_NOW=1 "$@"`);
  }
});

testUnless(
  problem ?? (Deno.uid() === 0 ? programProblem("cc", "unshare") : "needs root"),
  "Libraries that a newer host has in every process do not get into it",
  async () => {
    using _lock = lockMounts("alone");
    using scratch = new Scratch();
    // A C library with a version of the future, and what was linked to it.
    const make = (name: string, source: string, ...options: string[]) =>
      runSync(
        ...["cc", "-shared", "-fPIC", "-o", scratch.file(name)] as const,
        ...["-x", "c", scratch.file(`${name}.c`, source), "-x", "none", ...options],
      );
    const map = scratch.file("map", "GLIBC_9.99 { global: tomorrow; };");
    const future = [`-Wl,--version-script=${map}`, "-Wl,-soname,libc.so.6", "-nostdlib"];
    make("libc.so.6", "void tomorrow(void) {}", ...future);
    make(
      "newer.so",
      "void tomorrow(void); void today(void) { tomorrow(); }",
      ...["-nostdlib", scratch.file("libc.so.6")],
    );
    const etc = scratch.file("etc");
    Deno.mkdirSync(etc);
    Deno.writeTextFileSync(`${etc}/ld.so.preload`, `${scratch.file("newer.so")}\n`);
    const inside = (...command: string[]) =>
      [
        "unshare",
        "--mount",
        "sh",
        "-c",
        `mount -t overlay -o lowerdir=${etc}:/etc none /etc
        exec "$@"`,
        "sh",
        ...command,
      ].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
    const control = new Deno.Command("sh", { args: ["-c", inside("true")] }).outputSync();
    assertEquals(control.success, false, "it keeps no program from starting");
    await assertRestores(`exec ${inside(...EXTRACT)} "\${@:2}"`);
  },
);

testUnless(problem, "A process looks as its user started it", async () => {
  using scratch = new Scratch();
  const fifo = scratch.file("fifo");
  runSync("mkfifo", fifo);
  const variables = ["HOME=/h", "LD_PRELOAD=/lib/none.so", "DENO_LOG=x", "A=b"];
  const shell = `exec env -i ${variables.join(" ")} "$@"`;
  await using tool = startExtract([store.revision.path, fifo], { shell });
  const read = (name: string) => Deno.readTextFileSync(`/proc/${tool.pid}/${name}`).split("\0");
  await until(() => tool.said.includes("waiting") || tool.hasEnded, "the wait for a reader");
  assertEquals(read("environ"), [...variables, ""]);
  assertEquals(read("cmdline"), [...EXTRACT, store.revision.path, fifo, ""]);
  assertEquals(Deno.readLinkSync(`/proc/${tool.pid}/exe`), EXTRACT[0]);
  tool.signal("SIGINT");
  assertEquals((await tool.outcome()).code, 130);
});

testUnless(problem, "It starts by any name, and where it was moved to", async () => {
  using scratch = new Scratch();
  Deno.mkdirSync(scratch.file("bin"));
  // A copy shares the disk's blocks where it can; a link has the same name in /proc.
  runSync("cp", "--reflink=auto", EXTRACT[0]!, scratch.file("bin/backy-extract"));
  Deno.symlinkSync("bin/backy-extract", scratch.file("link"));
  const folder = scratch.path;
  for (
    const line of [
      `cd '${folder}/bin'; exec ./backy-extract "$@"`,
      `cd '${folder}'; exec bin/../link "$@"`,
      `PATH='${folder}/bin'; exec backy-extract "$@"`,
      // Moved only once.
      `cd '${folder}/moved' 2>/dev/null || { cd '${folder}/bin'; mv ../bin ../moved; }; exec env ./backy-extract "$@"`,
      `cd '${folder}/moved'; exec 9<backy-extract; exec /proc/self/fd/9 "$@"`,
    ]
  ) {
    await assertRestores(`shift; ${line}`);
  }
});

testUnless(problem, "A packed file is not packed once more", () => {
  const packed = Deno.readFileSync(EXTRACT[0]!);
  const options = { stub: readStub(Deno.build.arch), tool: "backy-extract" };
  const says = 'Cannot pack "backy-extract": it is static, or packed already';
  assertThrows(() => packPlain(packed, options), Error, says);
  const loader = { name: "ld.so", content: new Uint8Array() };
  assertThrows(() => packPortable(packed, { ...options, loader, libraries: [] }), Error, says);
});
