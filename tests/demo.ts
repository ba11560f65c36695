/**
 * The tool's main job, shown on a sample: makes a backup directory with two revisions of an image
 * of real files, restores one of them, and compares it with the original.
 *
 *     deno task demo           in a temporary directory, which is removed at the end
 *     deno task demo --keep    leaves the directory for a look around
 *
 * @module
 */

import { createHash } from "node:crypto";
import { CHUNK_BYTES } from "../lib/store/layout.ts";
import { realChunks } from "./bench/corpus.ts";
import { addRevision, type ChunkContent, makeStore, sampleBytes } from "./support/store_builder.ts";

const MIB = 1 << 20;
const FILES_MIB = 240;
const ZEROS_MIB = 80;
const REPEATS_MIB = 40;

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

/**
 * Chunks of the sample image: files with stretches of zeros between, and one piece that repeats.
 */
function sampleImage(): ChunkContent[] {
  const image: ChunkContent[] = [...realChunks((FILES_MIB * MIB) / CHUNK_BYTES)];
  const zeros = (ZEROS_MIB * MIB) / CHUNK_BYTES;
  for (let i = 0; i < zeros; i++) {
    image.splice((i * 7) % image.length, 0, i % 4 === 0 ? "zero" : "absent");
  }
  const repeated = sampleBytes(1);
  for (let i = 0; i < (REPEATS_MIB * MIB) / CHUNK_BYTES; i++) {
    image.splice((i * 11) % image.length, 0, repeated);
  }
  image.push(sampleBytes(2, MIB)); // an image need not end on a chunk's border
  return image;
}

function hashOfImage(chunks: readonly ChunkContent[]): string {
  const hash = createHash("sha256");
  const zeros = new Uint8Array(CHUNK_BYTES);
  for (const content of chunks) hash.update(typeof content === "string" ? zeros : content);
  return hash.digest("hex");
}

async function hashOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  for await (const part of stream) hash.update(part);
  return hash.digest("hex");
}

/** Runs backy-extract as a user would; progress and messages go to this process's stderr. */
async function extract(args: string[]): Promise<{ stdoutHash: string }> {
  print(`\n$ backy-extract ${args.join(" ")}`);
  const main = new URL("../main.ts", import.meta.url).pathname;
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", main, ...args],
    stdout: "piped",
    stderr: "inherit",
  });
  const child = command.spawn();
  const stdoutHash = await hashOf(child.stdout);
  const { code } = await child.status;
  if (code !== 0) throw new Error(`Cannot go on: backy-extract ended with exit code ${code}`);
  return { stdoutHash };
}

function requireEqual(what: string, hash: string, original: string): void {
  if (hash !== original) throw new Error(`${what} differs from the original: ${hash}`);
  print(`SHA-256 of ${what}: ${hash}, as the original's`);
}

async function demonstrate(dir: string): Promise<void> {
  const basedir = `${dir}/vm0`;
  print(`Making a sample backup directory in ${basedir} ...`);
  const monday = sampleImage();
  const tuesday = monday.with(3, sampleBytes(3)).with(20, sampleBytes(4)).with(21, "absent");
  makeStore(basedir);
  const first = addRevision(basedir, "Nym6uacWoXGb8VnbksM3yH", monday, {
    timestamp: "2026-01-12 03:00:00+00:00",
  });
  const second = addRevision(basedir, "VNzWKjnMqd6w58nzJwUZ98", tuesday, {
    timestamp: "2026-01-13 03:00:00+00:00",
  });
  print(`Two revisions of an image of ${(first.size / MIB).toFixed(0)} MiB.`);

  const target = `${dir}/restored.img`;
  await extract([second.path, target]);
  using file = await Deno.open(target);
  requireEqual("the restored file", await hashOf(file.readable), hashOfImage(tuesday));
  const { size, blocks } = Deno.statSync(target);
  print(`It is ${size} bytes long and takes ${(blocks ?? 0) * 512} bytes on disk (sparse).`);

  const { stdoutHash } = await extract(["--quiet", first.path, "-"]);
  requireEqual("standard output", stdoutHash, hashOfImage(monday));
}

const dir = Deno.makeTempDirSync({ prefix: "backy-extract-demo-" });
const isKept = Deno.args.includes("--keep");
try {
  await demonstrate(dir);
} finally {
  if (!isKept) Deno.removeSync(dir, { recursive: true });
}
print(isKept ? `\nThe sample is in ${dir}.` : `\nThe sample was removed; --keep leaves it.`);
