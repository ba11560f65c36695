/**
 * Runs `backy-fuse` as users do, as a process of its own with real mounts, and makes sure that
 * nothing is left behind.
 *
 * The program is `fuse.ts` under the runtime that runs the tests, or the executable that the
 * environment variable BACKY_FUSE names. A process is killed when it runs for longer than
 * `harness.ts` allows: the kernel then fails all requests to its mount, so that whoever waits for
 * one goes on. Mounts are looked at by asynchronous calls and by other programs only, for the
 * tests' own thread has to be able to end a process that hangs.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import { openLibfuse3 } from "../../lib/deno_fuse/libfuse3.ts";
import { type Mount, readMountTable } from "../../lib/linux/mounts.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals } from "../assert.ts";
import {
  addRevision,
  type BuiltRevision,
  type ChunkContent,
  imageOf,
  makeStore,
  type RevisionMetadata,
} from "../support/store_builder.ts";
import { lockMounts } from "../support/mount_lock.ts";
import { programProblem, Scratch, testUnless } from "../support/machine.ts";
import { assertImage, type Outcome, RunningTool, type RunOptions } from "./harness.ts";

/** Far more than any command on a mount takes, even on a busy machine: beyond it, it hangs. */
const COMMAND_LIMIT_SECONDS = "120";
/** How long a process may take to unmount when a test is over, before it is killed. */
const FAREWELL_MS = 30_000;
const POLL_MS = 10;

/** The tool's command line, without arguments. */
export const TOOL: readonly string[] = findTool();

function findTool(): string[] {
  const binary = Deno.env.get("BACKY_FUSE");
  if (binary !== undefined && binary !== "") return [Deno.realPathSync(binary)];
  const pathOf = (name: string) => new URL(`../../${name}`, import.meta.url).pathname;
  const options = ["-A", "--quiet", "--no-code-cache", "--config", pathOf("deno.json")];
  return [Deno.execPath(), "run", ...options, pathOf("fuse.ts")];
}

/** Why nothing can be mounted here; `null` if it can. */
export const fuseProblem: string | null = findFuseProblem();

