/**
 * Compiles the executables, so that the same sources, Deno and target give the same bytes on every
 * machine, and prints their sizes and checksums.
 *
 *     build.ts [--output FOLDER] [--target TRIPLE]
 *
 * `deno compile` (2.6.8) puts two things into an executable that differ between machines: the
 * modification times of sources and npm packages, and the path of Deno's cache, in notes on those
 * files of the packages that it mistook for scripts (licenses, read-me files). So it runs in a copy
 * of the sources with a cache of its own, where all times are the same and there are only scripts.
 * Then the C library and the stub that loads it are added (`portable/pack.ts`). Where they cannot
 * be had, plain executables are made, and a line says what those need on their host. Licenses of
 * everything in the executables go into `licenses/` beside them.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { statOrNull } from "../lib/linux/file_status.ts";
import {
  type Libraries,
  LIBRARY_LIST,
  listLibraries,
  readLibraries,
} from "./portable/libraries.ts";
import { packPlain, packPortable, readStub } from "./portable/pack.ts";
import { print, runMain, sha256Of } from "./program.ts";
import { requireTarget, ROOT, TARGETS, type Tool, TOOLS } from "./targets.ts";

/** What goes into executables; the rest of the project does not. */
const SOURCES = ["deno.json", "import_map.json", "deno.lock", "main.ts", "fuse.ts", "lib"];
const CODEC = [
  ...Array.from(Deno.readDirSync(`${ROOT}wasm`), ({ name }) => `wasm/${name}`)
    .filter((path) => path.endsWith(".ts") && path !== "wasm/build.ts").toSorted(),
  "wasm/build/codec.wasm",
];

/** 1980: some archives cannot express an earlier time. */
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
    const licenses = `${scratch}/licenses`;
    copyPackages(cache, licenses);
    setTimes(scratch);
    const libraries = findLibraries(target, licenses);
    for (const tool of TOOLS) {
      const made = `${scratch}/${tool.name}`;
      compile(tool, { sources, cache, target, made });
      requireMachine(made, target);
      Deno.writeFileSync(made, pack(tool, Deno.readFileSync(made), { target, libraries }));
      // A running program cannot be written to, but it can be replaced.
      Deno.mkdirSync(output, { recursive: true });
      Deno.copyFileSync(made, `${output}/.${tool.name}`);
      Deno.renameSync(`${output}/.${tool.name}`, `${output}/${tool.name}`);
      describe(`${output}/${tool.name}`);
    }
    replaceTexts(licenses, `${output}/licenses`);
  } finally {
    Deno.removeSync(scratch, { recursive: true });
  }
}

function compile(
  tool: Tool,
  options: { sources: string; cache: string; target: string; made: string },
): void {
  run(["compile", "--quiet", "--lock=deno.lock", "--frozen", "--no-check", "--no-code-cache"], {
    args: [
      ...["--target", options.target, "--output", options.made],
      ...tool.workers.flatMap((worker) => ["--include", worker]),
      ...[...tool.permissions, tool.entry],
    ],
    cwd: options.sources,
    env: { DENO_DIR: options.cache },
  });
}

/** Finds what makes executables portable. @returns `null`, having said why, if it is not there. */
function findLibraries(target: string, licenses: string): Libraries | null {
  const found = readLibraries(TARGETS.get(target)!.debian);
  if ("reason" in found) {
    print(
      `Building executables that are not portable, but need glibc 2.27 and libgcc_s on their host: ` +
        found.reason,
    );
    return null;
  }
  const lines = listLibraries(found);
  for (const line of lines) print(`packed: ${line}`);
  Deno.writeTextFileSync(`${licenses}/${LIBRARY_LIST}`, `${lines.join("\n")}\n`);
  for (const { name, copyright } of found.packages) {
    Deno.writeTextFileSync(`${licenses}/${name}.txt`, copyright);
  }
  return found;
}

/** Puts the stub and the libraries, if there are any, into what `deno compile` made. */
function pack(
  { name, needsFuse }: Tool,
  executable: Uint8Array<ArrayBuffer>,
  { target, libraries }: { target: string; libraries: Libraries | null },
): Uint8Array<ArrayBuffer> {
  const stub = readStub(TARGETS.get(target)!.machine);
  if (libraries === null) return packPlain(executable, { stub, tool: name });
  const { loader, common, fuse } = libraries;
  return packPortable(executable, {
    stub,
    tool: name,
    loader,
    libraries: needsFuse ? [...common, ...fuse] : common,
  });
}

/** The file that DENORT_BIN names is used for any machine. */
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
  const entries = TOOLS.flatMap(({ entry, workers }) => [entry, ...workers]);
  run(["cache", "--quiet", "--lock=deno.lock", "--frozen"], { args: entries, cwd: ROOT });
  const { denoDir, npmCache } = JSON.parse(run(["info", "--json"], { args: [], cwd: ROOT }));
  const { npm } = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.lock`));
  // One folder for each registry.
  const hosts = [...Deno.readDirSync(npmCache)].map(({ name }) => name);
  for (const id of Object.keys(npm)) {
    const [, name, version] = /^(.+)@([^@]+)$/.exec(id) ?? [];
    const host = hosts.find((host) => statOrNull(`${npmCache}/${host}/${name}/${version}`));
    // Packages that only tests use may not have been fetched.
    if (host === undefined) continue;
    const from = `${npmCache}/${host}/${name}`;
    const to = `${cache}/npm/${host}/${name}`;
    copy(`${from}/${version}`, `${to}/${version}`, (path) => /\.(js|mjs|cjs|json)$/.test(path));
    copy(
      `${from}/registry.json`,
      `${to}/registry.json`,
      () => statOrNull(`${from}/registry.json`) !== null,
    );
    for (const file of Deno.readDirSync(`${from}/${version}`)) {
      if (!/^licen[cs]e/i.test(file.name)) continue;
      copy(`${from}/${version}/${file.name}`, `${licenses}/${name!.replace("/", "-")}.txt`);
    }
  }
  // The runtimes that Deno has downloaded.
  if (statOrNull(`${denoDir}/dl`)) Deno.symlinkSync(`${denoDir}/dl`, `${cache}/dl`);
}

/** Copies a file, or a folder with what is wanted in it. */
function copy(from: string, to: string, isWanted: (path: string) => boolean = () => true): void {
  if (statOrNull(from)?.isDirectory) {
    for (const { name } of Deno.readDirSync(from)) {
      copy(`${from}/${name}`, `${to}/${name}`, isWanted);
    }
  } else if (isWanted(from)) {
    Deno.mkdirSync(to.slice(0, to.lastIndexOf("/")), { recursive: true });
    Deno.copyFileSync(from, to);
  }
}

/** Copies text files into a folder, without those of an earlier build, which may not apply now. */
function replaceTexts(from: string, to: string): void {
  for (const { name, isFile } of statOrNull(to) ? Deno.readDirSync(to) : []) {
    if (isFile && name.endsWith(".txt")) Deno.removeSync(`${to}/${name}`);
  }
  copy(from, to);
}

function setTimes(path: string): void {
  if (Deno.lstatSync(path).isSymlink) return;
  if (Deno.statSync(path).isDirectory) {
    for (const { name } of Deno.readDirSync(path)) setTimes(`${path}/${name}`);
  }
  Deno.utimeSync(path, SAME_TIME_SECONDS, SAME_TIME_SECONDS);
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

if (import.meta.main) {
  await runMain(() => {
    const { values } = parseArgs({
      options: { output: { type: "string", default: "dist" }, target: { type: "string" } },
    });
    build({ output: values.output, target: requireTarget(values.target) });
  });
}
