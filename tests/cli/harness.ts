/**
 * Runs `backy-extract` as users do: as a process of its own, in a directory of its own, under a
 * time limit.
 *
 * The program is `main.ts` under the runtime that runs the tests, or the executable that the
 * environment variable BACKY_EXTRACT names, so that the same tests hold a compiled binary.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import { assert, assertEquals } from "../assert.ts";
import { assertBytes, Scratch } from "../support/machine.ts";

/**
 * No run takes a tenth of this on a machine that is not overloaded; one that hangs is killed then.
 */
const TIME_LIMIT_MS = 240_000;
const POLL_MS = 10;

/** The tool's command line, without arguments. */
export const TOOL: readonly string[] = findTool();

function findTool(): string[] {
  const binary = Deno.env.get("BACKY_EXTRACT");
  if (binary !== undefined && binary !== "") return [Deno.realPathSync(binary)];
  const pathOf = (name: string) => new URL(`../../${name}`, import.meta.url).pathname;
  // The code cache is a file of the runtime's, which limits for the tool (ulimit -f) would hit as
  // well.
  const options = ["-A", "--quiet", "--no-code-cache", "--config", pathOf("deno.json")];
  return [Deno.execPath(), "run", ...options, pathOf("main.ts")];
}

/** How a tool is run. */
export interface RunOptions {
  /** Working directory; default: a fresh one, removed afterwards. */
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /**
   * Command line of bash around the tool, in which `"$@"` stands for the tool and its arguments:
   * `exec "$@" >image`.
   */
  readonly shell?: string;
  /**
   * Time after which the process is killed; default: more than any run takes that a test does not
   * make long.
   */
  readonly limitMs?: number;
}

/** How a run ended. */
export interface Outcome {
  /** Exit code; 128 + its number for a signal that killed the process. */
  readonly code: number;
  /** The signal that killed the process. */
  readonly signal: Deno.Signal | null;
  readonly stdout: Uint8Array;
  readonly stderr: string;
}

/** Runs the tool to its end. */
export async function extract(
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  await using tool = startExtract(args, options);
  return await tool.outcome();
}

/** Starts the tool. Disposing what is returned ends the process if it still runs. */
export function startExtract(args: readonly string[], options: RunOptions = {}): RunningTool {
  return new RunningTool([...TOOL, ...args], options);
}

/** A process and what it has said so far. */
export class RunningTool implements AsyncDisposable {
  readonly #scratch: Scratch | null;
  readonly #child: Deno.ChildProcess;
  readonly #stdout: Promise<Uint8Array>;
  readonly #stderr: Promise<void>;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #limitMs: number;
  #said = "";
  #hasEnded = false;
  #isOverdue = false;

  constructor(command: readonly string[], options: RunOptions = {}) {
    this.#scratch = options.cwd === undefined ? new Scratch() : null;
    const { shell } = options;
    const words = shell === undefined ? command : ["bash", "-c", shell, "bash", ...command];
    // Whoever runs the tests may have been started by a script, as a background job that ignores
    // SIGINT and SIGQUIT.
    this.#child = new Deno.Command("env", {
      args: ["--default-signal", ...words],
      cwd: options.cwd ?? this.#scratch!.path,
      // Colours and widths of whoever runs the tests must not change what is expected.
      env: { NO_COLOR: "", TERM: "xterm", ...options.env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#stdout = new Response(this.#child.stdout).bytes();
    this.#stderr = this.#listen();
    this.#limitMs = options.limitMs ?? TIME_LIMIT_MS;
    this.#timer = setTimeout(() => {
      this.#isOverdue = true;
      this.signal("SIGKILL");
    }, this.#limitMs);
  }

  /** Process id; of bash where a `shell` line does not `exec`. */
  get pid(): number {
    return this.#child.pid;
  }

