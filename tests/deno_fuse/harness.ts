/**
 * Mounts `memory_fs.ts` for a test, as a process of its own, and leaves nothing behind.
 *
 * The file system must not run in the process that uses it: if it hangs, so does that process. At a
 * test's deadline the file system's process is killed, and the kernel fails all its requests.
 *
 * @module
 */

import { TextLineStream } from "@std/streams/text-line-stream";
import { assert } from "../assert.ts";
import { openLibfuse3 } from "../../lib/deno_fuse/libfuse3.ts";
import { type Mount, readMountTable } from "../../lib/linux/mounts.ts";
import { tryRun } from "../support/programs.ts";
import { testUnless } from "../support/machine.ts";
import { lockMounts } from "../support/mount_lock.ts";
import type { ProgramOptions } from "./memory_fs.ts";

const DEADLINE_MS = 240_000;
const PROGRAM = new URL("memory_fs.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** Why tests that mount cannot run here; `null` if they can. */
export const obstacle: string | null = findObstacle();

function findObstacle(): string | null {
  try {
    Deno.openSync("/dev/fuse", { read: true, write: true }).close();
    openLibfuse3();
    new Deno.Command("fusermount3", { args: ["-V"] }).outputSync();
  } catch (error) {
    return (error as Error).message;
  }
  return Deno.uid() === 0 ? null : "not root";
}

/** A mounted `memory_fs.ts`, or one that has just been started. */
export class Driver {
  readonly path: string;
  readonly process: Deno.ChildProcess;
  readonly lines: string[] = [];
  readonly #reading: Promise<void>;
  #isOver = false;
  #wake = Promise.withResolvers<void>();

  constructor(path: string, process: Deno.ChildProcess) {
    this.path = path;
    this.process = process;
    this.#reading = this.#read();
  }

  async #read(): Promise<void> {
    const lines: ReadableStream<string> = this.process.stdout
      .pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
    for await (const line of lines) {
      this.lines.push(line);
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    }
    this.#isOver = true;
    this.#wake.resolve();
  }

  /** Waits until the program has printed a line that matches. Throws if it ends without one. */
  async waitFor(pattern: RegExp): Promise<string> {
    for (;;) {
      const line = this.lines.find((line) => pattern.test(line));
      if (line !== undefined) return line;
      if (this.#isOver) throw new Error(`No line ${pattern}, but: ${this.lines.join(" | ")}`);
      await this.#wake.promise;
    }
  }

  /** Waits for the program's end. Returns its exit code. */
  async ended(): Promise<number> {
    await this.#reading;
    return (await this.process.status).code;
  }

  mounts(): Mount[] {
    return readMountTable().filter(({ mountpoint }) => mountpoint === this.path);
  }
}

/** Options of {@linkcode startDriver}. */
export interface StartOptions {
  /** Program to start instead of `memory_fs.ts`. */
  readonly program?: string;
  readonly options?: ProgramOptions;
  /** Options of `deno run`. */
  readonly flags?: readonly string[];
  /** Permission options of `deno run`; default `-A`. */
  readonly permissions?: readonly string[];
  /** Command to run the program with, such as `setpriv`. */
  readonly prefix?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Where to mount; default the test's directory. */
  readonly at?: string;
}

/** Starts the program. It is not ready yet, and may refuse to mount. */
export function startDriver(path: string, start: StartOptions = {}): Driver {
  const {
    program = PROGRAM,
    options = {},
    flags = [],
    permissions = ["-A"],
    prefix = [],
    env = {},
  } = start;
  const [command, ...args] = [
    ...prefix,
    Deno.execPath(),
    "run",
    ...permissions,
    "--no-lock",
    `--config=${CONFIG}`,
    ...flags,
    program,
    path,
    JSON.stringify(options),
  ];
  const child = new Deno.Command(command!, { args, env, stdin: "null", stdout: "piped" });
  return new Driver(path, child.spawn());
}

/**
 * A prefix that runs a script in a mount namespace of its own; the script ends with `exec "$@"`,
 * which is the program.
 */
export function inNamespace(script: string): string[] {
  return ["unshare", "-m", "--propagation", "private", "bash", "-c", script, "bash"];
}

/** A directory to mount at, and a way to start drivers that end with the test. */
export interface TestMount {
  readonly path: string;
  start(start?: StartOptions): Driver;
}

/**
 * Defines a test that gets an empty directory. Whatever was mounted or started is gone afterwards.
 *
 * @param body Fails if it takes too long.
 */
export function directoryTest(
  name: string,
  body: (mount: TestMount) => Promise<void>,
  options: {
    /** Why this test cannot run here, although others that mount can. */
    readonly problem?: string | null;
    /** Whether it makes mount namespaces. */
    readonly hasNamespaces?: boolean;
  } = {},
): void {
  testUnless(obstacle ?? options.problem ?? null, name, async () => {
    using _lock = lockMounts(options.hasNamespaces ? "alone" : "shared");
    const path = await Deno.realPath(await Deno.makeTempDir({ prefix: "deno_fuse" }));
    const drivers: Driver[] = [];
    const start = (options?: StartOptions) => {
      const driver = startDriver(options?.at ?? path, options);
      drivers.push(driver);
      return driver;
    };
    let isLate = false;
    const deadline = setTimeout(() => {
      isLate = true;
      drivers.forEach(kill);
    }, DEADLINE_MS);
    try {
      await body({ path, start });
    } finally {
      clearTimeout(deadline);
      drivers.forEach(kill);
      for (const driver of drivers) await driver.ended();
      while (readMountTable().some(({ mountpoint }) => mountpoint === path)) {
        const { code } = await tryRun("umount", "-l", path);
        if (code !== 0) break;
      }
      await Deno.remove(path);
    }
    assert(!isLate, "The test took too long");
  });
}

/** Defines a test with a mounted file system, whose process must end when it is unmounted. */
export function mountTest(
  name: string,
  body: (driver: Driver) => Promise<void>,
  start: StartOptions & { readonly problem?: string | null } = {},
): void {
  directoryTest(name, async (mount) => {
    const driver = mount.start(start);
    await driver.waitFor(/^ready/);
    await body(driver);
    await tryRun("umount", "-l", driver.path);
    await driver.waitFor(/^closed/);
    assert(await driver.ended() === 0, driver.lines.join("\n"));
  }, start);
}

function kill(driver: Driver): void {
  try {
    driver.process.kill("SIGKILL");
  } catch {
    // It has ended.
  }
}
