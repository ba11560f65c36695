/**
 * Measures a mount with the compiled binaries: sequential reads against a restore, and where their
 * processor time goes; files through a writable loop mount; random reads; many revisions.
 *
 * @module
 */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { addRevision, chunksOfFile, makeStore, writeMap } from "../support/store_builder.ts";
import { median } from "./codec.ts";
import { type PartTimes, readPartTimes, renderTimes, timesSince } from "./process_time.ts";
import { peakOf, sampleImage, timed } from "./restore.ts";

const ROUNDS = 5;
const REVISIONS = 1000;
/** More than the mount's cache and the kernel's take for an image. */
const WOKEN_BYTES = 6 * 1024 ** 3;
const READY_TIMEOUT_MS = 20_000;

/** Caches that are compared: one smaller than the image's data, the default, and a larger one. */
const CACHES = [["-c", "256"], [], ["-c", "4096"]] as const;

/** The reads of one cache. */
interface Scene {
  readonly args: readonly string[];
  readonly seconds: number[];
  readonly ratios: number[];
  readonly times: PartTimes[];
  readonly peakMib: number[];
}

/**
 * Prints the figures of a mount. Needs dist/backy-extract, dist/backy-fuse (`BACKY_EXTRACT` and
 * `BACKY_FUSE` name others) and root; fio for random reads, mkfs.ext4 for the loop mount.
 */
export async function benchFuse(dir: string, print: (text: string) => void): Promise<void> {
  const dist = new URL("../../dist/", import.meta.url).pathname;
  const extract = Deno.env.get("BACKY_EXTRACT") ?? `${dist}backy-extract`;
  const fuse = Deno.env.get("BACKY_FUSE") ?? `${dist}backy-fuse`;
  const basedir = `${dir}/vm0`;
  makeStore(basedir);
  const { path, ids, size } = addRevision(basedir, "monday", sampleImage());
  writeMap(basedir, "tuesday", { ids, size });
  const metadata = Deno.readTextFileSync(`${path}.rev`);
  Deno.writeTextFileSync(`${basedir}/tuesday.rev`, metadata.replaceAll("monday", "tuesday"));
  print(`${fuse}, ${(size / 2 ** 30).toFixed(1)} GiB image, a quarter zeros, in ${dir}:`);

  const scenes: Scene[] = CACHES.map((args) => {
    return { args, seconds: [], ratios: [], times: [], peakMib: [] };
  });
  const restores: number[] = [], shared: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const restore = await timed(`"$@" -q -t 2 ${path} - >/dev/null`, [extract]);
    restores.push(restore.seconds);
    for (const scene of scenes) {
      const isLarge = scene.args === CACHES.at(-1);
      await using mount = await Mount.open(fuse, [...scene.args, "-t", "2", "-d", basedir], dir);
      await wakeMemory(dir);
      const { seconds, times } = await mount.read("monday");
      scene.seconds.push(seconds);
      scene.ratios.push(seconds / restore.seconds);
      scene.times.push(times);
      scene.peakMib.push(mount.peakMib);
      if (!isLarge) continue;
      // The cache holds the image, so the second revision comes from it.
      await wakeMemory(dir);
      shared.push((await mount.read("tuesday")).seconds);
      if (round === ROUNDS - 1) await mount.readRandomly("monday", print);
    }
  }
  const range = (values: number[]) =>
    `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)} to ` +
    `${Math.max(...values).toFixed(2)})`;
  print(`  restore to /dev/null: ${range(restores)} s`);
  for (const { args, seconds, ratios, times, peakMib } of scenes) {
    const cache = args.join(" ") || "default cache";
    print(`  dd bs=4M, ${cache}: ${range(seconds)} s, ${range(ratios)} of the restore`);
    print(`    ${renderTimes(times)}; peak memory ${median(peakMib).toFixed(0)} MiB`);
  }
  const speed = (size / median(shared) / 1e9).toFixed(2);
  print(`  dd bs=4M of a revision with the same chunks, from the cache: ${speed} GB/s`);
  await benchFiles(fuse, dir, print);
  await benchManyRevisions(fuse, dir, print);
}

/** What a read took. */
interface Read {
  readonly seconds: number;
  readonly times: PartTimes;
}

