/**
 * What tests need from the machine: folders, loop devices, small file systems, FIFOs. Each test
 * makes its own and disposes of it; where the machine cannot, {@linkcode testUnless} ignores the
 * test.
 *
 * @module
 */

import type { DirectMode } from "../../lib/target/target.ts";
import { assert } from "../assert.ts";
import { lockMounts } from "./mount_lock.ts";
import { programProblem, runSync } from "./programs.ts";

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

/**
 * Sectors of loop devices for which a test asks no size, if they have a whole number of them;
 * `tests/filesystems.sh` sets it.
 */
const SECTOR_BYTES = Number(Deno.env.get("BACKY_TEST_SECTOR_BYTES") ?? 512);

/**
 * Whether loop devices pass the page cache of the file behind them; `tests/filesystems.sh` sets it.
 */
const IS_BACKING_DIRECT = Deno.env.get("BACKY_TEST_BACKING") === "direct";

/** What `--direct` is where a test does not say; `tests/filesystems.sh` sets it. */
export function defaultDirect(): DirectMode | undefined {
  const mode = Deno.env.get("BACKY_TEST_DIRECT");
  return DIRECT_MODES.find((known) => known === mode);
}

const DIRECT_MODES: readonly DirectMode[] = ["auto", "never", "always"];

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
    const sectorBytes = options.sectorBytes ?? (bytes % SECTOR_BYTES === 0 ? SECTOR_BYTES : 512);
    this.path = runSync(
      "losetup",
      ...(options.isReadOnly ? ["-r"] : []),
      ...["-b", String(sectorBytes), "-f", "--show", this.backing],
    );
    if (!IS_BACKING_DIRECT) return;
    try {
      runSync("losetup", "--direct-io=on", this.path);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  read(): Uint8Array<ArrayBuffer> {
    using device = Deno.openSync(this.path);
    // Deno.readFileSync() takes a device for an empty file, and grows its buffer step by step.
    const bytes = new Uint8Array(this.bytes);
    for (let done = 0; done < bytes.length;) {
      const count = device.readSync(bytes.subarray(done));
      assert(count !== null, `${this.path} ends after ${done} bytes`);
      done += count;
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    runSync("losetup", "-d", this.path);
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
      runSync("mount", ...args, this.path);
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
    runSync("umount", "-l", this.path);
    this.#release();
  }
}

/** Makes a file system of 320 MiB in a file of the folder, and mounts it. */
export function mountNew(type: string, scratch: Scratch): Mount {
  if (type === "tmpfs") return new Mount("-t", "tmpfs", "tmpfs");
  const image = scratch.file("file system", "");
  Deno.truncateSync(image, 335_544_320);
  runSync(`mkfs.${type}`, "-q", image);
  return new Mount("-o", "loop", image);
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

/** Why files cannot be made immutable here; `null` if they can. */
export function chattrProblem(): string | null {
  const missing = programProblem("chattr");
  if (missing !== null || Deno.uid() !== 0) return missing ?? "not root";
  using scratch = new Scratch();
  const path = scratch.file("x", "");
  const set = new Deno.Command("chattr", { args: ["+i", path], stderr: "null" });
  if (!set.outputSync().success) return "the file system has no such attribute";
  runSync("chattr", "-i", path);
  return null;
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

/** Declares a test that is ignored, with the reason in its name, if there is a problem. */
export function testUnless(
  problem: string | null,
  name: string,
  fn: () => void | Promise<void>,
): void {
  if (problem === null) Deno.test(name, fn);
  else Deno.test({ name: `${name} [ignored: ${problem}]`, ignore: true, fn });
}
