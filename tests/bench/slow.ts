/**
 * Measures restores, checks and mounts of stores on slow storage: a file server and a hard disk,
 * which `slow_storage.ts` simulates, beside `cat` of the same chunk files.
 *
 * @module
 */

import { runSync } from "../support/programs.ts";
import { randomFrom } from "../support/random.ts";
import { addRevision, chunkFile, makeStore, sampleBytes } from "../support/store_builder.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { median } from "./codec.ts";
import { realChunks } from "./corpus.ts";
import { findTool, timed, WORKERS } from "./restore.ts";

const ROUNDS = 3;
const LARGE_CHUNKS = 80, SMALL_CHUNKS = 300, SMALL_BYTES = 20_000;
const LATENCY_MS = 5, MEGABYTES_PER_SECOND = 1000;

/** The ids of the chunks of each store, by its name. */
type Stores = Readonly<Record<string, readonly string[]>>;

/** Slow storage with copies of the stores. */
interface SlowStorage extends AsyncDisposable {
  readonly title: string;
  readonly path: string;
}

/** Prints a table for each kind of storage and each store. Takes 1.5 GiB in `dir`. */
export async function benchSlow(dir: string, print: (text: string) => void): Promise<void> {
  if (Deno.uid() !== 0) return print("needs root");
  const { name, command } = findTool();
  const source = `${dir}/stores`;
  const stores = {
    large: build(`${source}/large`, realChunks(LARGE_CHUNKS)),
    small: build(`${source}/small`, smallChunks()),
  };
  print(`${name}, ${WORKERS} threads; medians of ${ROUNDS} alternating rounds, uncached`);
  for (const makeStorage of [slowServer, slowDisk]) {
    await using storage = await makeStorage(dir, { source, stores });
    for (const [store, ids] of Object.entries(stores)) {
      print("");
      print(`${storage.title}, ${ids.length} ${store} chunks`);
      await measure(
        contendersFor(`${storage.path}/${store}`, { dir, ids, command }),
        command,
        print,
      );
    }
  }
}

async function measure(
  contenders: readonly (readonly [string, string])[],
  command: readonly string[],
  print: (text: string) => void,
): Promise<void> {
  const seconds = new Map(contenders.map(([name]) => [name, [] as number[]]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, script] of contenders) {
      // Reads the tool's executable again, which is no part of the store.
      await timed(`echo 3 >/proc/sys/vm/drop_caches; cat ${command[0]} >/dev/null`, []);
      seconds.get(name)!.push((await timed(script, command)).seconds);
    }
  }
  for (const [name, times] of seconds) print(`  ${name.padEnd(34)}${median(times).toFixed(2)} s`);
}

function contendersFor(
  basedir: string,
  { dir, ids, command }: { dir: string; ids: readonly string[]; command: readonly string[] },
): [string, string][] {
  const files = ids.map((id) => chunkFile(basedir, id));
  const byInode = files.map((path) => ({ path, ino: Deno.statSync(path).ino ?? 0 }))
    .sort((a, b) => a.ino - b.ino).map(({ path }) => path);
  Deno.writeTextFileSync(`${dir}/files`, files.join("\n"));
  Deno.writeTextFileSync(`${dir}/by-inode`, byInode.join("\n"));
  const mountpoint = `${dir}/mount`;
  Deno.mkdirSync(mountpoint, { recursive: true });
  const fuse = command[0]!.replace(/backy-extract$/, "backy-fuse");
  return [
    ["cat", `xargs cat <${dir}/files >/dev/null`],
    ["cat in the order of inodes", `xargs cat <${dir}/by-inode >/dev/null`],
    ["cat, eight at a time", `xargs -P8 -n4 cat <${dir}/files >/dev/null`],
    ["restore to /dev/null", `"$@" -q -t ${WORKERS} ${basedir}/sample - >/dev/null`],
    ["check", `"$@" check -q -t ${WORKERS} ${basedir}/sample >/dev/null`],
    ...fuse === command[0] ? [] : [[
      "mount, dd bs=4M, unmount",
      `${fuse} -t ${WORKERS} ${basedir} ${mountpoint} >/dev/null 2>&1 & ` +
      `until mountpoint -q ${mountpoint}; do kill -0 $! || exit 1; sleep 0.02; done; ` +
      `dd if=${mountpoint}/sample of=/dev/null bs=4M status=none; umount ${mountpoint}; wait`,
    ] as [string, string]],
  ];
}

