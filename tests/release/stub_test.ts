/**
 * The stub, in a small program in place of the runtime, plain and portable: it must find all as it
 * would without, but for what the stub is for. With the runtime it is tested by
 * `tests/cli/extract_start_test.ts`.
 */

import {
  type PackedLibrary,
  packPlain,
  packPortable,
  readStub,
} from "../../release/portable/pack.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { Scratch, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";

const FOLDER = new URL("../../release/portable/stub/", import.meta.url).pathname;
const machine = Deno.build.arch;
const stub = readStub(machine);
const problem = programProblem("cc", "readelf", "bash");
const portableProblem = problem ?? loaderProblem();

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
  runSync(compiler, "-o", path, ...options, "-fPIE", "-x", "c", scratch.file("program.c", PROGRAM));
  const program = Deno.readFileSync(path);
  const whole = new Uint8Array(program.length + APPENDED.length);
  whole.set(program);
  whole.set(APPENDED, program.length);
  return whole;
}

const APPENDED = new TextEncoder().encode("appended: the runtime looks for this at the end");

/** The C library of this machine, with the loader that belongs to it. */
function hostLibraries(): { loader: PackedLibrary; libraries: readonly PackedLibrary[] } {
  const [multiarch, loader] = machine === "x86_64"
    ? ["x86_64-linux-gnu", "ld-linux-x86-64.so.2"]
    : ["aarch64-linux-gnu", "ld-linux-aarch64.so.1"];
  const read = (name: string) => ({
    name,
    content: Deno.readFileSync(`/lib/${multiarch}/${name}`),
  });
  return { loader: read(loader!), libraries: ["libc.so.6", "libm.so.6"].map(read) };
}

type Kind = "plain" | "portable";

/** Makes a program executable of a kind. */
function pack(kind: Kind, program: Uint8Array<ArrayBuffer>, tool = "the-tool") {
  const options = { stub, tool };
  if (kind === "plain") return packPlain(program, options);
  return packPortable(program, { ...options, ...hostLibraries() });
}

/** Puts the stub into the program. Returns its path. */
function packProgram(scratch: Scratch, kind: Kind): string {
  const path = scratch.file("packed", pack(kind, compileProgram(scratch, "-pie")));
  Deno.chmodSync(path, 0o755);
  return path;
}

