/**
 * The tools as users run them: processes of their own, in directories of their own, under a time
 * limit.
 *
 * They are `main.ts` and `fuse.ts` under the runtime that runs the tests, or the executables that
 * the environment variables BACKY_EXTRACT and BACKY_FUSE name, so that the same tests hold compiled
 * binaries.
 *
 * @module
 */

import { assert } from "../assert.ts";
import { Scratch } from "./machine.ts";
import { pause, until } from "./wait.ts";

/**
 * No run takes a tenth of this on a machine that is not overloaded; one that hangs is killed then.
 */
const TIME_LIMIT_MS = 240_000;

/** Command lines of the tools, without arguments. */
export const EXTRACT: readonly string[] = findTool("BACKY_EXTRACT", "main.ts");
export const FUSE: readonly string[] = findTool("BACKY_FUSE", "fuse.ts");

function findTool(variable: string, entry: string): string[] {
  const binary = Deno.env.get(variable);
  if (binary !== undefined && binary !== "") return [Deno.realPathSync(binary)];
  const pathOf = (name: string) => new URL(`../../${name}`, import.meta.url).pathname;
  // The code cache is a file of the runtime's, which limits for the tool (ulimit -f) would hit as
  // well.
  const options = ["-A", "--quiet", "--no-code-cache", "--config", pathOf("deno.json")];
  return [Deno.execPath(), "run", ...options, pathOf(entry)];
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
   * Time after which the process is killed; default: more than any run takes.
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

/** A process and its standard error so far. */
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
    // The tests may run as a script's background job, which ignores SIGINT and SIGQUIT.
    this.#child = new Deno.Command("env", {
      args: ["--default-signal", ...words],
      cwd: options.cwd ?? this.#scratch!.path,
      // The colours and width of the tests' own terminal must not change the output.
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
    // A process may go on after it has closed its standard error.
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

/** Asks a tool for its status (SIGUSR1) again and again until what it said matches. */
export async function askUntilSaid(tool: RunningTool, said: RegExp): Promise<void> {
  // Until then the runtime is starting, or another program has not yet become it: the signal would
  // end them.
  await until(() => survivesUsr1(tool.pid) || tool.hasEnded, "the tool's start");
  while (!said.test(tool.said)) {
    assert(!tool.hasEnded, `it ended without ${said}: ${tool.said}`);
    tool.signal("SIGUSR1");
    await pause(100);
  }
}

/** Whether a process ignores or handles SIGUSR1; the signal ends any other process. */
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

/** The lines on standard error that begin with a tool's name, without that: warnings, failures. */
export function messagesOf(stderr: string, tool: "backy-extract" | "backy-fuse"): string[] {
  const prefix = `${tool}: `;
  return stderr.split("\n").filter((line) => line.startsWith(prefix))
    .map((line) => line.slice(prefix.length));
}

/** Asserts that what was said shows neither a stack nor a bug. */
export function assertNoInternals(stderr: string): void {
  for (const sign of ["    at ", "file:///", "Uncaught", "internal error"]) {
    assert(!stderr.includes(sign), stderr);
  }
  assert(stderr === "" || stderr.endsWith("\n"), `the last line has no end: ${stderr}`);
}
