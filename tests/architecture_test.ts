/**
 * Holds the layers: imports go downwards only, and what touches the system lies where it belongs.
 *
 * @module
 */

import { assert, assertEquals } from "./assert.ts";

const ROOT = new URL("..", import.meta.url);

/**
 * The layers from bottom to top; a file imports from layers below its own, and from its own folder.
 * `store` knows the format's numbers, which `chunk` and `target` build on; `work` has how workers
 * start, which `pages` builds on.
 */
const LAYERS: readonly (readonly string[])[] = [
  ["lib/linux", "wasm"],
  ["lib/deno_fuse"],
  ["lib/errors.ts", "lib/slices.ts", "lib/wording.ts"],
  ["lib/store", "lib/image"],
  ["lib/chunk", "lib/target"],
  ["lib/work"],
  ["lib/pages"],
  ["lib/image_access"],
  ["lib/restore", "lib/check", "lib/fuse", "lib/nbd"],
  ["lib/files"],
  ["lib/cli", "lib/mod.ts"],
  ["main.ts", "fuse.ts"],
];

/** What comes from outside, and which files may use it. */
const OUTSIDE: Readonly<Record<string, readonly string[]>> = {
  "node:path": ["lib/linux", "lib/deno_fuse/preflight.ts", "lib/target"],
  "npm:yaml": ["lib/store/revision_info.ts"],
  "npm:string-width": ["lib/cli/table.ts"],
  "npm:deno-std": ["lib/cli/command_line.ts"],
  "deno.json": ["lib/cli/command_run.ts"],
  "wasm/build/codec.wasm": ["wasm"],
};

/** Where it is allowed to use parts of the platform; in comments it may be spoken of everywhere. */
const CONFINED: readonly [name: string, use: RegExp, allowed: readonly string[]][] = [
  [
    "foreign functions and pointers",
    /\bDeno\s*\.\s*(dlopen|Unsafe\w+)/,
    ["lib/linux", "lib/deno_fuse"],
  ],
  [
    "console, the environment and the exit",
    /\bconsole\s*\.|\bDeno\s*\.\s*(exit|exitCode|env|stdin|stdout|stderr|args|consoleSize|addSignalListener)\b/,
    ["lib/cli", "lib/deno_fuse/examples", "main.ts", "fuse.ts"],
  ],
  [
    "workers",
    /\bnew Worker\b/,
    ["lib/work/crew.ts", "lib/pages/chunk_loader.ts", "lib/fuse/user_search.ts"],
  ],
  // For /proc, /sys and /dev the runtime demands all permissions, which the executables do not
  // have: lib/linux opens files.
  [
    "the runtime's ways to open files",
    /\bDeno\s*\.\s*(open|create|truncate|readFile|readTextFile|writeFile|writeTextFile|makeTempFile|makeTempDir|copyFile)(Sync)?\b/,
    [],
  ],
  // The executables have no right to it; lib/linux/spawn.ts starts programs.
  ["child processes", /\bDeno\s*\.\s*Command\b/, []],
  // Nor to this; NBD is served by sockets of lib/linux.
  ["the runtime's network", /\bfetch\(|\bDeno\s*\.\s*(connect|listen)\w*\b/, []],
];

interface Import {
  readonly from: string;
  readonly to: string;
  /** Whether it is loaded as soon as its importer is: no type, no `import()`. */
  readonly isStatic: boolean;
}

/** The files of the tool itself, relative to the project. */
function sourceFiles(): string[] {
  const files = ["main.ts", "fuse.ts"];
  const visit = (folder: string) => {
    for (const { name, isDirectory } of Deno.readDirSync(new URL(folder, ROOT))) {
      if (isDirectory) visit(`${folder}/${name}`);
      else if (name.endsWith(".ts")) files.push(`${folder}/${name}`);
    }
  };
  visit("lib");
  for (const { name } of Deno.readDirSync(new URL("wasm", ROOT))) {
    // The compiler's call is no part of the tool.
    if (name.endsWith(".ts") && name !== "build.ts") files.push(`wasm/${name}`);
  }
  return files.sort();
}

interface ModuleInfo {
  readonly specifier: string;
  readonly dependencies?: readonly {
    readonly specifier: string;
    readonly code?: { readonly specifier?: string };
    readonly type?: { readonly specifier?: string };
    readonly isDynamic?: boolean;
  }[];
}

/** All imports of all source files, of types too, as the runtime resolves them. */
function readImports(files: readonly string[]): Import[] {
  const imports = new Map<string, Import[]>();
  // Workers and the library's face are not reachable from the entries, so each file left is an
  // entry as well.
  for (const entry of ["main.ts", "fuse.ts", ...files]) {
    if (imports.has(entry)) continue;
    for (const { specifier, dependencies = [] } of graphOf(entry)) {
      const from = relative(specifier);
      if (!files.includes(from)) continue;
      const own = dependencies.map(({ code, type, specifier, isDynamic = false }): Import => ({
        from,
        to: relative(code?.specifier ?? type?.specifier ?? specifier),
        isStatic: code !== undefined && !isDynamic,
      }));
      imports.set(from, own);
    }
  }
  return [...imports.values()].flat();
}

function graphOf(entry: string): readonly ModuleInfo[] {
  const { success, stdout, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "--config", path("deno.json"), path(entry)],
    cwd: path("."),
  }).outputSync();
  assert(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout)).modules;
}

