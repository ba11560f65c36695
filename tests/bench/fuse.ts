/**
 * Measures a mount with the compiled binaries: sequential reads against a restore, random reads,
 * many revisions.
 *
 * @module
 */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { addRevision, makeStore, writeMap } from "../support/store_builder.ts";
import { median } from "./codec.ts";
import { peakOf, sampleImage, timed } from "./restore.ts";

const ROUNDS = 5;
const REVISIONS = 1000;
/** More than the mount's cache and the kernel's take for an image. */
const WOKEN_BYTES = 6 * 1024 ** 3;
const READY_TIMEOUT_MS = 20_000;

/**
 * Prints the figures of a mount. Needs dist/backy-extract, dist/backy-fuse and root; fio for random
 * reads.
 */
export async function benchFuse(dir: string, print: (text: string) => void): Promise<void> {
  const dist = new URL("../../dist/", import.meta.url).pathname;
  const basedir = `${dir}/vm0`;
  makeStore(basedir);
  const { path, ids, size } = addRevision(basedir, "monday", sampleImage());
  writeMap(basedir, "tuesday", { ids, size });
  const metadata = Deno.readTextFileSync(`${path}.rev`);
  Deno.writeTextFileSync(`${basedir}/tuesday.rev`, metadata.replaceAll("monday", "tuesday"));
  print(`dist/backy-fuse, ${(size / 2 ** 30).toFixed(1)} GiB image, a quarter zeros, in ${dir}:`);

  const seconds = { restore: [] as number[], first: [] as number[], shared: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    const restore = await timed(`"$@" -q -t 2 ${path} - >/dev/null`, [`${dist}backy-extract`]);
    seconds.restore.push(restore.seconds);
    // The cache must hold the image for the second revision to come from it.
    await using mount = await Mount.open(dist, ["-c", "4096", "-t", "2", "-d", basedir], dir);
    await wakeMemory(dir);
    seconds.first.push((await mount.read("monday")).seconds);
    await wakeMemory(dir);
    seconds.shared.push((await mount.read("tuesday")).seconds);
    print(`  round ${round + 1}: peak memory ${mount.peakMib.toFixed(0)} MiB with -c 4096`);
    if (round === ROUNDS - 1) await mount.readRandomly("monday", print);
  }
  const ratios = seconds.first.map((time, round) => time / seconds.restore[round]!);
  const range = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`;
  const speed = (values: number[]) => `${(size / median(values) / 1e9).toFixed(2)} GB/s`;
  print(`  dd bs=4M: ${speed(seconds.first)}`);
  print(`  the time of a restore to /dev/null times ${median(ratios).toFixed(2)} (${range})`);
  print(`  dd bs=4M of a revision with the same chunks: ${speed(seconds.shared)}`);
  await benchManyRevisions(dist, dir, print);
}

/**
 * Uses memory and frees it, then drops the page cache. The host of a virtual machine reclaims
 * unused memory; fetching each page back took longer than everything that is measured here.
 */
async function wakeMemory(dir: string): Promise<void> {
  const path = `${dir}/memory`;
  await timed(`head -c ${WOKEN_BYTES} /dev/zero >${path}; rm ${path}`, []);
  Deno.writeTextFileSync("/proc/sys/vm/drop_caches", "3");
}

async function benchManyRevisions(dist: string, dir: string, print: (text: string) => void) {
  const basedir = `${dir}/many`;
  makeStore(basedir);
  for (let i = 0; i < REVISIONS; i++) {
    addRevision(basedir, `rev${i}`, ["absent"], { size: CHUNK_BYTES });
  }
  const startMs = performance.now();
  await using _mount = await Mount.open(dist, ["-d", basedir], dir);
  const elapsedMs = performance.now() - startMs;
  print(`  ${REVISIONS} revisions: mounted in ${(elapsedMs / 1000).toFixed(2)} s`);
}

class Mount implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #path: string;

  private constructor(child: Deno.ChildProcess, path: string) {
    this.#child = child;
    this.#path = path;
  }

  static async open(dist: string, args: readonly string[], dir: string): Promise<Mount> {
    const path = Deno.makeTempDirSync({ dir, prefix: "mnt-" });
    const child = new Deno.Command(`${dist}backy-fuse`, {
      args: [...args, path],
      stderr: "null",
    }).spawn();
    const mount = new Mount(child, path);
    const deadlineMs = performance.now() + READY_TIMEOUT_MS;
    while (!Deno.readTextFileSync("/proc/self/mountinfo").includes(` ${path} `)) {
      if (performance.now() > deadlineMs) throw new Error("Cannot measure: the mount is not ready");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return mount;
  }

  get peakMib(): number {
    return peakOf(this.#child.pid);
  }

  read(name: string): Promise<{ seconds: number }> {
    return timed(`dd if=${this.#path}/${name} of=/dev/null bs=4M status=none`, []);
  }

  /** Reads 4 KiB at a time from all over an image that is in the cache. */
  async readRandomly(name: string, print: (text: string) => void): Promise<void> {
    const options = "--rw=randread --bs=4k --ioengine=psync --direct=1 --runtime=5 --time_based";
    const command = `fio --name=r --readonly --filename=${this.#path}/${name} ${options}`;
    const { success, stdout } = await new Deno.Command("sh", {
      args: ["-c", command],
      stderr: "null",
    }).output();
    const found = /IOPS=([^,]+)/.exec(new TextDecoder().decode(stdout));
    print(`  4 KiB random reads: ${success && found ? `${found[1]}/s` : "fio is not installed"}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.status;
  }
}
