/**
 * What the stub refuses, in one line and with the tool's exit code, and what it falls back to. In a
 * small program in place of the runtime, plain and portable; in the tools by
 * `tests/cli/extract_start_test.ts`.
 */

import { assert, assertEquals } from "../assert.ts";
import { Scratch, testUnless } from "../support/machine.ts";
import { lockMounts } from "../support/mount_lock.ts";
import { programProblem } from "../support/programs.ts";
import {
  CLOSE_INHERITED,
  packProgram,
  portableProblem,
  problem,
  shell,
  testBoth,
} from "./packed_program.ts";

testBoth("The stub refuses what Rust does not take for UTF-8", (kind) => {
  using scratch = new Scratch();
  const path = packProgram(scratch, kind);
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const isUtf8 = (bytes: readonly number[]) => {
    try {
      decoder.decode(new Uint8Array(bytes));
      return true;
    } catch {
      return false;
    }
  };
  // Bytes at the edges of what may come first and what may follow, whole and cut short.
  const samples: number[][] = [];
  const leads = [
    0x01,
    0x7f,
    0x80,
    0xbf,
    0xc0,
    0xc1,
    0xc2,
    0xdf,
    0xe0,
    0xe1,
    0xec,
    0xed,
    0xee,
    0xef,
  ];
  for (const lead of [...leads, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff]) {
    samples.push([lead]);
    for (const next of [0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0]) {
      samples.push([lead, next], [lead, next, 0x80], [lead, next, 0xbf, 0x80], [lead, next, 0xc0]);
    }
  }
  const word = (bytes: number[]) =>
    `$'${bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}'`;
  // It is the same code in both, and a portable program takes longer to start.
  const tried = samples.filter((_, i) => kind === "plain" || i % 8 === 0);
  const lines = tried.map((bytes) => `"$1" ${word(bytes)} >/dev/null 2>&1; echo $?`);
  const { stdout } = shell(lines.join("\n"), path);
  const expected = tried.map((bytes) => isUtf8(bytes) ? "5" : "2");
  assertEquals(stdout.trim().split("\n"), expected);
});

testBoth("An argument that is not UTF-8 is named by its place", (kind) => {
  using scratch = new Scratch();
  const path = packProgram(scratch, kind);
  const { code, stdout, stderr } = shell(
    `exec "$1" a b c d e f g h i j $'x\\xff' $'y\\xff'`,
    path,
  );
  assertEquals(code, 2);
  // The constructor ran, whose output is not flushed.
  assertEquals(stdout, "");
  assertEquals(
    stderr,
    "the-tool: Cannot use argument 11: it is not UTF-8; make a link to the file, and name that\n",
  );
});

const rootProblem = Deno.uid() === 0 ? programProblem("unshare", "setpriv") : "needs root";

/** Registers a test for both kinds that gets a line refused: exit code 1 and one message. */
function testRefusal(name: string, line: string, message: string): void {
  for (const [kind, kindProblem] of [["plain", problem], ["portable", portableProblem]] as const) {
    testUnless(kindProblem ?? rootProblem, `${name} (${kind})`, () => {
      using _lock = line.includes("unshare") ? lockMounts("alone") : null;
      using scratch = new Scratch();
      const path = packProgram(scratch, kind);
      Deno.chmodSync(scratch.path, 0o755);
      const { code, stdout, stderr } = shell(line, path);
      assertEquals([code, stdout, stderr], [1, "", `the-tool: Cannot start${message}\n`]);
    });
  }
}

testRefusal(
  "The stub says that /proc is missing",
  `exec unshare --mount sh -c 'umount -l /proc; exec "$1" a b' sh "$1"`,
  ": /proc is not mounted; mount it: mount -t proc proc /proc",
);

const AS_NOBODY = "exec setpriv --reuid 65534 --regid 65534 --clear-groups";

testRefusal(
  "The stub refuses raised rights",
  `chmod 4755 "$1"; ${AS_NOBODY} "$1" a b`,
  " with raised rights (set-user-id, set-group-id, file capabilities, or a security module's " +
    "rule): start a plain copy of the file, as a user who has these rights",
);

for (
  const [state, line] of [
    ["may only be executed", `chmod 711 "$1"; ${AS_NOBODY} "$1" a b`],
    ["was removed", 'exec 9<"$1"; rm "$1"; exec /proc/self/fd/9 a b'],
  ] as const
) {
  testRefusal(
    `The stub says that the runtime cannot read its file, as it ${state}`,
    line,
    ": it cannot read its own file, which was removed or replaced, or may only be executed",
  );
}