/** Registers a test for both kinds of executables. */
function testBoth(name: string, run: (kind: Kind) => void): void {
  testUnless(problem, `${name} (plain)`, () => run("plain"));
  testUnless(portableProblem, `${name} (portable)`, () => run("portable"));
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

testBoth("A program with the stub runs as without it, its end included", (kind) => {
  using scratch = new Scratch();
  const { code, stdout } = shell('exec env -i TERM=x "$1" a "b c"', packProgram(scratch, kind));
  assertEquals(
    stdout,
    "constructor\nargument a\nargument b c\nvariable TERM=x\ndirectory /tmp\nignored 0 1 0\n" +
      "state 0 7 1\natexit\ndestructor\n",
  );
  assertEquals(code, 5);
});

testBoth("The stub keeps the variables that are needed, and no others", (kind) => {
  using scratch = new Scratch();
  const { stdout } = shell(
    'exec env -i DENO_LOG=x PATH=/a PATHS=x TERM= TER=x NO_COLOR=1 NO_COLO=1 LD_X=1 TZ=UTC T= "$1"',
    packProgram(scratch, kind),
  );
  const variables = stdout.split("\n").filter((line) => line.startsWith("variable "));
  assertEquals(variables, [
    "variable PATH=/a",
    "variable TERM=",
    "variable NO_COLOR=1",
    "variable TZ=UTC",
  ]);
});

testBoth("The stub leaves a directory that was removed or is not UTF-8, and no other", (kind) => {
  using scratch = new Scratch();
  const path = packProgram(scratch, kind);
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
});

testBoth("The stub leaves ignored signals alone", (kind) => {
  using scratch = new Scratch();
  const { stdout } = shell(`trap "" HUP; exec "$1"`, packProgram(scratch, kind));
  assert(stdout.includes("ignored 1 1 0\n"), stdout);
});

testBoth("The stub opens closed descriptors, standard output not for writing", (kind) => {
  using scratch = new Scratch();
  const path = packProgram(scratch, kind);
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

testBoth("What was appended is at the end, and readelf finds nothing wrong", (kind) => {
  using scratch = new Scratch();
  const path = packProgram(scratch, kind);
  assertEquals(Deno.readFileSync(path).subarray(-APPENDED.length), APPENDED);
  const { success, stderr, stdout } = new Deno.Command("readelf", {
    args: ["--wide", "--headers", path],
  }).outputSync();
  assert(success);
  assertEquals(new TextDecoder().decode(stderr), "");
  const text = new TextDecoder().decode(stdout);
  assert(!/warning|error/i.test(text), text);
});

testBoth("What is no executable of deno compile is refused, and what is packed", (kind) => {
  using scratch = new Scratch();
  const whole = compileProgram(scratch, "-pie");
  const wrong = [
    new Uint8Array(0),
    new TextEncoder().encode("#!/bin/sh\n".repeat(20)),
    whole.slice(0, 4096),
    compileProgram(scratch, "-static-pie"),
    compileProgram(scratch, "-no-pie"),
    pack("plain", whole),
  ];
  if (portableProblem === null) wrong.push(pack("portable", whole));
  for (const bytes of wrong) assertThrows(() => pack(kind, bytes), Error, "Cannot pack ");
  assertThrows(() => pack(kind, whole, "x".repeat(24)), Error, "too long");
});

testUnless(portableProblem, "The same files make the same portable executable", () => {
  using scratch = new Scratch();
  const whole = compileProgram(scratch, "-pie");
  assertEquals(pack("portable", whole), pack("portable", whole));
});

testUnless(portableProblem, "packPortable() wants all libraries that are needed", () => {
  using scratch = new Scratch();
  const whole = compileProgram(scratch, "-pie", "-Wl,--no-as-needed", "-lm");
  const { loader, libraries } = hostLibraries();
  const [libc, libm] = libraries as [PackedLibrary, PackedLibrary];
  const pack = (...libraries: PackedLibrary[]) =>
    packPortable(whole, { stub, tool: "the-tool", loader, libraries });
  pack(libc, libm);
  assertThrows(() => pack(libc), Error, '"the-tool" needs libm.so.6');
  assertThrows(() => pack(libm), Error, "needs libc.so.6");
  assertThrows(() => pack(), Error, "0 libraries");
  const cut = { ...libc, content: libc.content.slice(0, 5000) };
  assertThrows(() => pack(cut, libm), Error, 'Cannot pack "libc.so.6": it is cut short');
});

testUnless(portableProblem, "A portable executable is static to whoever looks at it", () => {
  using scratch = new Scratch();
  const headers = runSync(
    "readelf",
    "--program-headers",
    "--wide",
    packProgram(scratch, "portable"),
  );
  assert(!/INTERP|DYNAMIC/.test(headers), headers);
});

testUnless(
  portableProblem,
  "No library takes the place of a standard descriptor that was closed, whatever the limit",
  () => {
    using scratch = new Scratch();
    const path = packProgram(scratch, "portable");
    const limits = "9 12 39 40 41 42 43 44 45 46 64 1000 1001 1002 1003 1004 1005 1006 1024";
    const line = `exec 9>&1; for n in ${limits}; do
      (ulimit -n $n; "$1" 9 0<&- 1>&- 2>&-; [ $? = 5 ] || echo "failed at $n" >&9); done`;
    const { stdout } = shell(line, path);
    const expected = "0: null, mode 2\n1: null, mode 0\n2: null, mode 2\n";
    assertEquals(
      stdout,
      expected.repeat(limits.split(" ").length).replace(expected, (text) => text),
    );
  },
);

testUnless(portableProblem, "A portable program sees nothing of how it was started", () => {
  using scratch = new Scratch();
  const path = packProgram(scratch, "portable");
  // As a child of it would.
  const { stdout } = shell('exec env -i LD_PRELOAD=/x LD_LIBRARY_PATH=/y TERM=z "$1" a b', path);
  const variables = stdout.split("\n").filter((line) => line.startsWith("variable "));
  assertEquals(variables, ["variable TERM=z"]);
});

testUnless(
  portableProblem,
  "A portable program starts with many arguments and few descriptors",
  () => {
    using scratch = new Scratch();
    const path = packProgram(scratch, "portable");
    const many = shell('exec "$1" $(seq 20000) | grep -c ^argument', path);
    assertEquals([many.stdout, many.stderr], ["20000\n", ""]);
    const few = shell('ulimit -n 20; "$1" a >/dev/null', path);
    assertEquals([few.code, few.stderr], [5, ""]);
    const empty = shell('ulimit -s 128; exec env -i "$1" >/dev/null', path);
    assertEquals([empty.code, empty.stderr], [5, ""]);
  },
);

const namespaceProblem = (problem: string | null) =>
  problem ?? (Deno.uid() === 0 ? programProblem("unshare", "setpriv") : "needs root");

for (const [kind, kindProblem] of [["plain", problem], ["portable", portableProblem]] as const) {
  testUnless(
    namespaceProblem(kindProblem),
    `A ${kind} executable says that /proc is missing, and ends with 1`,
    () => {
      using scratch = new Scratch();
      const path = packProgram(scratch, kind);
      const line = `exec unshare --mount sh -c 'umount -l /proc; exec "$1" a b' sh "$1"`;
      const { code, stdout, stderr } = shell(line, path);
      assertEquals(
        [code, stdout, stderr],
        [
          1,
          "",
          "the-tool: Cannot start: /proc is not mounted; mount it: mount -t proc proc /proc\n",
        ],
      );
    },
  );
}

testUnless(namespaceProblem(portableProblem), "A portable executable refuses set-user-id", () => {
  using scratch = new Scratch();
  const path = packProgram(scratch, "portable");
  Deno.chmodSync(scratch.path, 0o755);
  Deno.chmodSync(path, 0o4755);
  const line = 'exec setpriv --reuid 65534 --regid 65534 --clear-groups "$1" a b';
  const { code, stdout, stderr } = shell(line, path);
  assertEquals(
    [code, stdout, stderr],
    [1, "", "the-tool: Cannot start: the file must not be set-user-id or have capabilities\n"],
  );
});

testUnless(
  portableProblem ?? programProblem("strace"),
  "Where memory files are refused, others without names take their place",
  () => {
    using scratch = new Scratch();
    const path = packProgram(scratch, "portable");
    const refusing = (calls: string) =>
      shell(`exec strace -o /dev/null -e inject=${calls}:error=EPERM "$1" a b`, path);
    const { code, stdout, stderr } = refusing("memfd_create");
    assertEquals([code, stderr], [5, ""]);
    assert(stdout.includes("argument b\n"), stdout);
    assertEquals(refusing("memfd_create,openat"), {
      code: 1,
      stdout: "",
      stderr: "the-tool: Cannot start: no place for the C library: neither memory files nor " +
        "/dev/shm, /run, /tmp or /var/tmp may hold code\n",
    });
  },
);

const foreignProblem = machine === "aarch64"
  ? "it is this machine's own"
  : programProblem("aarch64-linux-gnu-gcc", "qemu-aarch64");

for (const kind of ["plain", "portable"] as const) {
  testUnless(foreignProblem, `The stub for aarch64 does the same (under qemu, ${kind})`, () => {
    using scratch = new Scratch();
    const foreign = { stub: readStub("aarch64"), tool: "the-tool" };
    const program = compileBy("aarch64-linux-gnu-gcc", scratch, "-pie");
    const read = (name: string) => ({
      name,
      content: Deno.readFileSync(`/usr/aarch64-linux-gnu/lib/${name}`),
    });
    const packed = kind === "plain" ? packPlain(program, foreign) : packPortable(program, {
      ...foreign,
      loader: read("ld-linux-aarch64.so.1"),
      libraries: [read("libc.so.6")],
    });
    const path = scratch.file("packed", packed);
    Deno.chmodSync(path, 0o755);
    // Portable executables find nothing there, and need nothing.
    const qemu = kind === "plain" ? "qemu-aarch64 -L /usr/aarch64-linux-gnu" : "qemu-aarch64";
    const line =
      `cd "\${1%/*}"; mkdir x; cd x; rmdir ../x; exec env -i PATH="$PATH" DENO_LOG=x TZ=y`;
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
}

for (const [name, prefix] of [["x86_64", "x86_64-linux-gnu-"], ["aarch64", "aarch64-linux-gnu-"]]) {
  const [cc, ld, objcopy] = [`${prefix}gcc`, `${prefix}ld`, `${prefix}objcopy`];
  testUnless(
    compilerProblem(cc, ld, objcopy),
    `The stub's bytes for ${name} are those of its source`,
    () => {
      const bytes = runSync(
        "env",
        `CC=${cc}`,
        `LD=${ld}`,
        `OBJCOPY=${objcopy}`,
        `${FOLDER}build.sh`,
      );
      assertEquals(`${bytes}\n`, Deno.readTextFileSync(`${FOLDER}${name}.hex`));
    },
  );
}

/** The stub's bytes were made by certain versions; others may make others of the same source. */
function compilerProblem(cc: string, ld: string, objcopy: string): string | null {
  const absent = programProblem(cc, ld, objcopy);
  if (absent !== null) return absent;
  const version = (program: string) => runSync(program, "--version").split("\n")[0]!;
  const isSame = /\b12\.2\.0$/.test(version(cc)) && /\b2\.40$/.test(version(ld));
  return isSame ? null : `${version(cc)}, ${version(ld)}: not gcc 12.2.0 and binutils 2.40`;
}

function loaderProblem(): string | null {
  try {
    hostLibraries();
    return null;
  } catch {
    return "no Debian libraries";
  }
}
