/**
 * A store that an attacker has made, and what both tools do with it: each runs as its own process,
 * its memory and time are bounded, and its output is inspected.
 *
 * @module
 */

import { assert, assertEquals } from "../assert.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { TestStore } from "../support/test_store.ts";
import { lockMounts } from "../support/mount_lock.ts";
import { runSync } from "../support/programs.ts";
import {
  EXTRACT as EXTRACT_TOOL,
  FUSE as FUSE_TOOL,
  type Outcome,
  RunningTool,
} from "../support/tool.ts";
import { peakOf } from "./peak_memory.ts";

const MIB = 1_048_576;
/** Most that a tool may take for a small store, with two workers. */
const MOST_MIB = 350;
/** Far more than any tool needs, even on a busy machine: if it takes longer, it hangs. */
const LIMIT_MS = 120_000;
const POLL_MS = 10;

const GOOD = sampleBytes(1, 5000);

/** A store with one good revision, "Good", and whatever else a test puts there. */
export class HostileStore extends TestStore {
  /** A directory that no tool may touch. */
  readonly outside = this.file("outside");
  readonly #before: string;
  /** Chunk id of "Good". */
  readonly goodId: string;

  constructor() {
    super();
    this.goodId = this.add("Good", [GOOD]).ids[0]!;
    Deno.mkdirSync(this.outside);
    Deno.writeTextFileSync(`${this.outside}/secret`, "secret");
    this.#before = this.#lookOutside();
  }

  /** Adds a file to the store. */
  addFile(name: string, content: string | Uint8Array): void {
    if (typeof content === "string") Deno.writeTextFileSync(`${this.basedir}/${name}`, content);
    else Deno.writeFileSync(`${this.basedir}/${name}`, content);
  }

  /** Adds a symbolic link to the store. */
  link(name: string, target: string): void {
    Deno.symlinkSync(target, `${this.basedir}/${name}`);
  }

  /** Runs `backy-extract`. */
  async extract(args: readonly string[], options: { mostMib?: number } = {}): Promise<Outcome> {
    const outcome = await watch([...EXTRACT_TOOL, ...args], options);
    this.#requireHarmless(outcome);
    return outcome;
  }

  /**
   * Mounts the store by `backy-fuse`, runs a bash script in which `$1` is the mount, and unmounts.
   */
  async mount(
    script: string,
    options: { args?: readonly string[]; mostMib?: number } = {},
  ): Promise<{ code: number; tool: Outcome }> {
    const at = this.file("mount");
    Deno.mkdirSync(at);
    const command = [...FUSE_TOOL, "-d", this.basedir, ...options.args ?? [], at];
    using _lock = lockMounts("shared");
    try {
      let code = 0;
      const outcome = await watch(command, options, async (tool) => {
        await tool.untilSaid("To unmount: ");
        const shell = new Deno.Command("timeout", {
          args: ["-s", "KILL", "20", "bash", "-c", script, "bash", at],
          stdin: "null",
          stdout: "null",
          stderr: "null",
        });
        code = (await shell.output()).code;
        tool.signal("SIGTERM");
      });
      this.#requireHarmless(outcome);
      return { code, tool: outcome };
    } finally {
      await new Deno.Command("umount", { args: ["-l", at], stderr: "null" }).output();
      Deno.removeSync(at);
    }
  }

  /** Asserts that the good revision can still be restored. */
  async requireGood(): Promise<void> {
    const image = this.file("good image");
    const outcome = await this.extract([`${this.basedir}/Good`, image]);
    assertEquals(outcome.code, 0, outcome.stderr);
    assertEquals(Deno.readFileSync(image), GOOD);
    Deno.removeSync(image);
  }

  #requireHarmless({ stdout, stderr, signal }: Outcome): void {
    assertEquals(signal, null, stderr);
    assertEquals(this.#lookOutside(), this.#before);
    requireNoControls(stderr);
    for (const sign of ["    at ", "file:///", "Uncaught", "internal error"]) {
      assert(!stderr.includes(sign), stderr.slice(0, 2000));
    }
    // A list or JSON, not an image.
    if (stdout.length < 10 * MIB) requireNoControls(new TextDecoder().decode(stdout));
  }

  #lookOutside(): string {
    return runSync("find", this.outside, "-printf", "%P %y %s %T@ %C@ %m\n");
  }
}

/** Throws if a text has something that a terminal would act on or show as something else. */
function requireNoControls(text: string): void {
  const found = /[^\P{C}\n]|[\p{Zl}\p{Zp}]/u.exec(text);
  assert(found === null, `U+${found?.[0].codePointAt(0)?.toString(16)} in ${JSON.stringify(text)}`);
}

async function watch(
  command: readonly string[],
  { mostMib = MOST_MIB }: { mostMib?: number },
  meanwhile: (tool: RunningTool) => Promise<void> = () => Promise.resolve(),
): Promise<Outcome> {
  const start = performance.now();
  await using tool = new RunningTool(command, { limitMs: 2 * LIMIT_MS });
  let peak = 0;
  const timer = setInterval(() => {
    peak = Math.max(peak, peakOf(tool.pid));
    if (performance.now() - start > LIMIT_MS || peak > mostMib * MIB) tool.signal("SIGKILL");
  }, POLL_MS);
  try {
    await meanwhile(tool);
    const outcome = await tool.outcome();
    const took = performance.now() - start;
    assert(took < LIMIT_MS, `it took ${Math.round(took)} ms: ${outcome.stderr}`);
    assert(peak < mostMib * MIB, `it took ${Math.round(peak / MIB)} MiB: ${outcome.stderr}`);
    return outcome;
  } finally {
    clearInterval(timer);
  }
}
