/**
 * Runs `backy-fuse` as users do, as a process of its own with real mounts, and makes sure that
 * nothing is left behind.
 *
 * A process that runs for longer than `support/tool.ts` allows is killed: the kernel then fails all
 * requests to its mount, so that whoever waits for one goes on. Mounts are read by asynchronous
 * calls and other programs only, because the tests' own thread must be able to end a process that
 * hangs.
 *
 * @module
 */

import { openLibfuse3 } from "../../lib/deno_fuse/libfuse3.ts";
import { type Mount, readMountTable } from "../../lib/linux/mounts.ts";
import { readTextOrNull } from "../../lib/linux/paths.ts";
import { listPids } from "../../lib/linux/processes.ts";
import { assert, assertEquals } from "../assert.ts";
import { addRevision, type BuiltRevision, chunksOfFile } from "../support/store_builder.ts";
import { type StoredRevision, TestStore } from "../support/test_store.ts";
import { lockMounts } from "../support/mount_lock.ts";
import { testUnless } from "../support/machine.ts";
import { programProblem, run, sh, tryRun } from "../support/programs.ts";
import {
  assertNoInternals,
  FUSE,
  messagesOf as messagesOfTool,
  type Outcome,
  RunningTool,
  type RunOptions,
} from "../support/tool.ts";
import { pause, until } from "../support/wait.ts";

/** How long a process may take to unmount when a test is over, before it is killed. */
const FAREWELL_MS = 30_000;
const POLL_MS = 10;

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
  readonly #store = this.#undo.use(new TestStore());
  readonly basedir = this.#store.basedir;
  #count = 0;

  /** Path beside the backup directory. */
  file(name: string, content?: string | Uint8Array): string {
    return this.#store.file(name, content);
  }

  /** Makes a directory beside the backup directory. */
  folder(name = `folder ${++this.#count}`): string {
    const path = this.file(name);
    Deno.mkdirSync(path);
    return path;
  }

  /** Adds a revision. Returns it with its image. */
  add(...args: Parameters<TestStore["add"]>): StoredRevision {
    return this.#store.add(...args);
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
    return this.#undo.use(new RunningTool([...FUSE, ...base, ...args], options));
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

  /** Mounts the backup directory in the background. @param args Options of the tool. */
  async mountInBackground(
    args: readonly string[] = [],
    options: RunOptions & { readonly at?: string } = {},
  ): Promise<BackgroundMount> {
    const path = options.at ?? this.folder();
    const tool = this.start(["--background", ...args, path], options);
    const mount = this.#undo.use(new BackgroundMount(path));
    const outcome = await tool.outcome();
    assertEquals([outcome.code, outcome.signal], [0, null], outcome.stderr);
    mount.findServer();
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

/** A backup directory that another process than the tool that was started serves. */
export class BackgroundMount implements AsyncDisposable {
  readonly path: string;
  /** Process id of the server; 0 until it was found. */
  server = 0;

  constructor(path: string) {
    this.path = path;
  }

  /** Path of a file in the mount. */
  file(name: string): string {
    return `${this.path}/${name}`;
  }

  /** Finds the server of a mount that is there, by its command line. */
  findServer(): void {
    assertEquals(mountsAt(this.path).length, 1);
    const servers = serversFor(this.path);
    assertEquals(servers.length, 1);
    this.server = servers[0]!;
  }

  /** Waits until the server has ended. */
  async ended(): Promise<void> {
    await until(() => !isRunning(this.server), "the end of the server");
    assertEquals(mountsAt(this.path).length, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await unmountIfMounted(this.path);
    for (const pid of serversFor(this.path)) {
      await until(() => !isRunning(pid), "the end of the server");
    }
  }
}

/** The processes that serve, or are about to serve, a mount at a path in the background. */
export function serversFor(path: string): number[] {
  return listPids().filter((pid) => {
    const words = readTextOrNull(`/proc/${pid}/cmdline`)?.split("\0") ?? [];
    const environment = readTextOrNull(`/proc/${pid}/environ`) ?? "";
    return words.includes(path) && /(^|\0)BACKY_FUSE_FRONT=/.test(environment);
  });
}

function isRunning(pid: number): boolean {
  const stat = readTextOrNull(`/proc/${pid}/stat`);
  return stat !== null && !stat.slice(stat.lastIndexOf(")")).startsWith(") Z");
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

/** The lines that begin with the tool's name, without that: warnings and failures. */
export function messagesOf(stderr: string): string[] {
  return messagesOfTool(stderr, "backy-fuse");
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

/** Hashes of all files below a folder, by relative path. */
export async function hashesBelow(folder: string): Promise<string> {
  return await sh('cd "$1"; find . -type f -print0 | sort -z | xargs -0 -r sha256sum', folder);
}
