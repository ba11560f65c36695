/**
 * Measures what large images cost apart from their bytes: maps of up to 64 TiB, and the work on a
 * chunk that is not decoding.
 *
 * @module
 */

import * as codec from "lzo-wasm";
import { CHUNK_BYTES, CHUNK_HEADER_BYTES, ZERO_CHUNK_ID } from "../../lib/store/layout.ts";
import { addRevision, chunkFile, makeStore } from "../support/store_builder.ts";
import { median } from "./codec.ts";
import { measureUse } from "./machine_use.ts";
import { findTool, removeIfThere, sampleImage, timed, WORKERS } from "./restore.ts";
import { TIB_SEQS, writeLargeMap, writeMetadata } from "./scale.ts";

const ROUNDS = 3;
const IMAGE_TIB = [4, 16, 64] as const;
const SMALL_CHUNKS = 20_000;
const SMALL_DATA_BYTES = 4096;

/** Prints both. Takes 4 GiB in `dir`, which must take a sparse file of 64 TiB, as tmpfs does. */
export async function benchHuge(dir: string, print: (text: string) => void): Promise<void> {
  print(`${findTool().name}, ${WORKERS} workers, in ${dir}; medians of ${ROUNDS} rounds:`);
  await benchMaps(dir, print);
  await benchChunks(dir, print);
}

/** Times and peak memory of what takes long for a large map only. */
async function benchMaps(dir: string, print: (text: string) => void): Promise<void> {
  const { command } = findTool();
  const target = `${dir}/target.img`;
  const chunks = `${dir}/sample`;
  makeStore(chunks);
  const { ids } = addRevision(chunks, "sample", sampleImage());
  const dataIds = ids.filter((id) => id !== null);
  const kinds: Record<string, (seq: number) => string> = {
    zeros: () => ZERO_CHUNK_ID,
    few: (seq) => dataIds[seq % dataIds.length]!,
    distinct: (seq) => (seq + 1).toString(16).padStart(32, "1"),
  };
  const quiet = `"$@" -q -t ${WORKERS}`;
  const operations: [string, (store: (kind: string) => string) => string][] = [
    ["list", (store) => `"$@" list ${store("few")} >/dev/null`],
    ["list, all chunks distinct", (store) => `"$@" list ${store("distinct")} >/dev/null`],
    ["check --sample=1", (store) => `"$@" check -q --sample=1 ${store("few")}/image`],
    ["--dry-run", (store) => `${quiet} -n ${store("few")}/image - >/dev/null`],
    ["--base that is the same", (store) => `${quiet} --base=image ${store("few")}/image ${target}`],
    ["zeros to a sparse file", (store) => `${quiet} ${store("zeros")}/image ${target}`],
  ];
  const cells = new Map<string, string[]>(operations.map(([name]) => [name, []]));
  for (const tib of IMAGE_TIB) {
    const store = (kind: string) => `${dir}/${kind}-${tib}`;
    for (const [kind, idOf] of Object.entries(kinds)) {
      makeStore(store(kind));
      if (kind === "few") linkChunks(chunks, store(kind));
      writeLargeMap(`${store(kind)}/image`, tib * TIB_SEQS, idOf);
      writeMetadata(store(kind), "image");
    }
    for (const [name, scriptOf] of operations) {
      const runs = [];
      for (let round = 0; round < ROUNDS; round++) {
        removeIfThere(target);
        if (name.startsWith("--base")) await timed(`truncate -s ${tib}T ${target}`, []);
        runs.push(await timed(scriptOf(store), command));
      }
      const seconds = median(runs.map((run) => run.seconds)).toFixed(2);
      const peakMib = Math.max(...runs.map((run) => run.peakMib)).toFixed(0);
      cells.get(name)!.push(`${seconds} s, ${peakMib} MiB`);
    }
    for (const kind of Object.keys(kinds)) Deno.removeSync(store(kind), { recursive: true });
  }
  removeIfThere(target);
  const row = (name: string, texts: readonly string[]) =>
    print(`  ${name.padEnd(28)}${texts.map((text) => text.padStart(18)).join("")}`);
  row("time and peak memory", IMAGE_TIB.map((tib) => `${tib} TiB`));
  for (const [name, texts] of cells) row(name, texts);
}

/** Gives a store the chunk files of another. */
function linkChunks(from: string, to: string): void {
  Deno.removeSync(`${to}/chunks`, { recursive: true });
  Deno.symlinkSync(`${from}/chunks`, `${to}/chunks`);
}

/** What a chunk costs that has little to decode. */
async function benchChunks(dir: string, print: (text: string) => void): Promise<void> {
  const { command } = findTool();
  const basedir = `${dir}/small`;
  makeStore(basedir);
  const one = addRevision(basedir, "one", smallChunks(1));
  const many = addRevision(basedir, "many", smallChunks(SMALL_CHUNKS));
  const fileBytes = Deno.statSync(chunkFile(basedir, one.ids[0]!)).size;
  print(`  ${SMALL_CHUNKS} distinct chunks in files of ${fileBytes} bytes:`);
  for (const [name, hash] of [["restore to /dev/null", true], ["--no-verify", false]] as const) {
    const script = `"$@" -q -t ${WORKERS} ${hash ? "" : "--no-verify"}`;
    const seconds: number[] = [], micros: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const start = await measureUse(`${script} ${one.path} - >/dev/null`, command);
      const whole = await measureUse(`${script} ${many.path} - >/dev/null`, command);
      const cpu = whole.userSeconds + whole.systemSeconds - start.userSeconds - start.systemSeconds;
      seconds.push(whole.seconds);
      micros.push(cpu / SMALL_CHUNKS * 1e6);
    }
    const codecMicros = codecTime(chunkFile(basedir, one.ids[0]!), hash);
    print(
      `  ${name}: ${median(seconds).toFixed(2)} s, ${median(micros).toFixed(0)} us of processor ` +
        `time a chunk, ${codecMicros.toFixed(0)} us of them in the codec`,
    );
  }
  Deno.removeSync(basedir, { recursive: true });
}

/** Chunks with some noise at their start and zeros behind it. */
function* smallChunks(count: number): Generator<Uint8Array> {
  const content = new Uint8Array(CHUNK_BYTES);
  const words = new Uint32Array(content.buffer, 0, SMALL_DATA_BYTES / 4);
  for (let at = 0; at < count; at++) {
    words.forEach((_, index) => words[index] = Math.imul(index + 1, 0x9e3779b1 + at) & 0xff00ff);
    words[0] = at;
    yield content;
  }
}

/** Microseconds that the codec takes for a chunk. */
function codecTime(file: string, hash: boolean): number {
  const bytes = Deno.readFileSync(file);
  codec.input.set(bytes);
  const options = { outputBytes: CHUNK_BYTES, hash };
  const times = Array.from({ length: 501 }, () => {
    const startMs = performance.now();
    codec.decode({ start: CHUNK_HEADER_BYTES, end: bytes.length }, 0, options);
    return performance.now() - startMs;
  });
  return median(times) * 1000;
}
