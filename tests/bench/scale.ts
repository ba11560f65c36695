/**
 * Measures the time, processor time and memory of lists and checks of large backup directories.
 *
 * @module
 */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { makeStore } from "../support/store_builder.ts";
import { findTool } from "./restore.ts";

/** Seqs of an image of 1 TiB. */
export const TIB_SEQS = 2 ** 40 / CHUNK_BYTES;
const SIGNAL_AFTER_MS = 3000;

/**
 * Prints a line for each directory. Takes about 4 GiB in `dir`, and a 256 TiB map takes a while to
 * write.
 */
export async function benchScale(dir: string, print: (text: string) => void): Promise<void> {
  const { name, command } = findTool();
  print(`${name}, in ${dir}:`);
  for (const count of [10_000, 50_000]) {
    const basedir = `${dir}/small-${count}`;
    makeSmall(basedir, count);
    print(`  list of ${count} small revisions: ${await measured([...command, "list", basedir])}`);
  }
  const large = `${dir}/large`;
  makeStore(large);
  writeLargeMap(`${large}/R0`, 4 * TIB_SEQS, (seq) => (seq + 1).toString(16).padStart(32, "1"));
  for (let at = 0; at < 60; at++) {
    if (at > 0) Deno.linkSync(`${large}/R0`, `${large}/R${at}`);
    writeMetadata(large, `R${at}`);
    if (at !== 0 && at !== 59) continue;
    const what = `list of ${at + 1} revisions of 4 TiB`;
    print(`  ${what}: ${await measured([...command, "list", large])}`);
  }
  const huge = `${dir}/huge`;
  makeStore(huge);
  writeLargeMap(`${huge}/R0`, 256 * TIB_SEQS, () => "4".repeat(32));
  writeMetadata(huge, "R0");
  const check = [...command, "check", "-q", `${huge}/R0`];
  print(`  check of 256 TiB of one missing chunk: ${await measured(check)}`);
  for (const args of [check, [...command, "-q", "-n", `${huge}/R0`, "/dev/null"]]) {
    const ms = await signalLatency(args);
    print(`  ${args.at(-1) === "/dev/null" ? "restore" : "check"} ends ${ms} ms after SIGTERM`);
  }
}

function makeSmall(basedir: string, count: number): void {
  makeStore(basedir);
  for (let at = 0; at < count; at++) {
    const uuid = `R${String(at).padStart(21, "0")}`;
    const id = (seq: number) => (8 * at + seq + 1).toString(16).padStart(32, "1");
    const mapping = Object.fromEntries(Array.from({ length: 8 }, (_, seq) => [seq, id(seq)]));
    Deno.writeTextFileSync(
      `${basedir}/${uuid}`,
      JSON.stringify({ mapping, size: 8 * CHUNK_BYTES }),
    );
    writeMetadata(basedir, uuid);
  }
}

/** Writes the metadata of a revision. */
export function writeMetadata(basedir: string, uuid: string): void {
  Deno.writeTextFileSync(
    `${basedir}/${uuid}.rev`,
    "backend_type: chunked\nparent: ''\nstats: {bytes_written: 16777216, duration: 10.5}\n" +
      "tags: [daily]\ntimestamp: 2026-01-11 17:45:25.666942+00:00\ntrust: trusted\n" +
      `uuid: ${uuid}\n`,
  );
}

/** Writes a map that would not fit in one string. */
export function writeLargeMap(path: string, seqCount: number, idOf: (seq: number) => string): void {
  using file = Deno.openSync(path, { write: true, create: true, truncate: true });
  const write = (text: string) => {
    for (let rest = new TextEncoder().encode(text); rest.length > 0;) {
      rest = rest.subarray(file.writeSync(rest));
    }
  };
  write('{"mapping": {');
  for (let start = 0; start < seqCount; start += 65_536) {
    const end = Math.min(seqCount, start + 65_536);
    const entries: string[] = [];
    for (let seq = start; seq < end; seq++) entries.push(`"${seq}": "${idOf(seq)}"`);
    write((start > 0 ? ", " : "") + entries.join(", "));
  }
  write(`}, "size": ${seqCount * CHUNK_BYTES}}`);
}

/** Runs a command under GNU time. */
async function measured(command: readonly string[]): Promise<string> {
  const { stderr } = await new Deno.Command("/usr/bin/time", {
    args: ["-f", "%e s, %U s of processor time, %M KiB", ...command],
    stdout: "null",
    stderr: "piped",
  }).output();
  return new TextDecoder().decode(stderr).trimEnd().split("\n").at(-1) ?? "";
}

/** Milliseconds from SIGTERM, some seconds after the start, to the end. */
async function signalLatency(command: readonly string[]): Promise<number> {
  const [program = "", ...args] = command;
  const child = new Deno.Command(program, { args, stdout: "null", stderr: "null" }).spawn();
  await new Promise((resolve) => setTimeout(resolve, SIGNAL_AFTER_MS));
  const startMs = performance.now();
  child.kill("SIGTERM");
  await child.status;
  return Math.round(performance.now() - startMs);
}