function findFuseProblem(): string | null {
  if (Deno.uid() !== 0) return "not root";
  try {
    Deno.openSync("/dev/fuse", { read: true, write: true }).close();
    openLibfuse3();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return programProblem("fusermount3", "mount", "umount", "losetup", "timeout");
}

/**
 * Declares a test that gets a backup directory and may mount it; ignored, with the reason in its
 * name, where that is impossible.
 */
export function fuseTest(
  name: string,
  body: (site: Site) => Promise<void>,
  options: {
    readonly programs?: readonly string[];
    /** Another reason why the test is ignored. */
    readonly reason?: string | null;
    /** Whether the test makes mount namespaces. */
    readonly hasNamespaces?: boolean;
  } = {},
): void {
  const problem = options.reason ?? fuseProblem ?? programProblem(...options.programs ?? []);
  testUnless(problem, name, async () => {
    using _lock = lockMounts(options.hasNamespaces ? "alone" : "shared");
    await using site = new Site();
    await body(site);
  });
}

/**
 * A folder with a backup directory, and all that a test mounts and starts, which is undone in
 * reverse order.
 */
export class Site implements AsyncDisposable {
  readonly #undo = new AsyncDisposableStack();
  readonly #scratch = this.#undo.use(new Scratch());
  readonly basedir = this.#scratch.file("vm0");
  #count = 0;

  constructor() {
    makeStore(this.basedir);
  }

  /** Path beside the backup directory. */
  file(name: string, content?: string | Uint8Array): string {
    return this.#scratch.file(name, content);
  }

  /** Makes a directory beside the backup directory. */
  folder(name = `folder ${++this.#count}`): string {
    const path = this.file(name);
    Deno.mkdirSync(path);
    return path;
  }

  /** Adds a revision. Returns it with its image. */
  add(
    name: string,
    chunks: readonly ChunkContent[],
    options: RevisionMetadata & { size?: number } = {},
  ): BuiltRevision & { readonly image: Uint8Array<ArrayBuffer> } {
    const revision = addRevision(this.basedir, name, chunks, options);
    return {
      ...revision,
      get image() {
        return imageOf(chunks, revision.size);
      },
    };
  }

  /** Adds a revision whose image is a file. */
  addImage(name: string, path: string): BuiltRevision {
    const size = Deno.statSync(path).size;
    return addRevision(this.basedir, name, chunksOfFile(path), { size });
  }

  /** Starts the tool, mounting this site's backup directory unless `-d` says otherwise. */
  start(args: readonly string[], options: RunOptions = {}): RunningTool {
    const isNamed = args.includes("-d") || args.at(-2) === this.basedir;
    const base = isNamed ? [] : ["-d", this.basedir];
    return this.#undo.use(new RunningTool([...TOOL, ...base, ...args], options));
  }

  /** Mounts the backup directory. @param args Options of the tool. */
  async mount(
    args: readonly string[] = [],
    options: RunOptions & { readonly at?: string } = {},
  ): Promise<FuseMount> {
    const path = options.at ?? this.folder();
    const tool = this.start([...args, path], options);
    const mount = this.#undo.use(new FuseMount(path, tool));
    await mount.untilReady();
    return mount;
  }

  /**
   * Mounts by mount(8). @param args Its arguments but the last, the mount point, which is returned.
   */
  async mountDevice(...args: string[]): Promise<string> {
    const path = this.folder();
    await run("mount", ...args, path);
    this.#undo.defer(() => unmountIfMounted(path));
    return path;
  }

  /** Makes a loop device that ends with the test. @param args Arguments of losetup(8). */
  async loopDevice(...args: string[]): Promise<string> {
    const device = (await run("losetup", "-f", "--show", ...args)).trim();
    this.#undo.defer(async () => void await run("losetup", "-d", device));
    return device;
  }

  /** Registers something to be disposed of, before whatever was made earlier. */
  use<T extends AsyncDisposable | Disposable>(resource: T): T {
    return this.#undo.use(resource);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }
}

/** A backup directory that is, or is about to be, mounted. */
export class FuseMount implements AsyncDisposable {
  readonly path: string;
  readonly tool: RunningTool;

  constructor(path: string, tool: RunningTool) {
    this.path = path;
    this.tool = tool;
  }

  /** Path of a file in the mount. */
  file(name: string): string {
    return `${this.path}/${name}`;
  }

  /** Lines on standard error about what went wrong, so far. */
  get messages(): string[] {
    return messagesOf(this.tool.said);
  }

  async untilReady(): Promise<void> {
    await this.tool.untilSaid("To unmount: ");
    assertEquals(mountsAt(this.path).length, 1, this.tool.said);
  }

  /** Ends the mount by a signal. Asserts that nothing went wrong. */
  async end(signal: Deno.Signal = "SIGTERM"): Promise<Outcome> {
    this.tool.signal(signal);
    return await this.ended();
  }

  /** Waits for the end. Asserts that nothing went wrong. */
  async ended(): Promise<Outcome> {
    const outcome = await this.tool.outcome();
    assertEquals([outcome.code, outcome.signal], [0, null], outcome.stderr);
    assert(outcome.stderr.endsWith("Unmounted\n"), outcome.stderr);
    assertNoInternals(outcome.stderr);
    assertEquals(mountsAt(this.path).length, 0);
    return outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.tool.hasEnded) {
      this.tool.signal("SIGTERM");
      const end = performance.now() + FAREWELL_MS;
      while (!this.tool.hasEnded && performance.now() < end) await pause(POLL_MS);
    }
    // Whoever started the process ends it.
    await unmountIfMounted(this.path);
  }
}

/** How a command ended. */
export interface CommandOutcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program in the C locale, under a time limit. */
export async function tryRun(program: string, ...args: string[]): Promise<CommandOutcome> {
  const { code, stdout, stderr } = await new Deno.Command("timeout", {
    args: ["-s", "KILL", COMMAND_LIMIT_SECONDS, program, ...args],
    env: { LC_ALL: "C.UTF-8", LANGUAGE: "C", TZ: "UTC" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Runs a program. Returns what it printed. @throws {Error} If it fails. */
export async function run(program: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await tryRun(program, ...args);
  assert(code === 0, `${program} ${args.join(" ")}: exit ${code}: ${stdout}${stderr}`);
  return stdout;
}

/** Runs a bash script, in which `$1` and so on are arguments. @throws {Error} If it fails. */
export function sh(script: string, ...args: string[]): Promise<string> {
  return run("bash", "-ec", script, "bash", ...args);
}

/** The mounts at a path. */
export function mountsAt(path: string): Mount[] {
  return readMountTable().filter(({ mountpoint }) => mountpoint === path);
}

/** Removes all mounts at a path, in use or not. */
async function unmountIfMounted(path: string): Promise<void> {
  while (mountsAt(path).length > 0) {
    // Not lazily at first: a file system on a loop device should be gone before the next step.
    const { code } = await tryRun("umount", path);
    if (code !== 0) await run("umount", "-l", path);
  }
}

/** Waits until an asynchronous condition holds. */
export async function untilAsync(
  condition: () => Promise<boolean>,
  what: string,
  limitMs = 120_000,
): Promise<void> {
  const end = performance.now() + limitMs;
  while (!await condition()) {
    assert(performance.now() < end, `Cannot wait any longer for ${what}`);
    await pause(POLL_MS);
  }
}

/** Waits. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The warnings and failures: lines that begin with the tool's name, without it. */
export function messagesOf(stderr: string): string[] {
  const prefix = "backy-fuse: ";
  return stderr.split("\n").filter((line) => line.startsWith(prefix))
    .map((line) => line.slice(prefix.length));
}

/** Asserts that a run failed: one line, the exit code, and nothing mounted. */
export async function assertRefused(
  tool: RunningTool,
  expected: { code: number; says: string | RegExp; at?: string },
): Promise<void> {
  const outcome = await tool.outcome();
  const messages = messagesOf(outcome.stderr);
  assertEquals(messages.length, 1, outcome.stderr);
  if (typeof expected.says === "string") assertEquals(messages[0]!, expected.says);
  else assert(expected.says.test(messages[0]!), outcome.stderr);
  assertEquals([outcome.code, outcome.signal], [expected.code, null], outcome.stderr);
  assertNoInternals(outcome.stderr);
  if (expected.at !== undefined) assertEquals(mountsAt(expected.at).length, 0);
}

/** Asserts that the output shows neither a stack nor a bug. */
export function assertNoInternals(stderr: string): void {
  for (const sign of ["    at ", "file:///", "Uncaught", "internal error"]) {
    assert(!stderr.includes(sign), stderr);
  }
  assert(stderr === "" || stderr.endsWith("\n"), `the last line has no end: ${stderr}`);
}

/** Returns the errno value with which an operation fails; 0 if it does not. */
export async function errnoOf(operation: Promise<unknown>): Promise<number> {
  try {
    await operation;
    return 0;
  } catch (error) {
    const match = /\(os error (\d+)\)/.exec(error instanceof Error ? error.message : "");
    if (match === null) throw error;
    return Number(match[1]);
  }
}

/** Reads bytes of a file by a descriptor of its own; fewer only at the file's end. */
export async function readAt(path: string, at: number, length: number): Promise<Uint8Array> {
  using file = await Deno.open(path);
  return await readFrom(file, at, length);
}

/** Reads bytes of an open file; fewer only at the file's end. */
export async function readFrom(
  file: Deno.FsFile,
  at: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  await file.seek(at, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const count = await file.read(bytes.subarray(done));
    if (count === null) break;
    done += count;
  }
  return bytes.subarray(0, done);
}

/** Writes bytes to an existing file, by a descriptor of its own. */
export async function writeAt(path: string, at: number, bytes: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { read: true, write: true });
  await file.seek(at, Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}

/** Asserts that a file's content is an image, reading it from its beginning to its end. */
export async function assertContent(path: string, image: Uint8Array): Promise<void> {
  assertImage(await Deno.readFile(path), image);
}

/** Makes the kernel drop its clean caches of all files. */
export async function dropPageCache(): Promise<void> {
  await Deno.writeTextFile("/proc/sys/vm/drop_caches", "1");
}

/** Hashes of all files below a folder, by relative path. */
export async function hashesBelow(folder: string): Promise<string> {
  return await sh('cd "$1"; find . -type f -print0 | sort -z | xargs -0 -r sha256sum', folder);
}

/** Cuts a file into chunks; chunks of zeros are absent. */
export function* chunksOfFile(path: string): Generator<ChunkContent> {
  using file = Deno.openSync(path);
  const zeros = new Uint8Array(CHUNK_BYTES);
  for (;;) {
    const chunk = new Uint8Array(CHUNK_BYTES);
    let length = 0;
    while (length < CHUNK_BYTES) {
      const count = file.readSync(chunk.subarray(length));
      if (count === null) break;
      length += count;
    }
    if (length === 0) return;
    const content = chunk.subarray(0, length);
    yield Buffer.compare(content, zeros.subarray(0, length)) === 0 ? "absent" : content;
  }
}
