/**
 * What tests of targets need from the machine: loop devices, small file systems, child processes.
 * Each test makes its own, and disposes of it.
 *
 * @module
 */

import { assert } from "../assert.ts";
import "./libraries.ts";
import { lockMounts } from "./mount_lock.ts";

export { testUnless } from "./test_unless.ts";

/** Runs a program to its end. @throws {Error} If it fails, with what it said. */
export function run(program: string, ...args: string[]): string {
  const { success, stdout, stderr } = new Deno.Command(program, { args }).outputSync();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${decoder.decode(stderr).trim()}`);
  return decoder.decode(stdout).trim();
}

/** A folder for one test. */
export class Scratch implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "target_test_" });

  /** Path of a file in the folder, which need not exist. */
  file(name: string, content?: string | Uint8Array): string {
    const path = `${this.path}/${name}`;
    if (typeof content === "string") Deno.writeTextFileSync(path, content);
    if (content instanceof Uint8Array) Deno.writeFileSync(path, content);
    return path;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** A loop device over a file of its own, every byte of it 0xAA. */
export class LoopDevice implements Disposable {
  readonly path: string;
  readonly bytes: number;
  /** The file behind it: what is written there is not seen in the device's page cache. */
  readonly backing: string;
  readonly #scratch = new Scratch();

  constructor(bytes: number, options: { sectorBytes?: number; isReadOnly?: boolean } = {}) {
    this.bytes = bytes;
    this.backing = this.#scratch.file("backing", new Uint8Array(bytes).fill(0xaa));
    this.path = run(
      "losetup",
      ...(options.isReadOnly ? ["-r"] : []),
      ...["-b", String(options.sectorBytes ?? 512), "-f", "--show", this.backing],
    );
  }

  read(): Uint8Array<ArrayBuffer> {
    using device = Deno.openSync(this.path);
    // The runtime takes a device for an empty file, and makes its buffer longer again and again.
    const bytes = new Uint8Array(this.bytes);
    for (let done = 0; done < bytes.length;) {
      const count = device.readSync(bytes.subarray(done));
      assert(count !== null, `${this.path} ends after ${done} bytes`);
      done += count;
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    run("losetup", "-d", this.path);
    this.#scratch[Symbol.dispose]();
  }
}

/** A file system mounted at a folder of its own. */
export class Mount implements Disposable {
  readonly #scratch = new Scratch();
  readonly path = this.#scratch.file("mount point");
  readonly #lock = lockMounts("shared");

  /** @param args Arguments of mount(8) but the last, the mount point. */
  constructor(...args: string[]) {
    Deno.mkdirSync(this.path);
    try {
      run("mount", ...args, this.path);
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  #release(): void {
    this.#lock[Symbol.dispose]();
    this.#scratch[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    run("umount", "-l", this.path);
    this.#release();
  }
}

/** Why loop devices cannot be used here; `null` if they can. */
export function loopDeviceProblem(): string | null {
  if (Deno.uid() !== 0) return "not root";
  try {
    new LoopDevice(1_048_576)[Symbol.dispose]();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Why tests that look into /sys cannot run here; `null` if they can. */
export function sysProblem(): string | null {
  try {
    Deno.statSync("/sys/block");
    return null;
  } catch {
    return "no /sys";
  }
}

/** Why file systems cannot be mounted here; `null` if they can. */
export function mountProblem(): string | null {
  if (Deno.uid() !== 0) return "not root";
  try {
    new Mount("-t", "tmpfs", "-o", "size=64k", "tmpfs")[Symbol.dispose]();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Why a program cannot be run here; `null` if it can. */
export function programProblem(...names: string[]): string | null {
  for (const name of names) {
    const found = new Deno.Command("sh", { args: ["-c", `command -v ${name}`], stdout: "null" });
    if (!found.outputSync().success) return `no ${name}`;
  }
  return null;
}

/** Why files cannot be made immutable here; `null` if they can. */
export function chattrProblem(): string | null {
  const missing = programProblem("chattr");
  if (missing !== null || Deno.uid() !== 0) return missing ?? "not root";
  using scratch = new Scratch();
  const path = scratch.file("x", "");
  const set = new Deno.Command("chattr", { args: ["+i", path], stderr: "null" });
  if (!set.outputSync().success) return "the file system has no such attribute";
  run("chattr", "-i", path);
  return null;
}

/**
 * A shell command line that runs TypeScript, in which `lib("target/x.ts")` stands for the URL of a
 * module.
 */
export function scriptCommand(code: string): string {
  const withUrls = code.replace(
    /lib\("([^"]+)"\)/g,
    (_, path) => JSON.stringify(import.meta.resolve(`../../lib/${path}`)),
  );
  return `'${Deno.execPath()}' eval '${withUrls.replaceAll("'", `'\\''`)}'`;
}

/** Runs a shell command line. */
export async function shell(
  commandLine: string,
): Promise<{ code: number; stdout: Uint8Array; stderr: string }> {
  const command = new Deno.Command("bash", { args: ["-c", commandLine], stdin: "null" });
  const { code, stdout, stderr } = await command.output();
  return { code, stdout, stderr: new TextDecoder().decode(stderr) };
}

/** Asserts that two long byte strings are equal, naming the first byte at which they are not. */
export function assertBytes(actual: Uint8Array, expected: Uint8Array): void {
  assert(actual.length === expected.length, `${actual.length} bytes, not ${expected.length}`);
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  assert(at < 0, `byte ${at} is ${actual[at]}, not ${expected[at]}`);
}