/** Runs a script that reads a path. @param pid The process of the mount that it is in, if any. */
async function measureRead(script: string, path: string, pid: number | null): Promise<Read> {
  const before = readPartTimes(pid);
  const { seconds } = await timed(script, [path]);
  return { seconds, times: timesSince(before, readPartTimes(pid)) };
}

/** Size of all files that are read through a loop mount. */
const FILES_MIB = 1000;

/**
 * Reads the files of an ext4 by tar, through a loop device over the raw image and one over the
 * image in a mount; both are mounted writable.
 */
async function benchFiles(fuse: string, dir: string, print: (text: string) => void) {
  const [tree, raw, at] = [`${dir}/tree`, `${dir}/files.img`, `${dir}/at`];
  // Libraries of this system, up to a size.
  await timed(
    `mkdir "$1" "$2"; cd /usr/lib
     find . -xdev -type f -size -20M -printf '%s %p\\n' | sort -k 2 |
       awk '(total += $1) < ${FILES_MIB} * 1048576 { print substr($0, length($1) + 2) }' |
       tar -cf - -T - | tar -xf - -C "$1"
     truncate -s ${FILES_MIB + 400}M "$3"; mkfs.ext4 -q -d "$1" "$3"; rm -r "$1"`,
    [tree, at, raw],
  );
  const basedir = `${dir}/files`;
  makeStore(basedir);
  addRevision(basedir, "disk", chunksOfFile(raw), { size: Deno.statSync(raw).size });
  const uses = { raw: [] as Read[], mount: [] as Read[] };
  const measure = async (image: string, pid: number | null) => {
    await timed('mount -o loop "$1" "$2"', [image, at]);
    try {
      return await measureRead('tar -C "$1" -cf - . | cat >/dev/null', at, pid);
    } finally {
      await timed('umount "$1"', [at]);
    }
  };
  for (let round = 0; round < ROUNDS; round++) {
    await wakeMemory(dir);
    uses.raw.push(await measure(raw, null));
    await using mount = await Mount.open(fuse, ["-t", "2", "-d", basedir], dir);
    await wakeMemory(dir);
    uses.mount.push(await measure(mount.file("disk"), mount.pid));
  }
  const describe = (reads: readonly Read[]) =>
    `${median(reads.map(({ seconds }) => seconds)).toFixed(2)} s; ` +
    renderTimes(reads.map(({ times }) => times));
  print(`  tar of ext4 files through a loop device over the raw image: ${describe(uses.raw)}`);
  print(`    over the image in a mount: ${describe(uses.mount)}`);
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

async function benchManyRevisions(fuse: string, dir: string, print: (text: string) => void) {
  const basedir = `${dir}/many`;
  makeStore(basedir);
  for (let i = 0; i < REVISIONS; i++) {
    addRevision(basedir, `rev${i}`, ["absent"], { size: CHUNK_BYTES });
  }
  const startMs = performance.now();
  await using mount = await Mount.open(fuse, ["-d", basedir], dir);
  const elapsedMs = performance.now() - startMs;
  const mounted = (elapsedMs / 1000).toFixed(2);
  const listed = (await timed('ls -l "$1" >/dev/null', [mount.file("")])).seconds.toFixed(2);
  print(`  ${REVISIONS} revisions: mounted in ${mounted} s, first ls -l in ${listed} s`);
}

class Mount implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #path: string;

  private constructor(child: Deno.ChildProcess, path: string) {
    this.#child = child;
    this.#path = path;
  }

  static async open(fuse: string, args: readonly string[], dir: string): Promise<Mount> {
    const path = Deno.makeTempDirSync({ dir, prefix: "mnt-" });
    const child = new Deno.Command(fuse, {
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

  get pid(): number {
    return this.#child.pid;
  }

  get peakMib(): number {
    return peakOf(this.#child.pid);
  }

  /** Path of a file in the mount. */
  file(name: string): string {
    return `${this.#path}/${name}`;
  }

  /** Reads an image from one end to the other. */
  read(name: string): Promise<Read> {
    return measureRead('dd if="$1" of=/dev/null bs=4M status=none', this.file(name), this.pid);
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
