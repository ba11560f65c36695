/**
 * Measures whole restores with the compiled binary, or from source where there is none: wall time
 * and peak memory.
 *
 * @module
 */

import { CHUNK_BYTES, ZERO_CHUNK_ID } from "../../lib/store/layout.ts";
import {
  addRevision,
  type ChunkContent,
  chunkFile,
  makeStore,
  writeMap,
} from "../support/store_builder.ts";
import { median } from "./codec.ts";
import { realChunks } from "./corpus.ts";

/** Threads of the tool where it is compared with others. */
export const WORKERS = 2;

const DATA_CHUNKS = 384;
const ROUNDS = 5;
const HUGE_SEQS = 4_194_304;
const POLL_MS = 10;

interface Run {
  readonly seconds: number;
  readonly peakMib: number;
}

/** Prints the time and memory of restores to each kind of target. Takes about 3 GiB in `dir`. */
export async function benchRestore(dir: string, print: (text: string) => void): Promise<void> {
  const tool = findTool();
  const basedir = `${dir}/vm0`;
  makeStore(basedir);
  const { path, size } = addRevision(basedir, "sample", sampleImage());
  writeMap(basedir, "zeros", {
    ids: Array<string>(HUGE_SEQS).fill(ZERO_CHUNK_ID),
    size: HUGE_SEQS * CHUNK_BYTES,
  });
  const gib = (size / 2 ** 30).toFixed(1);
  print(`${tool.name}, ${gib} GiB image, a quarter zeros, store and target in ${dir}:`);

  const target = `${dir}/target.img`;
  const commands: [string, string, number][] = [
    ["--version", '"$@" --version >/dev/null', 0],
    ["to stdout", `"$@" -q -t 2 ${path} - >/dev/null`, size],
    ["through a pipe to cat", `"$@" -q -t 2 ${path} - | cat >/dev/null`, size],
    ["to a sparse file", `"$@" -q -t 2 ${path} ${target}`, size],
    ["to a sparse file, 1 worker", `"$@" -q -t 1 ${path} ${target}`, size],
    ["to a sparse file, 4 workers", `"$@" -q -t 4 ${path} ${target}`, size],
    ["16 TiB of zeros to a sparse file", `"$@" -q -t 2 ${basedir}/zeros ${target}`, 0],
  ];
  for (const [name, script, bytes] of commands) {
    const runs: Run[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      runs.push(await timed(script, tool.command));
      removeIfThere(target);
    }
    const seconds = median(runs.map((run) => run.seconds));
    const peakMib = Math.max(...runs.map((run) => run.peakMib));
    const rate = bytes > 0 ? `, ${(bytes / seconds / 1e9).toFixed(2)} GB/s of image` : "";
    print(`  ${name}: ${seconds.toFixed(3)} s${rate}, peak memory ${peakMib.toFixed(0)} MiB`);
  }
}

/**
 * Prints how the restore of a store that is not in the page cache compares with `cat` of its chunk
 * files.
 */
export async function benchCold(dir: string, print: (text: string) => void): Promise<void> {
  const tool = findTool();
  const basedir = `${dir}/vm0`;
  makeStore(basedir);
  const { path, ids } = addRevision(basedir, "sample", sampleImage());
  const files = [...new Set(ids)].filter((id) => id !== null).map((id) => chunkFile(basedir, id));
  const bytes = files.reduce((sum, file) => sum + Deno.statSync(file).size, 0);
  Deno.writeTextFileSync(`${dir}/files`, files.join("\n"));
  const seconds = { restore: [] as number[], cat: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    await timed("sync; echo 3 >/proc/sys/vm/drop_caches", []);
    seconds.cat.push((await timed(`xargs cat <${dir}/files >/dev/null`, [])).seconds);
    await timed("sync; echo 3 >/proc/sys/vm/drop_caches", []);
    seconds.restore.push((await timed(`"$@" -q -t 2 ${path} - >/dev/null`, tool.command)).seconds);
  }
  const speed = (values: number[]) => `${(bytes / median(values) / 1e9).toFixed(2)} GB/s`;
  const ratio = median(seconds.restore.map((time, round) => time / seconds.cat[round]!));
  print(`${tool.name}, ${files.length} chunk files, page cache dropped before each run:`);
  print(`  cat reads ${speed(seconds.cat)}, the restore ${speed(seconds.restore)} of chunk files`);
  print(`  the restore takes ${ratio.toFixed(2)} of the time of cat`);
}

/** Real files with a zero chunk behind every third. */
export function* sampleImage(): Generator<ChunkContent> {
  let count = 0;
  for (const chunk of realChunks(DATA_CHUNKS)) {
    yield chunk;
    if (++count % 3 === 0) yield "absent";
  }
}

/** A folder in memory, where this machine has one. */
export function sharedMemoryDir(): string | undefined {
  try {
    return Deno.statSync("/dev/shm").isDirectory ? "/dev/shm" : undefined;
  } catch {
    return undefined;
  }
}

/** The executable, or the command that runs the sources. `BACKY_EXTRACT` names another one. */
export function findTool(): { name: string; command: string[] } {
  const other = Deno.env.get("BACKY_EXTRACT");
  if (other) return { name: other, command: [other] };
  const root = new URL("../../", import.meta.url).pathname;
  const binary = `${root}dist/backy-extract`;
  try {
    Deno.statSync(binary);
    return { name: "dist/backy-extract", command: [binary] };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { name: "main.ts", command: [Deno.execPath(), "run", "-A", `${root}main.ts`] };
  }
}

/**
 * Runs a shell script, `command` being its arguments, and measures it. @throws {Error} If it fails.
 */
export async function timed(script: string, command: readonly string[]): Promise<Run> {
  const startMs = performance.now();
  const child = new Deno.Command("sh", { args: ["-c", script, "sh", ...command] }).spawn();
  let peakMib = 0;
  const timer = setInterval(() => peakMib = Math.max(peakMib, peakOfFamily(child.pid)), POLL_MS);
  const { code } = await child.status;
  clearInterval(timer);
  if (code !== 0) throw new Error(`Cannot measure: exit code ${code} of ${script}`);
  return { seconds: (performance.now() - startMs) / 1000, peakMib };
}

/**
 * Largest resident set so far of a process or one of its children, in MiB; 0 once they have ended.
 */
function peakOfFamily(pid: number): number {
  try {
    const children = Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).split(" ");
    return Math.max(...[String(pid), ...children].filter(Boolean).map((id) => peakOf(Number(id))));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

/**
 * Largest resident set so far of a process, in MiB. @throws {Deno.errors.NotFound} If it is gone.
 */
export function peakOf(pid: number): number {
  const peak = /VmHWM:\s*(\d+) kB/.exec(Deno.readTextFileSync(`/proc/${pid}/status`));
  return Number(peak?.[1] ?? 0) / 1024;
}

/** Removes a file if there is one. */
export function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
