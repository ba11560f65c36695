/**
 * Where the libraries of portable executables come from: Debian 12's packages, by `apt-get
 * download`, or a folder that `BACKY_LIBRARIES` names, with the same `.deb` files.
 *
 * @module
 */

import { sha256Of } from "../program.ts";
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
export interface LibraryPackage {
  readonly name: string;
  readonly version: string;
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
  // apt downloads as its own user.
  Deno.chmodSync(scratch, 0o755);
  Deno.chmodSync(folder, 0o777);
  const names = PACKAGES.map(({ name }) => `${name}:${architecture}`);
  run("apt-get", ["download", "--quiet", "--quiet", ...names], folder);
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
  for (const file of files) run("dpkg-deb", ["--extract", file, root]);
  for (const [index, wanted] of PACKAGES.entries()) {
    const { name } = wanted;
    const file = files[index]!;
    packages.push({
      name,
      version: run("dpkg-deb", ["--field", file, "Version"]).trim(),
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

/** Runs a program to its end. @returns What it wrote to standard output. */
function run(program: string, args: readonly string[], cwd = "/"): string {
  const decoder = new TextDecoder();
  try {
    const { success, stdout, stderr } = new Deno.Command(program, { args: [...args], cwd })
      .outputSync();
    if (success) return decoder.decode(stdout);
    const [line = ""] = decoder.decode(stderr).trim().split("\n").slice(-1);
    throw new Error(`${program} ${args[0]} failed: ${line}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`there is no ${program}`, { cause: error });
  }
}
