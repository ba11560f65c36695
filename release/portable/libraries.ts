/**
 * Where the libraries of portable executables come from: Debian 12's packages, which `debian.ts`
 * downloads, or a folder that `BACKY_LIBRARIES` names, with `.deb` files of the same names.
 *
 * @module
 */

import { runProgram, sha256Of } from "../program.ts";
import { downloadPackages, type PackageVersion } from "./debian.ts";
import type { PackedLibrary } from "./pack.ts";

/** Debian's names for a machine. */
export interface DebianMachine {
  /** In names of packages: "amd64". */
  readonly architecture: string;
  /** Folder of its libraries: "x86_64-linux-gnu". */
  readonly multiarch: string;
  /** File name of ld.so. */
  readonly loader: string;
}

/** A package that libraries were taken from. */
export interface LibraryPackage extends PackageVersion {
  /** The source package that it was built from. */
  readonly source: PackageVersion;
  /** Of the `.deb` file, in hex. */
  readonly sha256: string;
  /** Text of its copyright file. */
  readonly copyright: string;
}

/** Everything that is packed. */
export interface Libraries {
  readonly loader: PackedLibrary;
  /** For both tools, in the order in which ld.so loads them. */
  readonly common: readonly PackedLibrary[];
  /** For backy-fuse. */
  readonly fuse: readonly PackedLibrary[];
  readonly packages: readonly LibraryPackage[];
}

/** Name of the file beside the executables that tells what was packed. */
export const LIBRARY_LIST = "packed-libraries.txt";

/** Lists what is packed, a line each: the packages with their sources, then the files. */
export function listLibraries({ packages, loader, common, fuse }: Libraries): string[] {
  return [
    ...packages.map(({ name, version, sha256, source }) =>
      `package ${name} ${version} ${sha256} source ${source.name} ${source.version}`
    ),
    ...[loader, ...common, ...fuse].map(({ name, content }) => `file ${name} ${sha256Of(content)}`),
  ];
}

/** The source packages in such a list, each once. */
export function sourcesIn(list: string): PackageVersion[] {
  const sources = new Map<string, PackageVersion>();
  for (const [, name, version] of list.matchAll(/^package .* source (\S+) (\S+)$/gm)) {
    sources.set(`${name} ${version}`, { name: name!, version: version! });
  }
  return [...sources.values()];
}

/** The packages, and which of their libraries are wanted. */
const PACKAGES = [
  {
    name: "libc6",
    common: ["libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"],
  },
  { name: "libgcc-s1", common: ["libgcc_s.so.1"] },
  // The copyright file of libgcc-s1.
  { name: "gcc-12-base" },
  { name: "libfuse3-3", fuse: ["libfuse3.so.3"] },
] as const satisfies readonly {
  readonly name: string;
  readonly common?: readonly string[];
  readonly fuse?: readonly string[];
}[];

/**
 * Reads the libraries.
 *
 * @returns `reason`, one line, if they cannot be downloaded.
 * @throws {Error} If there is a folder for them, but not what is needed in it.
 */
export function readLibraries(machine: DebianMachine): Libraries | { readonly reason: string } {
  const scratch = Deno.makeTempDirSync({ prefix: "backy_extract_libraries_" });
  const named = Deno.env.get("BACKY_LIBRARIES");
  try {
    return unpackAll(machine, { folder: named ?? download(machine, scratch), scratch });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (named === undefined) return { reason };
    throw new Error(`Cannot use the libraries in BACKY_LIBRARIES: ${reason}`, { cause: error });
  } finally {
    Deno.removeSync(scratch, { recursive: true });
  }
}

function download({ architecture }: DebianMachine, scratch: string): string {
  const folder = `${scratch}/packages`;
  Deno.mkdirSync(folder);
  downloadPackages(PACKAGES.map(({ name }) => name), { architecture, folder });
  return folder;
}

function unpackAll(
  machine: DebianMachine,
  { folder, scratch }: { folder: string; scratch: string },
): Libraries {
  const packages: LibraryPackage[] = [];
  const common: PackedLibrary[] = [], fuse: PackedLibrary[] = [];
  let loader: PackedLibrary | null = null;
  const root = `${scratch}/root`;
  const files = PACKAGES.map(({ name }) => findPackage(folder, name, machine));
  for (const file of files) runProgram("dpkg-deb", ["--extract", file, root]);
  for (const [index, wanted] of PACKAGES.entries()) {
    const { name } = wanted;
    const file = files[index]!;
    packages.push({
      ...readVersions(file),
      sha256: sha256Of(Deno.readFileSync(file)),
      copyright: Deno.readTextFileSync(`${root}/usr/share/doc/${name}/copyright`),
    });
    const read = (library: string) => readLibrary(root, machine, library);
    if ("common" in wanted) common.push(...wanted.common.map(read));
    if ("fuse" in wanted) fuse.push(...wanted.fuse.map(read));
    if (name === "libc6") loader = read(machine.loader);
  }
  return { loader: loader!, common, fuse, packages };
}

/** Reads name and version of a package and of its source. */
function readVersions(file: string): Omit<LibraryPackage, "sha256" | "copyright"> {
  const format = "${Package} ${Version} ${source:Package} ${source:Version}";
  const fields = runProgram("dpkg-deb", ["--show", `--showformat=${format}`, file]).split(" ");
  const [name = "", version = "", sourceName = "", sourceVersion = ""] = fields;
  return { name, version, source: { name: sourceName, version: sourceVersion } };
}

function findPackage(folder: string, name: string, { architecture }: DebianMachine): string {
  const found = [...Deno.readDirSync(folder)].filter((file) =>
    file.name.startsWith(`${name}_`) && file.name.endsWith(`_${architecture}.deb`)
  );
  if (found.length !== 1) {
    throw new Error(`"${folder}" has ${found.length} packages ${name} for ${architecture}, not 1`);
  }
  return `${folder}/${found[0]!.name}`;
}

/** Reads a library of an unpacked package, wherever the package keeps it. */
function readLibrary(root: string, { multiarch }: DebianMachine, name: string): PackedLibrary {
  for (const folder of ["lib", "usr/lib"]) {
    try {
      return { name, content: Deno.readFileSync(`${root}/${folder}/${multiarch}/${name}`) };
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  throw new Error(`the package has no "${name}"`);
}
