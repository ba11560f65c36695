/**
 * The entry stub, in a small program in place of the runtime: it must find all as it would without,
 * but for what the stub is for. With the runtime it is tested by `tests/cli/extract_start_test.ts`.
 */

import { insertEntryStub, readEntryStub } from "../../release/entry_stub.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { testUnless } from "../support/test_unless.ts";
import { programProblem, run, Scratch } from "../target/machine.ts";

const FOLDER = new URL("../../release/entry_stub/", import.meta.url).pathname;
const machine = Deno.build.arch;
const stub = readEntryStub(machine);
const problem = programProblem("cc", "readelf", "bash");

/** Tells what it was started with, and in which order its parts ran. */
const PROGRAM = `
  #include <fcntl.h>
  #include <signal.h>
  #include <stdio.h>
  #include <stdlib.h>
  #include <sys/stat.h>
  #include <sys/sysmacros.h>
  #include <sys/auxv.h>
  #include <unistd.h>
  extern char **environ;
  static int zeros[5000];
  static _Thread_local int local = 7;
  __attribute__((constructor)) static void first(void) { printf("constructor\\n"); }
  __attribute__((destructor)) static void last(void) { printf("destructor\\n"); }
  static void at_exit(void) { printf("atexit\\n"); }
  static int ignores(int number) {
    struct sigaction action;
    sigaction(number, NULL, &action);
    return action.sa_handler == SIG_IGN;
  }
  static int tell_descriptors(int to) {
    for (int fd = 0; fd < 3; fd++) {
      struct stat status;
      int is_null = fstat(fd, &status) == 0 && status.st_rdev == makedev(1, 3);
      dprintf(to, "%d: %s, mode %d\\n", fd, is_null ? "null" : "other", fcntl(fd, F_GETFL) & O_ACCMODE);
    }
    return 5;
  }
  int main(int count, char **arguments) {
    char path[4096];
    if (count == 2) return tell_descriptors(atoi(arguments[1]));
    atexit(at_exit);
    for (int i = 1; i < count; i++) printf("argument %s\\n", arguments[i]);
    for (char **entry = environ; *entry; entry++) printf("variable %s\\n", *entry);
    printf("directory %s\\n", getcwd(path, sizeof path));
    printf("ignored %d %d %d\\n", ignores(SIGHUP), ignores(SIGUSR1), ignores(64));
    printf("state %d %d %d\\n", zeros[4999], local, getauxval(AT_PAGESZ) >= 4096);
    return 5;
  }
`;

/** Compiles the program and appends a text, as \`deno compile\` does. Returns its bytes. */
function compileProgram(scratch: Scratch, ...options: string[]): Uint8Array<ArrayBuffer> {
  return compileBy("cc", scratch, ...options);
}

function compileBy(
  compiler: string,
  scratch: Scratch,
  ...options: string[]
): Uint8Array<ArrayBuffer> {
  const path = scratch.file("program");
  run(compiler, "-o", path, ...options, "-fPIE", "-x", "c", scratch.file("program.c", PROGRAM));
  const program = Deno.readFileSync(path);
  const whole = new Uint8Array(program.length + APPENDED.length);
  whole.set(program);
  whole.set(APPENDED, program.length);
  return whole;
}

const APPENDED = new TextEncoder().encode("appended: the runtime looks for this at the end");

/** Puts the stub into the program. Returns its path. */
function packProgram(scratch: Scratch): string {
  const packed = insertEntryStub(compileProgram(scratch, "-pie"), {
    stub,
    tool: "the-tool",
  });
  const path = scratch.file("packed", packed);
  Deno.chmodSync(path, 0o755);
  return path;
}

