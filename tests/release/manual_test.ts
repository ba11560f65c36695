/**
 * Holds the manual pages, and the options that messages name, against the option tables, the exit
 * codes and the documented JSON.
 *
 * @module
 */

import { type CommandSpec, optionsOf } from "../../lib/cli/command.ts";
import { EXIT_CODE_TABLE } from "../../lib/cli/exit_code.ts";
import { EXTRACT } from "../../lib/cli/extract.ts";
import { FUSE } from "../../lib/cli/fuse.ts";
import type { Option } from "../../lib/cli/option.ts";
import { assert, assertEquals } from "../assert.ts";
import { programProblem } from "../support/programs.ts";
import { testUnless } from "../support/machine.ts";
import { Manual } from "./mdoc.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const EXTRACT_MANUAL = new Manual(`${ROOT}man/backy-extract.1`);
const FUSE_MANUAL = new Manual(`${ROOT}man/backy-fuse.1`);

const EXTRACT_COMMANDS = [EXTRACT, ...EXTRACT.commands!];
const FUSE_COMMANDS = [FUSE, ...FUSE.commands!];
const OPTION_SECTIONS: readonly [Manual, string, CommandSpec][] = [
  ...EXTRACT_COMMANDS.map((command): [Manual, string, CommandSpec] => {
    const { kind } = command;
    return [EXTRACT_MANUAL, `Options of ${kind === "restore" ? "a restore" : kind}`, command];
  }),
  [FUSE_MANUAL, "DESCRIPTION", FUSE],
  ...FUSE.commands!.map((command): [Manual, string, CommandSpec] => [
    FUSE_MANUAL,
    `Options of ${command.kind}`,
    command,
  ]),
];

for (const [manual, title, command] of OPTION_SECTIONS) {
  const options = optionsOf(command);
  Deno.test(`The manual has the options of the table, in its order, under "${title}"`, () => {
    const items = manual.items(title).filter(({ head }) => head.startsWith("Fl "));
    assertEquals(items.map(({ head }) => head), options.map(headOf));
    for (const [index, { default: preset, choices = [] }] of options.entries()) {
      const { head, text } = items[index]!;
      if (text === "As above.") continue;
      if (preset !== undefined) {
        assert(text.includes("Default: ") && text.includes(preset), `${head}: ${text}`);
      }
      for (const choice of choices) assert(text.includes(choice), `${head}: ${choice}`);
    }
  });
}

function headOf({ short, long, value }: Option<unknown>): string {
  const names = short === undefined ? `Fl -${long}` : `Fl ${short} , Fl -${long}`;
  return value === undefined ? names : `${names} Ar ${value}`;
}

Deno.test("The synopsis of each command has all its options but --help and --version", () => {
  assertEquals(synopses(EXTRACT_MANUAL), [...EXTRACT_COMMANDS.map(synopsisOf), []]);
  assertEquals(synopses(FUSE_MANUAL), [...FUSE_COMMANDS.map(synopsisOf), []]);
});

/** Options of each command of a synopsis, sorted, as `r SPEC` and `-base REVISION`. */
function synopses(manual: Manual): string[][] {
  return manual.section("SYNOPSIS").join("\n").split(/^\.Nm\n/m).slice(1).map((command) =>
    [...command.matchAll(/^\.Op Fl (\S+)(?: Ar (\S+))?$/gm)].flatMap(([, name = "", value]) =>
      value !== undefined ? [`${name} ${value}`] : name.startsWith("-") ? [name] : [...name]
    ).sort()
  );
}

function synopsisOf({ options }: CommandSpec): string[] {
  return Object.values(options)
    .map(({ short, long, value }) => `${short ?? `-${long}`}${value ? ` ${value}` : ""}`).sort();
}

