/**
 * The stub, in a small program in place of the runtime, plain and portable: it must find all as it
 * would without, but for what the stub is for. What it refuses is in `stub_refusals_test.ts`. With
 * the runtime it is tested by `tests/cli/extract_start_test.ts`.
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
import {
  APPENDED,
  CLOSE_INHERITED,
  compileBy,
  compileProgram,
  hostLibraries,
  machine,
  pack,
  packProgram,
  portableProblem,
  shell,
  stub,
  testBoth,
} from "./packed_program.ts";

const FOLDER = new URL("../../release/portable/stub/", import.meta.url).pathname;

testBoth("A program with the stub runs as without it, its end included", (kind) => {
  using scratch = new Scratch();
  const { code, stdout } = shell('exec env -i TERM=x "$1" a "b c"', packProgram(scratch, kind));
  assertEquals(
    stdout,
    "constructor\nargument a\nargument b c\nvariable TERM=x\ndirectory /tmp\nignored 0 1 0\n" +
      "xfsz 0\nstate 0 7 1\natexit\ndestructor\n",
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

testUnless(portableProblem, "packPortable() wants the versions of symbols that are needed", () => {
  using scratch = new Scratch();
  const makeLibrary = (folder: string, version: string): PackedLibrary => {
    Deno.mkdirSync(scratch.file(folder));
    const path = scratch.file(`${folder}/libown.so`);
    const map = scratch.file("map", `${version} { global: own; local: *; };`);
    const source = scratch.file("own.c", "int own(void) { return 1; }");
    const options = ["-shared", "-fPIC", "-Wl,-soname,libown.so", `-Wl,--version-script=${map}`];
    runSync("cc", "-o", path, ...options, source);
    return { name: "libown.so", content: Deno.readFileSync(path) };
  };
  const right = makeLibrary("right", "OWN_2"), older = makeLibrary("older", "OWN_1");
  const path = scratch.file("program");
  const source = scratch.file("user.c", "int own(void); int main(void) { return own(); }");
  runSync("cc", "-o", path, "-pie", "-fPIE", source, `-L${scratch.file("right")}`, "-lown");
  const { loader, libraries } = hostLibraries();
  const packWith = (own: PackedLibrary) =>
    packPortable(Deno.readFileSync(path), {
      stub,
      tool: "the-tool",
      loader,
      libraries: [...libraries, own],
    });
  packWith(right);
  assertThrows(() => packWith(older), Error, '"the-tool" needs OWN_2 of libown.so');
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
    // With the lowest, the libraries' descriptors are closed, or the runtime would lack them.
    const limits = "16 17 18 20 39 40 41 42 43 44 45 46 64 1000 1001 1002 1003 1004 1005 1006 1024";
    const line = `${CLOSE_INHERITED} exec 9>&1; for n in ${limits}; do
      (ulimit -n $n; "$1" 9 0<&- 1>&- 2>&-; [ $? = 5 ] || echo "failed at $n" >&9); done`;
    const { stdout } = shell(line, path);
    const expected = "0: null, mode 2\n1: null, mode 0\n2: null, mode 2\n";
    assertEquals(stdout, expected.repeat(limits.split(" ").length));
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
        "xfsz 0\nstate 0 7 1\natexit\ndestructor\n",
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
