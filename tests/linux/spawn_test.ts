import { assert, assertEquals, assertThrows } from "../assert.ts";
import { openPipe, tryRead } from "../../lib/linux/pipes.ts";
import { releaseFd } from "../../lib/linux/files.ts";
import { SignalNumber } from "../../lib/linux/signals.ts";
import { spawn, SpawnLayout, type SpawnOptions } from "../../lib/linux/spawn.ts";
import { OsError } from "../../lib/linux/os_error.ts";
import { testUnless } from "../support/machine.ts";
import { scriptCommand, shell } from "../support/programs.ts";
import { compilerProblem, runC } from "./c_program.ts";

/** Runs a line of sh with a pipe as its standard output. @returns What it wrote, and its end. */
async function runLine(line: string, options: Omit<SpawnOptions, "words"> = {}) {
  const { readFd: reader, writeFd: writer } = openPipe();
  const child = spawn("sh", { descriptors: [0, writer, 2], ...options, words: ["sh", "-c", line] });
  releaseFd(writer);
  const status = await child.ended;
  const block = new Uint8Array(4096);
  const length = Math.max(0, tryRead(reader, block));
  releaseFd(reader);
  return { pid: child.pid, status, text: new TextDecoder().decode(block.subarray(0, length)) };
}

Deno.test("spawn() passes words on, and tells exit codes and signals", async () => {
  const words = ["sh", "-c", 'printf "%s|" "$0" "$@"; exit 7', "a b", "", "ü"];
  const { readFd: reader, writeFd: writer } = openPipe();
  const child = spawn("sh", { words, descriptors: [0, writer, 2] });
  releaseFd(writer);
  assertEquals(await child.ended, { code: 7, signal: null });
  assertEquals(child.signal("SIGTERM"), false);
  const block = new Uint8Array(100);
  const length = tryRead(reader, block);
  assertEquals(tryRead(reader, block), 0);
  releaseFd(reader);
  assertEquals(new TextDecoder().decode(block.subarray(0, length)), "a b||ü|");

  const sleeper = spawn("sleep", { words: ["sleep", "100"] });
  assert(sleeper.signal("SIGTERM"));
  assertEquals(await sleeper.ended, { code: null, signal: SignalNumber.SIGTERM });
});

Deno.test("spawn() says why a program cannot be started", () => {
  const error = assertThrows(() => spawn("/nowhere/x", { words: ["x"] }), OsError);
  assertEquals(error.message, 'Cannot start "/nowhere/x": No such file or directory (ENOENT)');
});

Deno.test("A program gets the descriptors that are named, and with closesOthers no others", async () => {
  // What ls itself opens has the next free number.
  const line = "ls /proc/self/fd | tr '\\n' ' '";
  const { text } = await runLine(line, { closesOthers: true });
  assertEquals(text, "0 1 2 3 ");
  const { readFd: reader, writeFd: writer } = openPipe();
  const child = spawn("sh", {
    words: ["sh", "-c", "echo out; echo err >&2; echo three >&3"],
    descriptors: [0, writer, writer, writer],
  });
  releaseFd(writer);
  assertEquals(await child.ended, { code: 0, signal: null });
  const block = new Uint8Array(100);
  const length = tryRead(reader, block);
  releaseFd(reader);
  assertEquals(new TextDecoder().decode(block.subarray(0, length)), "out\nerr\nthree\n");
});

Deno.test("A descriptor that the process was started with goes on, unless closesOthers", async () => {
  const code = `
    const { spawn } = await import(lib("linux/spawn.ts"));
    for (const closesOthers of [false, true]) {
      const words = ["sh", "-c", "test -e /proc/self/fd/7 && echo seven || echo none"];
      await spawn("sh", { words, closesOthers }).ended;
    }
  `;
  const { stdout, stderr } = await shell(`${scriptCommand(code)} 7</dev/null`);
  assertEquals([new TextDecoder().decode(stdout), stderr], ["seven\nnone\n", ""]);
});

Deno.test("What is opened here goes to no other program", async () => {
  const code = `
    const { spawn } = await import(lib("linux/spawn.ts"));
    const { openFd } = await import(lib("linux/files.ts"));
    const { openPipe } = await import(lib("linux/pipes.ts"));
    openFd("/dev/zero", 0);
    openPipe();
    Deno.openSync("/dev/zero");
    await spawn("ls", { words: ["ls", "/proc/self/fd"] }).ended;
  `;
  // The tests themselves may have been started with some.
  const { stdout, stderr } = await shell(`ls /proc/self/fd; echo; ${scriptCommand(code)}`);
  const [inherited, found] = new TextDecoder().decode(stdout).split("\n\n");
  assertEquals([found, stderr], [`${inherited}\n`, ""]);
});

Deno.test("spawn() changes the environment that the process was started with", async () => {
  const code = `
    const { spawn } = await import(lib("linux/spawn.ts"));
    // The kernel's copy counts: executables clear the runtime's.
    Deno.env.delete("KEPT");
    const words = ["sh", "-c", "printf '%s,' \\"$KEPT\\" \\"\${GONE-gone}\\" \\"$NEW\\" | od -An -c"];
    await spawn("sh", { words, environment: { GONE: null, NEW: "new=1" } }).ended;
  `;
  const { stdout, stderr } = await shell(
    `KEPT=$'k\\xff' GONE=1 NEW=old ${scriptCommand(code)}`,
  );
  const text = new TextDecoder().decode(stdout).replace(/\s+/g, " ").trim();
  assertEquals([text, stderr], ["k 377 , g o n e , n e w = 1 ,", ""]);
});

Deno.test("A session of its own has no terminal, and the program's id", async () => {
  const line = "cut -d' ' -f1,5-8 /proc/$$/stat";
  const { pid, text } = await runLine(line, { ownSession: true });
  const [own, group, session, tty] = text.trim().split(" ").map(Number);
  assertEquals([own, group, session, tty], [pid, pid, pid, 0]);
});

Deno.test("Signals that the runtime ignores have their default effect in a program", async () => {
  const { status } = await runLine("kill -PIPE $$; exit 3");
  assertEquals(status, { code: null, signal: SignalNumber.SIGPIPE });
});

Deno.test("The end of a program is told where SIGCHLD was ignored", async () => {
  const code = `
    const { spawn } = await import(lib("linux/spawn.ts"));
    console.log((await spawn("sh", { words: ["sh", "-c", "exit 5"] }).ended).code);
  `;
  const { stdout } = await shell(`trap '' CHLD; ${scriptCommand(code)}`);
  assertEquals(new TextDecoder().decode(stdout), "5\n");
});

testUnless(compilerProblem, "Sizes of C types for spawning are the compiler's", () => {
  const types = Object.keys(SpawnLayout);
  const text = runC(`
      #define _GNU_SOURCE
      #include <signal.h>
      #include <spawn.h>
      #include <stdio.h>
      int main(void) { ${
    types.map((type) => `printf("${type} %zu\\n", sizeof(${type}));`).join(" ")
  } return 0; }
    `);
  assertEquals(text.split("\n"), Object.entries(SpawnLayout).map(([name, n]) => `${name} ${n}`));
});