/** Runs a shell line with the program's path as `$1`. */
function shell(line: string, path: string): { code: number; stdout: string; stderr: string } {
  const decoder = new TextDecoder();
  const { code, stdout, stderr } = new Deno.Command("bash", {
    args: ["-c", line, "bash", path],
    env: { PATH: Deno.env.get("PATH") ?? "", TZ: "UTC" },
    clearEnv: true,
    cwd: "/tmp",
  }).outputSync();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

testUnless(problem, "A program with the stub runs as without it, its end included", () => {
  using scratch = new Scratch();
  const { code, stdout } = shell('exec env -i TERM=x "$1" a "b c"', packProgram(scratch));
  assertEquals(
    stdout,
    "constructor\nargument a\nargument b c\nvariable TERM=x\ndirectory /tmp\nignored 0 1 0\n" +
      "state 0 7 1\natexit\ndestructor\n",
  );
  assertEquals(code, 5);
});

testUnless(problem, "The stub keeps the variables that are needed, and no others", () => {
  using scratch = new Scratch();
  const { stdout } = shell(
    'exec env -i DENO_LOG=x PATH=/a PATHS=x TERM= TER=x NO_COLOR=1 NO_COLO=1 LD_X=1 TZ=UTC T= "$1"',
    packProgram(scratch),
  );
  const variables = stdout.split("\n").filter((line) => line.startsWith("variable "));
  assertEquals(variables, [
    "variable PATH=/a",
    "variable TERM=",
    "variable NO_COLOR=1",
    "variable TZ=UTC",
  ]);
});

testUnless(
  problem,
  "The stub leaves a directory that was removed or is not UTF-8, and no other",
  () => {
    using scratch = new Scratch();
    const path = packProgram(scratch);
    Deno.mkdirSync(scratch.file("\u00e4\u{1f4be}"));
    for (
      const [line, directory, hasLeft] of [
        ['cd "${1%/*}"; mkdir x; cd x; rmdir ../x', "/", 1],
        [`cd "\${1%/*}"; mkdir $'x\\xff'; cd $'x\\xff'`, "/", 1],
        ['cd "${1%/*}"; cd \u00e4*', scratch.file("\u00e4\u{1f4be}"), 0],
        ["cd /", "/", 0],
        // What is inherited is no sign.
        ["cd /; trap '' 64", "/", 0],
      ] as const
    ) {
      const { stdout } = shell(`${line}; exec "$1"`, path);
      const lines = stdout.split("\n");
      assert(lines.includes(`directory ${directory}`), stdout);
      assert(lines.includes(`ignored 0 1 ${hasLeft}`), stdout);
    }
  },
);

testUnless(problem, "The stub leaves ignored signals alone", () => {
  using scratch = new Scratch();
  const { stdout } = shell(`trap "" HUP; exec "$1"`, packProgram(scratch));
  assert(stdout.includes("ignored 1 1 0\n"), stdout);
});

testUnless(problem, "The stub opens closed descriptors, standard output not for writing", () => {
  using scratch = new Scratch();
  const path = packProgram(scratch);
  const tell = (redirections: string) => {
    return shell(`exec 9>&1 0<"$1" 1>>"$1.out" 2>&1; "$1" 9 ${redirections}`, path).stdout;
  };
  const [stdin, stdout, stderr] = ["0: null, mode 2\n", "1: null, mode 0\n", "2: null, mode 2\n"];
  const open = ["0: other, mode 0\n", "1: other, mode 1\n", "2: other, mode 1\n"] as const;
  assertEquals(tell(""), open.join(""));
  assertEquals(tell("0<&-"), stdin + open[1] + open[2]);
  assertEquals(tell("1>&-"), open[0] + stdout + open[2]);
  assertEquals(tell("2>&-"), open[0] + open[1] + stderr);
  assertEquals(tell("0<&- 1>&-"), stdin + stdout + open[2]);
  assertEquals(tell("0<&- 1>&- 2>&-"), stdin + stdout + stderr);
});

testUnless(problem, "The stub refuses what Rust does not take for UTF-8", () => {
  using scratch = new Scratch();
  const path = packProgram(scratch);
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
  const lines = samples.map((bytes) => `"$1" ${word(bytes)} >/dev/null 2>&1; echo $?`);
  const { stdout } = shell(lines.join("\n"), path);
  const expected = samples.map((bytes) => isUtf8(bytes) ? "5" : "2");
  assertEquals(stdout.trim().split("\n"), expected);
});

testUnless(problem, "An argument that is not UTF-8 is named by its place", () => {
  using scratch = new Scratch();
  const path = packProgram(scratch);
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

testUnless(problem, "What was appended is at the end, and readelf finds nothing wrong", () => {
  using scratch = new Scratch();
  const path = packProgram(scratch);
  assertEquals(Deno.readFileSync(path).subarray(-APPENDED.length), APPENDED);
  const { success, stderr, stdout } = new Deno.Command("readelf", {
    args: ["--wide", "--headers", path],
  }).outputSync();
  assert(success);
  assertEquals(new TextDecoder().decode(stderr), "");
  const text = new TextDecoder().decode(stdout);
  assert(!/warning|error/i.test(text), text);
});

testUnless(problem, "insertEntryStub() refuses what is no executable of deno compile", () => {
  using scratch = new Scratch();
  const options = { stub, tool: "the-tool" };
  const whole = compileProgram(scratch, "-pie");
  const packed = insertEntryStub(whole, options);
  // A second time would find no header left, or use another note: the program of cc has several.
  const wrong = [
    new Uint8Array(0),
    new TextEncoder().encode("#!/bin/sh\n".repeat(20)),
    whole.slice(0, 4096),
    compileProgram(scratch, "-static-pie"),
    compileProgram(scratch, "-no-pie"),
  ];
  for (const bytes of wrong) {
    assertThrows(() => insertEntryStub(bytes, options), Error, "Cannot insert the entry stub: ");
  }
  assertThrows(
    () => insertEntryStub(whole, { ...options, tool: "x".repeat(24) }),
    Error,
    "too long",
  );
  assert(packed.length > whole.length);
});

const foreignProblem = machine === "aarch64"
  ? "it is this machine's own"
  : programProblem("aarch64-linux-gnu-gcc", "qemu-aarch64");

testUnless(foreignProblem, "The stub for aarch64 does the same (under qemu)", () => {
  using scratch = new Scratch();
  const foreign = readEntryStub("aarch64");
  const program = compileBy("aarch64-linux-gnu-gcc", scratch, "-pie");
  const path = scratch.file(
    "packed",
    insertEntryStub(program, { stub: foreign, tool: "the-tool" }),
  );
  Deno.chmodSync(path, 0o755);
  const qemu = "qemu-aarch64 -L /usr/aarch64-linux-gnu";
  const line = `cd "\${1%/*}"; mkdir x; cd x; rmdir ../x; exec env -i PATH="$PATH" DENO_LOG=x TZ=y`;
  const { code, stdout, stderr } = shell(`${line} ${qemu} "$1" a "b c"`, path);
  // The last signal is one that qemu keeps to itself.
  assertEquals(
    stdout.replace(/variable PATH=.*\n/, "").replace(/(ignored 0 1) \d/, "$1"),
    "constructor\nargument a\nargument b c\nvariable TZ=y\ndirectory /\nignored 0 1\n" +
      "state 0 7 1\natexit\ndestructor\n",
    stderr,
  );
  assertEquals(code, 5);
  const refused = shell(`exec ${qemu} "$1" $'\\xff'`, path);
  assertEquals(refused.code, 2);
  assert(refused.stderr.startsWith("the-tool: Cannot use argument 1: "), refused.stderr);
});

for (const [name, prefix] of [["x86_64", "x86_64-linux-gnu-"], ["aarch64", "aarch64-linux-gnu-"]]) {
  const [cc, ld, objcopy] = [`${prefix}gcc`, `${prefix}ld`, `${prefix}objcopy`];
  testUnless(
    compilerProblem(cc, ld, objcopy),
    `The stub's bytes for ${name} are those of its source`,
    () => {
      const bytes = run("env", `CC=${cc}`, `LD=${ld}`, `OBJCOPY=${objcopy}`, `${FOLDER}build.sh`);
      assertEquals(`${bytes}\n`, Deno.readTextFileSync(`${FOLDER}${name}.hex`));
    },
  );
}

/** The stub's bytes were made by certain versions; others may make others of the same source. */
function compilerProblem(cc: string, ld: string, objcopy: string): string | null {
  const absent = programProblem(cc, ld, objcopy);
  if (absent !== null) return absent;
  const version = (program: string) => run(program, "--version").split("\n")[0]!;
  const isSame = /\b12\.2\.0$/.test(version(cc)) && /\b2\.40$/.test(version(ld));
  return isSame ? null : `${version(cc)}, ${version(ld)}: not gcc 12.2.0 and binutils 2.40`;
}