/** A server in a network. */
async function slowServer(dir: string, { source }: { source: string }): Promise<SlowStorage> {
  const path = `${dir}/server`;
  const mounted = await mountSlow("server", source, path, [LATENCY_MS, MEGABYTES_PER_SECOND]);
  return { title: `server with ${LATENCY_MS} ms a request`, path, ...mounted };
}

/** A hard disk with ext4 on which chunk files lie in any order, as backups of years leave them. */
async function slowDisk(
  dir: string,
  { source, stores }: { source: string; stores: Stores },
): Promise<SlowStorage> {
  const image = `${dir}/image/disk`, simulated = `${dir}/disk`, path = `${dir}/ext4`;
  for (const folder of [`${dir}/image`, path]) Deno.mkdirSync(folder);
  runSync("truncate", "-s", "1G", image);
  runSync("mkfs.ext4", "-q", "-F", image);
  runSync("mount", "-o", "loop", image, path);
  const files = Object.entries(stores).flatMap(([name, ids]) =>
    ids.map((id) => chunkFile(name, id))
  );
  const random = randomFrom(1);
  for (const name of Object.keys(stores)) {
    Deno.mkdirSync(`${path}/${name}/chunks`, { recursive: true });
    for (const file of ["sample", "sample.rev", ".purge", "chunks/store"]) {
      Deno.copyFileSync(`${source}/${name}/${file}`, `${path}/${name}/${file}`);
    }
  }
  while (files.length > 0) {
    const [file = ""] = files.splice(random(files.length), 1);
    Deno.mkdirSync(`${path}/${file.slice(0, file.lastIndexOf("/"))}`, { recursive: true });
    Deno.copyFileSync(`${source}/${file}`, `${path}/${file}`);
  }
  runSync("umount", path);
  const mounted = await mountSlow("disk", `${dir}/image`, simulated, []);
  const device = runSync("losetup", "-r", "--direct-io=on", "-f", "--show", `${simulated}/disk`);
  // What a hard disk has by default.
  const queue = `/sys/block/${device.slice("/dev/".length)}/queue`;
  Deno.writeTextFileSync(`${queue}/read_ahead_kb`, "128");
  Deno.writeTextFileSync(`${queue}/scheduler`, "mq-deadline");
  runSync("mount", "-o", "ro,noload", device, path);
  return {
    title: "hard disk, ext4",
    path,
    async [Symbol.asyncDispose]() {
      runSync("umount", path);
      runSync("losetup", "-d", device);
      await mounted[Symbol.asyncDispose]();
    },
  };
}

/** Starts `slow_storage.ts`, and returns when its mount is there. */
async function mountSlow(
  kind: "server" | "disk",
  source: string,
  path: string,
  args: readonly number[],
): Promise<AsyncDisposable> {
  Deno.mkdirSync(path);
  const script = new URL("./slow_storage.ts", import.meta.url).pathname;
  // Before the others, so that it keeps its times.
  const child = new Deno.Command("nice", {
    args: ["-n", "-20", Deno.execPath(), "run", "-A", script, kind, source, path].concat(
      args.map(String),
    ),
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  if ((await reader.read()).done) throw new Error(`Cannot mount ${path}`);
  return {
    async [Symbol.asyncDispose]() {
      // Its descriptor of the loop device's file may be closed a little later.
      await timed(`until umount ${path}; do sleep 0.1; done`, []);
      await reader.cancel();
      await child.status;
    },
  };
}

function build(basedir: string, chunks: Iterable<Uint8Array>): readonly string[] {
  makeStore(basedir);
  const { ids } = addRevision(basedir, "sample", chunks);
  return [...new Set(ids)].filter((id) => id !== null);
}

function* smallChunks(): Generator<Uint8Array> {
  for (let seed = 0; seed < SMALL_CHUNKS; seed++) {
    const chunk = new Uint8Array(CHUNK_BYTES);
    chunk.set(sampleBytes(seed, SMALL_BYTES));
    yield chunk;
  }
}