  /** What came on standard error so far. */
  get said(): string {
    return this.#said;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Sends a signal; does nothing if the process has ended. */
  signal(signal: Deno.Signal): void {
    try {
      if (!this.#hasEnded) this.#child.kill(signal);
    } catch (error) {
      if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  /**
   * Waits until a text stands on standard error. @throws {Error} If the process ends without it.
   */
  async untilSaid(text: string): Promise<void> {
    await until(() => this.#said.includes(text) || this.#hasEnded, `"${text}"`);
    assert(this.#said.includes(text), `it ended without "${text}": ${this.#said}`);
  }

  /** Waits for the end. @throws {Error} If the time limit ended it. */
  async outcome(): Promise<Outcome> {
    const { code, signal } = await this.#child.status;
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    const stdout = await this.#stdout;
    await this.#stderr;
    assert(!this.#isOverdue, `it was still running after ${this.#limitMs} ms: ${this.#said}`);
    return { code, signal, stdout, stderr: this.#said };
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const piece of this.#child.stderr) {
      this.#said += decoder.decode(piece, { stream: true });
    }
    // What has closed its standard error may go on.
    await this.#child.status;
    this.#hasEnded = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGKILL");
    await this.#child.status;
    clearTimeout(this.#timer);
    await this.#stdout;
    await this.#stderr;
    this.#scratch?.[Symbol.dispose]();
  }
}

/** Waits until a condition holds, and fails where it does not within the time limit. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + TIME_LIMIT_MS / 2;
  while (!condition()) {
    assert(performance.now() < end, `Cannot wait any longer for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Asks a tool for its status (SIGUSR1) again and again until what it said matches. */
export async function askUntilSaid(tool: RunningTool, said: RegExp): Promise<void> {
  // Before that it is the start of the runtime, or still another program, which the signal ends.
  await until(() => survivesUsr1(tool.pid) || tool.hasEnded, "the tool's start");
  while (!said.test(tool.said)) {
    assert(!tool.hasEnded, `it ended without ${said}: ${tool.said}`);
    tool.signal("SIGUSR1");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Whether a process ignores SIGUSR1 or listens to it, which ends one that does neither. */
export function survivesUsr1(pid: number): boolean {
  const masks = readStatus(pid).matchAll(/^Sig(?:Ign|Cgt):\s*([0-9a-f]+)$/gm);
  return [...masks].some(([, mask]) => (BigInt(`0x${mask}`) & 1n << 9n) !== 0n);
}

function readStatus(pid: number): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/status`);
  } catch {
    return "";
  }
}

/**
 * Runs the tool on a terminal of its own; what it writes to the terminal is the outcome's `stdout`.
 */
export async function extractOnTerminal(
  args: readonly string[],
  options: Omit<RunOptions, "shell"> & {
    readonly columns?: number;
    /** Shell words after the tool's, such as `>/dev/null`. */
    readonly redirection?: string;
    /** Shell command before it, in the process that becomes the tool. */
    readonly prelude?: string;
  } = {},
): Promise<Outcome & { readonly screen: string }> {
  const { columns = 80, redirection = "", prelude = ":", ...rest } = options;
  const words = [...TOOL, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  // script(1) gives its own exit status that of its command (-e), and its own terminal has no size.
  const line = `stty cols ${columns} rows 24 && ${prelude} && exec ${words} ${redirection}`;
  await using tool = new RunningTool(["script", "-qefc", line, "/dev/null"], {
    ...rest,
    env: { SHELL: "/bin/bash", ...rest.env },
  });
  const outcome = await tool.outcome();
  return { ...outcome, screen: new TextDecoder().decode(outcome.stdout) };
}

/** What a failed run must be like. */
export interface ExpectedFailure {
  readonly code: number;
  /**
   * The lines on standard error that begin with the tool's name, without that; in order, all of
   * them.
   */
  readonly says: readonly (string | RegExp)[];
}

/**
 * Asserts that a run failed with the exit code and the messages that are expected, and shows no
 * internals.
 */
export function assertFailure(outcome: Outcome, expected: ExpectedFailure): void {
  const { stderr } = outcome;
  const lines = messagesOf(stderr);
  const isAsExpected = lines.length === expected.says.length &&
    expected.says.every((said, i) =>
      typeof said === "string" ? said === lines[i] : said.test(lines[i]!)
    );
  if (!isAsExpected) assertEquals<unknown>(lines, expected.says, stderr);
  assertEquals(outcome.signal, null, stderr);
  assertEquals(outcome.code, expected.code, stderr);
  assertNoInternals(stderr);
}

/**
 * Asserts that a run was successful and said nothing but what belongs to a success, and the
 * expected warnings.
 */
export function assertSuccess(
  outcome: Outcome,
  expected: { says?: readonly string[] } = {},
): void {
  assertEquals(outcome.code, 0, outcome.stderr);
  assertEquals<readonly string[]>(
    messagesOf(outcome.stderr),
    expected.says ?? [],
    outcome.stderr,
  );
  assertNoInternals(outcome.stderr);
}

/** The lines that begin with the tool's name, without that: warnings and failures. */
export function messagesOf(stderr: string): string[] {
  const prefix = "backy-extract: ";
  return stderr.split("\n").filter((line) => line.startsWith(prefix))
    .map((line) => line.slice(prefix.length));
}

/** An object of a line of JSON. */
// deno-lint-ignore no-explicit-any
export type JsonLine = { readonly type: string } & Readonly<Record<string, any>>;

/**
 * Takes lines of JSON apart, and asserts that there is nothing else and nothing raw that a terminal
 * would act on.
 */
export function parseJsonLines(text: string | Uint8Array): JsonLine[] {
  const decoded = typeof text === "string" ? text : new TextDecoder().decode(text);
  const lines = decoded.split("\n");
  assertEquals(lines.pop(), "", "the last line has no end");
  return lines.map((line) => {
    assertPrintable(line);
    return JSON.parse(line);
  });
}

/** Asserts that a line has nothing that a terminal acts on. */
export function assertPrintable(line: string): void {
  assert(!/[\p{C}\p{Zl}\p{Zp}]/u.test(line), JSON.stringify(line));
}

function assertNoInternals(stderr: string): void {
  for (const sign of ["    at ", "file:///", "Uncaught", "error:", "internal error"]) {
    assert(!stderr.includes(sign), stderr);
  }
  assert(stderr === "" || stderr.endsWith("\n"), `the last line has no end: ${stderr}`);
}

/** Asserts that two images are equal, naming the first byte at which they are not. */
export function assertImage(actual: Uint8Array, expected: Uint8Array): void {
  // Much faster than a comparison byte by byte, which is for naming the difference only.
  if (Buffer.compare(actual, expected) !== 0) assertBytes(actual, expected);
}

/** Bytes of storage that a file takes. */
export function allocatedBytes(path: string): number {
  return (Deno.statSync(path).blocks ?? 0) * 512;
}

/** Makes a FIFO. */
export function makeFifo(path: string): string {
  const { success } = new Deno.Command("mkfifo", { args: [path] }).outputSync();
  assert(success, `Cannot make the FIFO ${path}`);
  return path;
}

/** Opens a FIFO for reading at once, whether it has a writer or not, and reads nothing from it. */
export function openIdleReader(path: string): Deno.FsFile {
  // Linux opens a FIFO for both without waiting, see fifo(7).
  return Deno.openSync(path, { read: true, write: true });
}

/** Reads a FIFO from its opening to its end in another process, as `cat` does, into a file. */
export async function copyFifo(fifo: string, to: string): Promise<void> {
  const command = new Deno.Command("sh", {
    args: ["-c", 'timeout 60 cat "$1" >"$2"', "sh", fifo, to],
  });
  const { success } = await command.output();
  assert(success);
}
