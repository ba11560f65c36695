/**
 * Packs a release: the executables, manual pages, completions, licenses and checksums in one
 * archive, and the archive's own checksum beside it. The same input gives the same bytes.
 *
 *     dist.ts [--output FOLDER] [--target TRIPLE] [--binaries FOLDER] [--plain]
 *
 * Builds the executables, unless a folder with them is given. They must be portable, as `build.ts`
 * makes them where it has the libraries, unless `--plain` says that others will do. All files get
 * the same time: SOURCE_DATE_EPOCH in seconds since 1970, by default that of the last commit.
 *
 * @module
 */

import { parseArgs } from "node:util";
import config from "../deno.json" with { type: "json" };
import { statOrNull } from "../lib/linux/file_status.ts";
import { build } from "./build.ts";
import { renderCompletions } from "./completions.ts";
import { ProgramHeaderType, readElf } from "./portable/elf.ts";
import { LIBRARY_LIST } from "./portable/libraries.ts";
import { print, runMain, sha256Of } from "./program.ts";
import { renderTar, type TarEntry } from "./tar.ts";
import { requireTarget, ROOT, TARGETS, TOOLS } from "./targets.ts";

/** The README, and what it and `docs/` link to. */
const DOCUMENTS = [
  "LICENSE",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "README.md",
  "SECURITY.md",
  "lib/README.md",
  "lib/deno_fuse/README.md",
  "packaging/default.nix",
  "wasm/README.md",
];
const FOLDERS = ["docs", "man", "release/licenses"];
const SUMS = "SHA256SUMS";

/** What to pack. */
export interface DistOptions {
  /** Folder with the executables and the licenses of their parts. */
  readonly binaries: string;
  /** Folder for the archive. */
  readonly output: string;
  readonly target: string;
  /** Whether executables that need the C library of their host will do. */
  readonly allowsPlain: boolean;
  /** Time of all files in the archive, in seconds since 1970. */
  readonly timeSeconds: number;
}

/**
 * Packs a release.
 *
 * @returns The archive's path.
 * @throws {Error} If the executables are for another machine, or not portable.
 */
export async function dist(options: DistOptions): Promise<string> {
  const { binaries, output, target, timeSeconds } = options;
  for (const { name } of TOOLS) requireFit(`${binaries}/${name}`, options);
  if (!options.allowsPlain && statOrNull(`${binaries}/licenses/${LIBRARY_LIST}`) === null) {
    throw new Error(
      `Cannot release "${binaries}": it has no licenses/${LIBRARY_LIST}; build once more`,
    );
  }
  const name = `backy-extract-${config.version}-${TARGETS.get(target)?.name}`;
  const files: TarEntry[] = [
    ...TOOLS.map((tool) => entryOf(tool.name, `${binaries}/${tool.name}`, 0o755)),
    ...DOCUMENTS.map((path) => entryOf(path, `${ROOT}${path}`)),
    // The rest of them is for those who have the sources.
    ...entriesOf("examples", `${ROOT}examples`).filter(({ name }) => !name.endsWith(".ts")),
    ...FOLDERS.flatMap((folder) => entriesOf(folder.replace(/.*\//, ""), `${ROOT}${folder}`)),
    ...[...renderCompletions()].map(([name, text]) => ({
      name: `completions/${name}`,
      mode: 0o644,
      content: new TextEncoder().encode(text),
    })),
    ...entriesOf("licenses", `${binaries}/licenses`),
  ].toSorted((a, b) => a.name < b.name ? -1 : 1);
  const sums = files.map(({ name, content }) => `${sha256Of(content)}  ${name}\n`).join("");
  const all = [...files, { name: SUMS, mode: 0o644, content: new TextEncoder().encode(sums) }];
  const entries = all.map((entry) => ({ ...entry, name: `${name}/${entry.name}` }));

  const archive = `${output}/${name}.tar.gz`;
  Deno.mkdirSync(output, { recursive: true });
  using file = await Deno.open(archive, { write: true, create: true, truncate: true });
  // gzip's header has room for a name and a time; CompressionStream leaves both empty.
  await ReadableStream.from(renderTar(entries, timeSeconds))
    .pipeThrough(new CompressionStream("gzip"))
    .pipeTo(file.writable);
  const sum = sha256Of(Deno.readFileSync(archive));
  Deno.writeTextFileSync(`${archive}.sha256`, `${sum}  ${name}.tar.gz\n`);
  print(`${archive}: ${Deno.statSync(archive).size} bytes, SHA-256 ${sum}`);
  return archive;
}

/** Requires that an executable is for the target, and portable. */
function requireFit(path: string, { target, allowsPlain }: DistOptions): void {
  const { machine, headers } = readElf(Deno.readFileSync(path), path);
  if (machine !== TARGETS.get(target)?.elfMachine) {
    throw new Error(`Cannot release "${path}" for "${target}": it is for ELF machine ${machine}`);
  }
  // Only executables that use their host's loader name one.
  const isPlain = headers.some(({ type }) => type === ProgramHeaderType.PT_INTERP);
  if (isPlain && !allowsPlain) {
    throw new Error(
      `Cannot release "${path}": it is not portable; build it where the libraries can be ` +
        "downloaded (docs/building.md), or say --plain",
    );
  }
}

function entriesOf(name: string, folder: string): TarEntry[] {
  return [...Deno.readDirSync(folder)].map((file) =>
    entryOf(
      `${name}/${file.name}`,
      `${folder}/${file.name}`,
      file.name.endsWith(".sh") ? 0o755 : 0o644,
    )
  );
}

function entryOf(name: string, path: string, mode = 0o644): TarEntry {
  return { name, mode, content: Deno.readFileSync(path) };
}

/** The time of all files of a release, in seconds since 1970. */
function releaseTime(): number {
  const asked = Deno.env.get("SOURCE_DATE_EPOCH");
  if (asked !== undefined) {
    if (!/^[0-9]{1,10}$/.test(asked)) throw new Error(`Cannot use SOURCE_DATE_EPOCH "${asked}"`);
    return Number(asked);
  }
  const { success, stdout } = new Deno.Command("git", {
    args: ["log", "-1", "--format=%ct"],
    cwd: ROOT,
    stderr: "inherit",
  }).outputSync();
  if (!success) throw new Error("Cannot tell the release's time: set SOURCE_DATE_EPOCH");
  return Number(new TextDecoder().decode(stdout));
}

if (import.meta.main) {
  await runMain(async () => {
    const { values } = parseArgs({
      options: {
        output: { type: "string", default: "dist" },
        target: { type: "string" },
        binaries: { type: "string" },
        plain: { type: "boolean", default: false },
      },
    });
    const target = requireTarget(values.target);
    const binaries = values.binaries ?? `dist/${TARGETS.get(target)?.name}`;
    if (values.binaries === undefined) build({ output: binaries, target });
    await dist({
      binaries,
      output: values.output,
      target,
      allowsPlain: values.plain,
      timeSeconds: releaseTime(),
    });
  });
}