testRefusal(
  "The stub does without /dev/null only where no descriptor is closed",
  `exec unshare --mount sh -c 'mount -t tmpfs none /dev; "$1" a b >/dev/nul || test $? = 5 || exit 9
   exec "$1" a b <&-' sh "$1"`,
  ": a standard descriptor is closed, and /dev/null cannot take its place",
);

/** Runs the program with system calls that fail: each as strace's `inject` has it. */
function failing(path: string, ...injections: string[]) {
  const options = injections.map((injection) => `-e inject=${injection}`).join(" ");
  return shell(`exec strace -o /dev/null ${options} "$1" a b`, path);
}

const noPlace = "the-tool: Cannot start: no place for the C library: neither memory files nor " +
  "/dev/shm, /run, /tmp or /var/tmp have room and may hold code\n";

testUnless(
  portableProblem ?? programProblem("strace"),
  "Where memory files are refused, others without names take their place",
  () => {
    using scratch = new Scratch();
    const path = packProgram(scratch, "portable");
    for (
      const injections of [
        ["memfd_create:error=EPERM"],
        ["memfd_create:error=ENOSYS"],
        // Before Linux 6.3: a flag is not known.
        ["memfd_create:error=EINVAL:when=1..3+2"],
        // No room: in memory, then in the first folder as well.
        ["write:error=ENOSPC:when=1"],
        ["memfd_create:error=ENOSYS", "write:error=ENOSPC:when=1"],
        // Code may not be run from there.
        ["mmap:error=EACCES:when=2"],
      ]
    ) {
      const { code, stdout, stderr } = failing(path, ...injections);
      assertEquals([code, stderr], [5, ""], `${injections}`);
      assert(stdout.includes("argument b\n"), stdout);
    }
    // The first file that is opened is its own.
    const nowhere = failing(path, "memfd_create:error=EPERM", "openat:error=EPERM:when=2+");
    assertEquals(nowhere, { code: 1, stdout: "", stderr: noPlace });
  },
);

testUnless(
  portableProblem ?? rootProblem ?? programProblem("strace"),
  "Where memory files are refused, full and noexec folders are passed over",
  () => {
    using _lock = lockMounts("alone");
    using scratch = new Scratch();
    const path = packProgram(scratch, "portable");
    const started = (mounts: string) =>
      shell(
        `exec unshare --mount sh -c '${mounts}
           exec strace -o /dev/null -e inject=memfd_create:error=ENOSYS "$1" a b' sh "$1"`,
        path,
      );
    const full = "-o size=64k,nr_inodes=100", noexec = "-o noexec";
    const first = `mount -t tmpfs ${full} none /dev/shm; mount -t tmpfs ${noexec} none /run;`;
    const { code, stderr } = started(first);
    assertEquals([code, stderr], [5, ""]);
    // /tmp holds the program itself.
    const all = `exec 9<"$1"; ${first} mount -t tmpfs ${full} none /var/tmp
      mount -t tmpfs -o size=16m none /tmp; cat <&9 >/tmp/program; chmod +x /tmp/program
      dd if=/dev/zero of=/tmp/rest 2>/dev/null; set -- /tmp/program;`;
    assertEquals(started(all), { code: 1, stdout: "", stderr: noPlace });
  },
);

testUnless(
  portableProblem,
  "A limit on the size of files that the libraries exceed is named",
  () => {
    using scratch = new Scratch();
    const path = packProgram(scratch, "portable");
    assertEquals(shell('ulimit -f 100; exec "$1" a b', path), {
      code: 1,
      stdout: "",
      stderr:
        "the-tool: Cannot start: files may not be as large as the C library; raise the limit (ulimit -f)\n",
    });
    // The signal that it would have got is as it was.
    for (const [trap, ignored] of [["", 0], ["trap '' XFSZ; ", 1]] as const) {
      const { stdout } = shell(`${trap}ulimit -f 40000; exec "$1" a b`, path);
      assert(stdout.includes(`xfsz ${ignored}\n`), stdout);
    }
  },
);

for (const limit of [4, 5, 6, 7, 8, 10, 14]) {
  testRefusal(
    `The stub says that the runtime cannot open enough files with a limit of ${limit}`,
    `${CLOSE_INHERITED} ulimit -n ${limit}; exec "$1" a b`,
    ": too few open files are allowed; raise the limit (ulimit -n)",
  );
}
