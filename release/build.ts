/**
 * Compiles the executables, so that the same sources, Deno and target give the same bytes on every
 * machine, and prints their sizes and checksums.
 *
 *     build.ts [--output FOLDER] [--target TRIPLE]
 *
 * `deno compile` (2.6.8) puts two things into an executable that differ between machines: the
 * modification times of sources and npm packages, and the path of Deno's cache, in notes on files
 * of the packages that it took for scripts (licenses, read-me files). So it runs in a copy of the
 * sources with a cache of its own, in which all times are the same and there are scripts only. Then
 * the entry stub is put in (`entry_stub.ts`). The packages' licenses go into `licenses/` beside the
 * executables.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { parseArgs } from "node:util";
import { insertEntryStub, readEntryStub } from "./entry_stub.ts";
import { requireTarget, ROOT, TARGETS, type Tool, TOOLS } from "./targets.ts";

/** What goes into executables; the rest of the project does not. */
const SOURCES = ["deno.json", "import_map.json", "deno.lock", "main.ts", "fuse.ts", "lib"];
const CODEC = [
  ...Array.from(Deno.readDirSync(`${ROOT}wasm`), ({ name }) => `wasm/${name}`)
    .filter((path) => path.endsWith(".ts") && path !== "wasm/build.ts").toSorted(),
  "wasm/build/codec.wasm",
];

/** 1980, before which some archives know no time. */
const SAME_TIME_SECONDS = 315_532_800;

/** How to build. */
export interface BuildOptions {
  /** Folder for the executables; made if it is absent. */
  readonly output: string;
  /** Triple of the machine they are for. */
  readonly target: string;
}

/** Compiles all executables. @throws {Error} If a command fails, having said why. */
export function build(options: BuildOptions): void {
  const { output, target } = options;
  const scratch = Deno.makeTempDirSync({ prefix: "backy_extract_build_" });
  try {
    const sources = `${scratch}/sources`;
    const cache = `${scratch}/cache`;
    copySources(sources);
    copyPackages(cache, `${output}/licenses`);
    setTimes(scratch);
    for (const tool of TOOLS) {
      const made = `${scratch}/${tool.name}`;
      compile(tool, { sources, cache, target, made });
      requireMachine(made, target);
      const stub = readEntryStub(TARGETS.get(target)!.machine);
      const executable = insertEntryStub(Deno.readFileSync(made), { stub, tool: tool.name });
      Deno.writeFileSync(made, executable);
      // A program that runs cannot be written to, but replaced.
      Deno.mkdirSync(output, { recursive: true });
      Deno.copyFileSync(made, `${output}/.${tool.name}`);
      Deno.renameSync(`${output}/.${tool.name}`, `${output}/${tool.name}`);
      describe(`${output}/${tool.name}`);
    }
  } finally {
    Deno.removeSync(scratch, { recursive: true });
  }
}