for (
  const [name, manual] of [
    ["backy-extract", EXTRACT_MANUAL],
    ["backy-fuse", FUSE_MANUAL],
  ] as const
) {
  Deno.test(`The manual of ${name} has the exit codes of the table, with their meaning`, () => {
    const items = manual.items("EXIT STATUS");
    assertEquals(items.map(({ head }) => Number(head)), EXIT_CODE_TABLE.map(({ code }) => code));
    for (const [index, { meaning }] of EXIT_CODE_TABLE.entries()) {
      assert(items[index]!.text.startsWith(meaning), items[index]!.text);
    }
  });

  Deno.test(`The manual of ${name} names the environment variables that are read`, () => {
    const text = manual.items("ENVIRONMENT").map(({ head }) => head).join(" ");
    const source = Deno.readTextFileSync(`${ROOT}lib/cli/terminal.ts`);
    const names = [...source.matchAll(/readVariable\("(\w+)"\)/g)].map(([, name]) => name!);
    assert(names.length > 0);
    for (const name of names) assert(text.includes(`Ev ${name}`), name);
  });
}

Deno.test("Messages and manuals name only options that there are", () => {
  const known = new Set(
    [...EXTRACT_COMMANDS, ...FUSE_COMMANDS].flatMap(optionsOf).map(({ long }) => long),
  );
  // What blockdev, losetup, mdadm, cryptsetup, containers' tools and Ceph's are given.
  const foreign = [
    "assemble",
    "rebuild-tree",
    "run",
    "show",
    "stop",
    "type",
    "setrw",
    "device",
    "cap-add",
    "size",
    "rbd-cache",
    "id",
    "user",
    "name",
    "cluster",
    "conf",
    "keyring",
  ];
  const named = [...messages(`${ROOT}lib/`)].flatMap((line) =>
    [...line.matchAll(/(?<![\w-])--([a-z][a-z-]+)/g)].map(([, name]) => name!)
  );
  for (const page of ["backy-extract.1", "backy-fuse.1"]) {
    const text = Deno.readTextFileSync(`${ROOT}man/${page}`);
    named.push(...[...text.matchAll(/\bFl -([a-z][a-z-]+)/g)].map(([, name]) => name!));
  }
  for (const name of ["force", "also", "lock-timeout"]) assert(named.includes(name), name);
  assertEquals(named.filter((name) => !known.has(name) && !foreign.includes(name)), []);
});

/** Lines of code with text in them, of all files in a folder. */
function* messages(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (isDirectory) yield* messages(`${folder}${name}/`);
    else if (name.endsWith(".ts")) {
      const lines = Deno.readTextFileSync(folder + name).split("\n");
      yield* lines.filter((line) => /["'`]/.test(line) && !/^\s*(\*|\/[/*])/.test(line));
    }
  }
}

Deno.test("The manual names each type and field of JSON that is documented in the sources", () => {
  const words = new Set(EXTRACT_MANUAL.text("JSON").split(/[^\w-]+/));
  const missing: string[] = [];
  for (const file of ["json_reporter.ts", "list.ts", "check_command.ts"]) {
    const [comment = ""] = Deno.readTextFileSync(`${ROOT}lib/cli/${file}`).split("@module");
    const documented = [...comment.matchAll(/`([a-zA-Z][a-zA-Z-]*)`/g)].map(([, word]) => word!);
    assert(documented.length > 5, file);
    missing.push(...documented.filter((word) => !words.has(word)));
  }
  assertEquals(missing.filter((word) => word !== "backy-extract"), []);
});

testUnless(programProblem("mandoc"), "mandoc -Tlint has nothing to say about the manuals", () => {
  const pages = ["backy-extract.1", "backy-fuse.1"];
  const { stdout, stderr } = new Deno.Command("mandoc", {
    args: ["-Tlint", ...pages],
    cwd: `${ROOT}man`,
    stdout: "piped",
    stderr: "piped",
  }).outputSync();
  const decoder = new TextDecoder();
  // Which other manuals are installed is the machine's matter.
  const remarks = `${decoder.decode(stdout)}${decoder.decode(stderr)}`.split("\n")
    .filter((line) => line !== "" && !/mandoc\.db|referenced manual not found/.test(line));
  assertEquals(remarks, []);
});