function path(name: string): string {
  return decodeURIComponent(new URL(name, ROOT).pathname);
}

/** Path inside the project; npm packages without their version; other specifiers as they are. */
function relative(specifier: string): string {
  if (specifier.startsWith(ROOT.href)) return specifier.slice(ROOT.href.length);
  return specifier.replace(/^npm:\/?((?:@[^/@]+\/)?[^/@]+).*$/, "npm:$1");
}

function isIn(file: string, places: readonly string[]): boolean {
  return places.some((place) => file === place || file.startsWith(`${place}/`));
}

function layerOf(file: string): number {
  return LAYERS.findIndex((places) => isIn(file, places));
}

/** The package of a file: its folder in `lib`, with the folders in that. */
function packageOf(file: string): string {
  return file.split("/").slice(0, -1).slice(0, 2).join("/");
}

const files = sourceFiles();
const imports = readImports(files);

Deno.test("Every source file belongs to a layer, and its imports are known", () => {
  assertEquals(files.filter((file) => layerOf(file) < 0), []);
  assert(imports.length > files.length, `${imports.length} imports of ${files.length} files`);
  // The graph is real: the edges that both data paths begin with.
  for (
    const [from, to] of [
      ["main.ts", "lib/cli/extract.ts"],
      ["lib/cli/restore_command.ts", "lib/restore/restore.ts"],
      ["lib/work/random_access_work.ts", "wasm/mod.ts"],
    ]
  ) {
    assert(imports.some((edge) => edge.from === from && edge.to === to), `${from} -> ${to}`);
  }
});

Deno.test("Imports go to lower layers or stay in their package", () => {
  const wrong = imports.filter(({ from, to }) => {
    if (Object.hasOwn(OUTSIDE, to)) return !isIn(from, OUTSIDE[to]!);
    if (!files.includes(to)) return true;
    const isNeighbour = packageOf(from) === packageOf(to) && !["", "lib"].includes(packageOf(from));
    return layerOf(to) >= layerOf(from) && !isNeighbour;
  });
  assertEquals(wrong.map(({ from, to }) => `${from} -> ${to}`), []);
});

Deno.test("lib/deno_fuse is a package: it imports lib/linux and nothing else of the project", () => {
  const own = imports.filter(({ from }) => isIn(from, ["lib/deno_fuse"]));
  assert(own.some(({ to }) => isIn(to, ["lib/linux"])));
  const others = own.filter(({ to }) =>
    files.includes(to) && !isIn(to, ["lib/deno_fuse", "lib/linux"])
  );
  assertEquals(others, []);
});

Deno.test("What is pure imports nothing, or only what is pure", () => {
  const pure = [
    "lib/linux/os_error.ts",
    "lib/linux/printable.ts",
    "lib/errors.ts",
    "lib/wording.ts",
    "lib/store/layout.ts",
  ];
  for (const file of pure) assert(files.includes(file), file);
  assertEquals(imports.filter(({ from, to }) => pure.includes(from) && !pure.includes(to)), []);
});

Deno.test("No file imports itself by way of others", () => {
  const targets = Map.groupBy(imports, ({ from }) => from);
  const finished = new Set<string>();
  const visit = (file: string, trail: readonly string[]): void => {
    assert(!trail.includes(file), [...trail, file].join(" -> "));
    if (finished.has(file)) return;
    for (const { to } of targets.get(file) ?? []) visit(to, [...trail, file]);
    finished.add(file);
  };
  for (const file of files) visit(file, []);
});

Deno.test("A command's options are read before what runs it is loaded", () => {
  for (const entry of ["lib/cli/extract.ts", "lib/cli/fuse.ts"]) {
    const loaded = new Set([entry]);
    for (const file of loaded) {
      for (const { from, to, isStatic } of imports) if (from === file && isStatic) loaded.add(to);
    }
    assert(loaded.has("lib/cli/command.ts"), entry);
    const early = [...loaded].filter((file) =>
      isIn(file, [
        "lib/restore",
        "lib/check",
        "lib/fuse",
        "lib/nbd",
        "lib/files",
        "npm:yaml",
        "wasm",
      ])
    );
    assertEquals(early, [], entry);
  }
});

for (const [name, use, allowed] of CONFINED) {
  const where = allowed.length === 0 ? "nowhere" : `only in ${allowed.join(", ")}`;
  Deno.test(`Source files use ${name} ${where}`, () => {
    const users = files.filter((file) => use.test(withoutComments(path(file))));
    assertEquals(users.filter((file) => !isIn(file, allowed)), []);
    // The pattern finds what it is for.
    if (allowed.length > 0) assert(users.length > 0);
  });
}

function withoutComments(file: string): string {
  return Deno.readTextFileSync(file).replace(/\/\*[\s\S]*?\*\//g, "").replace(
    /(^|\s)\/\/.*$/gm,
    "",
  );
}

Deno.test("Every source file says at its beginning what it is for", () => {
  const silent = files.filter((file) =>
    !/^\/\*\*\n( \*.*\n)* \* @module\n/.test(Deno.readTextFileSync(path(file)))
  );
  assertEquals(silent, []);
});

Deno.test("No source file is a drawer for everything", () => {
  const drawers = /(^|\/)(utils?|common|helpers?|misc)\.ts$/;
  assertEquals(files.filter((file) => drawers.test(file)), []);
});