/** Hashes a file. @returns 64 hex digits. */
export function sha256Of(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

function compile(
  tool: Tool,
  options: { sources: string; cache: string; target: string; made: string },
): void {
  run(["compile", "--quiet", "--lock=deno.lock", "--frozen", "--no-check", "--no-code-cache"], {
    args: [
      ...["--target", options.target, "--include", tool.worker, "--output", options.made],
      ...[...tool.permissions, tool.entry],
    ],
    cwd: options.sources,
    env: { DENO_DIR: options.cache },
  });
}

/** What DENORT_BIN names is taken for any machine. */
function requireMachine(path: string, target: string): void {
  const header = new DataView(Deno.readFileSync(path).buffer, 0, 20);
  const machine = header.getUint16(18, true);
  if (machine !== TARGETS.get(target)?.elfMachine) {
    throw new Error(`Cannot build for "${target}": the runtime is for ELF machine ${machine}`);
  }
}

function copySources(to: string): void {
  for (const path of [...SOURCES, ...CODEC]) copy(`${ROOT}${path}`, `${to}/${path}`);
}

/** Copies the packages of the lock file, scripts into a new cache of Deno's, licenses elsewhere. */
function copyPackages(cache: string, licenses: string): void {
  const entries = TOOLS.flatMap(({ entry, worker }) => [entry, worker]);
  run(["cache", "--quiet", "--lock=deno.lock", "--frozen"], { args: entries, cwd: ROOT });
  const { denoDir, npmCache } = JSON.parse(run(["info", "--json"], { args: [], cwd: ROOT }));
  const { npm } = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.lock`));
  // One folder for each registry.
  const hosts = [...Deno.readDirSync(npmCache)].map(({ name }) => name);
  for (const id of Object.keys(npm)) {
    const [, name, version] = /^(.+)@([^@]+)$/.exec(id) ?? [];
    const host = hosts.find((host) => exists(`${npmCache}/${host}/${name}/${version}`));
    // What only tests use need not have been fetched.
    if (host === undefined) continue;
    const from = `${npmCache}/${host}/${name}`;
    const to = `${cache}/npm/${host}/${name}`;
    copy(`${from}/${version}`, `${to}/${version}`, (path) => /\.(js|mjs|cjs|json)$/.test(path));
    copy(`${from}/registry.json`, `${to}/registry.json`, () => exists(`${from}/registry.json`));
    for (const file of Deno.readDirSync(`${from}/${version}`)) {
      if (!/^licen[cs]e/i.test(file.name)) continue;
      copy(`${from}/${version}/${file.name}`, `${licenses}/${name!.replace("/", "-")}.txt`);
    }
  }
  // The runtimes that Deno has downloaded.
  if (exists(`${denoDir}/dl`)) Deno.symlinkSync(`${denoDir}/dl`, `${cache}/dl`);
}

/** Copies a file or a folder with all that is wanted in it. */
function copy(from: string, to: string, isWanted: (path: string) => boolean = () => true): void {
  if (exists(from) && Deno.statSync(from).isDirectory) {
    for (const { name } of Deno.readDirSync(from)) {
      copy(`${from}/${name}`, `${to}/${name}`, isWanted);
    }
  } else if (isWanted(from)) {
    Deno.mkdirSync(to.slice(0, to.lastIndexOf("/")), { recursive: true });
    Deno.copyFileSync(from, to);
  }
}

function setTimes(path: string): void {
  if (Deno.lstatSync(path).isSymlink) return;
  if (Deno.statSync(path).isDirectory) {
    for (const { name } of Deno.readDirSync(path)) setTimes(`${path}/${name}`);
  }
  Deno.utimeSync(path, SAME_TIME_SECONDS, SAME_TIME_SECONDS);
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Runs Deno to its end. @returns What it wrote to standard output. */
function run(
  command: readonly string[],
  options: { args: readonly string[]; cwd: string; env?: Record<string, string> },
): string {
  const { success, stdout } = new Deno.Command(Deno.execPath(), {
    args: [...command, ...options.args],
    cwd: options.cwd,
    stderr: "inherit",
    env: options.env ?? {},
  }).outputSync();
  if (!success) throw new Error(`Cannot build: "deno ${command[0]}" failed`);
  return new TextDecoder().decode(stdout);
}

function describe(path: string): void {
  const content = Deno.readFileSync(path);
  print(`${path}: ${content.length} bytes, SHA-256 ${sha256Of(content)}`);
}

/** Prints a line. */
export function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

/** Runs a program; why it failed is told in one line. */
export async function runMain(main: () => void | Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    Deno.stderr.writeSync(new TextEncoder().encode(`${reason}\n`));
    Deno.exit(1);
  }
}

if (import.meta.main) {
  await runMain(() => {
    const { values } = parseArgs({
      options: { output: { type: "string", default: "dist" }, target: { type: "string" } },
    });
    build({ output: values.output, target: requireTarget(values.target) });
  });
}
