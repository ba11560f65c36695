/**
 * A small C program with the stub in it, plain and portable, for the tests of the stub. It tells
 * what it was started with, and in which order its parts ran.
 *
 * @module
 */

import {
  type PackedLibrary,
  packPlain,
  packPortable,
  readStub,
} from "../../release/portable/pack.ts";
import { Scratch, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";

export const machine = Deno.build.arch;
export const stub = readStub(machine);
export const problem = programProblem("cc", "readelf", "bash");
export const portableProblem = problem ?? loaderProblem();

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
    printf("xfsz %d\\n", ignores(SIGXFSZ));
    printf("state %d %d %d\\n", zeros[4999], local, getauxval(AT_PAGESZ) >= 4096);
    return 5;
  }
`;

/** Compiles the program and appends a text, as \`deno compile\` does. Returns its bytes. */
export function compileProgram(scratch: Scratch, ...options: string[]): Uint8Array<ArrayBuffer> {
  return compileBy("cc", scratch, ...options);
}

export function compileBy(
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

export const APPENDED = new TextEncoder().encode("appended: the runtime looks for this at the end");

/** The C library of this machine, with the loader that belongs to it. */
export function hostLibraries(): { loader: PackedLibrary; libraries: readonly PackedLibrary[] } {
  const [multiarch, loader] = machine === "x86_64"
    ? ["x86_64-linux-gnu", "ld-linux-x86-64.so.2"]
    : ["aarch64-linux-gnu", "ld-linux-aarch64.so.1"];
  const read = (name: string) => ({
    name,
    content: Deno.readFileSync(`/lib/${multiarch}/${name}`),
  });
  return { loader: read(loader!), libraries: ["libc.so.6", "libm.so.6"].map(read) };
}

export type Kind = "plain" | "portable";

/** Makes a program executable of a kind. */
export function pack(
  kind: Kind,
  program: Uint8Array<ArrayBuffer>,
  tool = "the-tool",
): Uint8Array<ArrayBuffer> {
  const options = { stub, tool };
  if (kind === "plain") return packPlain(program, options);
  return packPortable(program, { ...options, ...hostLibraries() });
}

/** Puts the stub into the program. Returns its path. */
export function packProgram(scratch: Scratch, kind: Kind): string {
  const path = scratch.file("packed", pack(kind, compileProgram(scratch, "-pie")));
  Deno.chmodSync(path, 0o755);
  return path;
}

/** Registers a test for both kinds of executables. */
export function testBoth(name: string, run: (kind: Kind) => void): void {
  testUnless(problem, `${name} (plain)`, () => run("plain"));
  testUnless(portableProblem, `${name} (portable)`, () => run("portable"));
}

/** Closes what a shell got from the tests beside standard input, output and error. */
export const CLOSE_INHERITED = 'for fd in $(seq 3 255); do eval "exec $fd>&-"; done;';

/** Runs a shell line with the program's path as `$1`. */
export function shell(
  line: string,
  path: string,
): { code: number; stdout: string; stderr: string } {
  const decoder = new TextDecoder();
  const { code, stdout, stderr } = new Deno.Command("bash", {
    args: ["-c", line, "bash", path],
    env: { PATH: Deno.env.get("PATH") ?? "", TZ: "UTC" },
    clearEnv: true,
    cwd: "/tmp",
  }).outputSync();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

function loaderProblem(): string | null {
  try {
    hostLibraries();
    return null;
  } catch {
    return "no Debian libraries";
  }
}
