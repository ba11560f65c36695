/**
 * `flaky_fs.ts`, mounted for a test in a process of its own.
 *
 * @module
 */

import type { Site } from "../cli/fuse_harness.ts";
import { tryRun } from "../support/programs.ts";
import { RunningTool } from "../support/tool.ts";
import type { Faults } from "./flaky_fs.ts";

/** A mounted directory whose operations fail on demand. */
export class FlakyMount implements AsyncDisposable {
  /** Where it is mounted. */
  readonly path: string;
  /** The directory that it shows. */
  readonly directory: string;
  readonly #control: string;
  readonly #process: RunningTool;

  private constructor(site: Site) {
    this.path = site.folder();
    this.directory = site.folder();
    this.#control = site.file(`control of ${this.path.split("/").at(-1)}`, "{}");
    const pathOf = (name: string) => new URL(name, import.meta.url).pathname;
    this.#process = new RunningTool([
      ...[Deno.execPath(), "run", "-A", "--quiet", "--no-lock"],
      `--config=${pathOf("../../deno.json")}`,
      ...[pathOf("flaky_fs.ts"), this.path, this.directory, this.#control],
    ]);
  }

  /** Mounts an empty directory. */
  static async start(site: Site): Promise<FlakyMount> {
    const mount = site.use(new FlakyMount(site));
    await mount.#process.untilSaid("ready");
    return mount;
  }

  /** Sets what goes wrong from now on; by default nothing. */
  set(faults: Faults = {}): void {
    // Renamed into place: otherwise the file system might read half of it.
    Deno.writeTextFileSync(`${this.#control}.new`, JSON.stringify(faults));
    Deno.renameSync(`${this.#control}.new`, this.#control);
  }

  /** Ends the file system's process as a crash would. */
  kill(): void {
    this.#process.signal("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.signal("SIGTERM");
    await tryRun("umount", "-l", this.path);
    await this.#process[Symbol.asyncDispose]();
  }
}
