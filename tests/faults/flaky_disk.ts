/**
 * Disks that fail: a loop device over a file of `flaky_fs.ts`. It fails below the page cache, like
 * a real disk: a write fails when the kernel writes back, long after the program's call succeeded.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import { fuseProblem, type Site } from "../cli/fuse_harness.ts";
import { loopDeviceProblem } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import type { Faults } from "./flaky_fs.ts";
import { FlakyMount } from "./flaky_mount.ts";

/** What is on a disk; "none" for nothing but the image. */
export type DiskFormat = "ext4" | "xfs" | "btrfs" | "none";

const MIB = 1_048_576;

/** As small as each mkfs allows, with room for the images of these tests. */
const DISK_BYTES: Readonly<Record<DiskFormat, number>> = {
  ext4: 128 * MIB,
  xfs: 320 * MIB,
  btrfs: 256 * MIB,
  none: 64 * MIB,
};

/** Why such a disk cannot be made here; `null` if it can. */
export function flakyDiskProblem(format: DiskFormat): string | null {
  const mkfs = format === "none" ? [] : [`mkfs.${format}`];
  return fuseProblem ?? loopDeviceProblem() ?? programProblem(...mkfs);
}

/** A disk that ends with its test, even if that fails. */
export class FlakyDisk {
  /** Where restores go: a file on the disk, or the disk itself. */
  readonly target: string;
  readonly #flaky: FlakyMount;
  readonly #storage: string;

  private constructor(flaky: FlakyMount, target: string) {
    this.#flaky = flaky;
    this.#storage = `${flaky.directory}/disk`;
    this.target = target;
  }

  static async make(site: Site, format: DiskFormat): Promise<FlakyDisk> {
    const flaky = await FlakyMount.start(site);
    Deno.writeFileSync(`${flaky.directory}/disk`, new Uint8Array());
    Deno.truncateSync(`${flaky.directory}/disk`, DISK_BYTES[format]);
    const device = await site.loopDevice(`${flaky.path}/disk`);
    if (format === "none") {
      // The kernel drops its cache of a device when nobody has it open any more. Here it stays
      // open.
      site.use(Deno.openSync(device));
      return new FlakyDisk(flaky, device);
    }
    runSync(`mkfs.${format}`, "-q", device);
    const folder = await site.mountDevice("-t", format, device);
    return new FlakyDisk(flaky, `${folder}/image`);
  }

  /** Sets what goes wrong from now on; by default nothing. */
  set(faults: Omit<Faults, "marker"> & { marker?: Uint8Array } = {}): void {
    const { marker, ...rest } = faults;
    const text = marker && Buffer.from(marker).toString("latin1");
    this.#flaky.set({ ...rest, ...(text !== undefined && { marker: text }) });
  }

  /** Finds where on the disk some bytes lie. @throws {Error} If they do not. */
  find(bytes: Uint8Array): number {
    const at = Buffer.from(Deno.readFileSync(this.#storage)).indexOf(bytes);
    if (at < 0) throw new Error("The bytes are not on the disk");
    return at;
  }

  /**
   * Reads the target past the page cache, by a program that is independent of the tool.
   */
  async read(length: number): Promise<Uint8Array> {
    const command = new Deno.Command("dd", {
      args: ["bs=1M", "iflag=direct,count_bytes", `count=${length}`, `if=${this.target}`],
    });
    const { stdout, success, stderr } = await command.output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return stdout;
  }
}
