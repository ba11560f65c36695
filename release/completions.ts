/**
 * Makes the shell completions of both tools: the templates in `completions/`, in which lines such
 * as `#@ options` are replaced by what the tables of options and arguments in `lib/cli/` say.
 *
 *     completions.ts [--output FOLDER]
 *
 * @module
 */

import { parseArgs } from "node:util";
import { type CommandSpec, optionsOf } from "../lib/cli/command.ts";
import { EXTRACT } from "../lib/cli/extract.ts";
import { FUSE } from "../lib/cli/fuse.ts";
import type { Argument, Option } from "../lib/cli/option.ts";
import { print, runMain } from "./program.ts";
import { ROOT } from "./targets.ts";

/** What replaces a template's lines, by their names. */
type Blocks = Readonly<Record<string, readonly string[]>>;

interface Shell {
  readonly template: string;
  /** Name of the file with the completions of a tool. */
  readonly fileOf: (tool: string) => string;
  readonly blocksOf: (tool: CommandSpec) => Blocks;
}

const SHELLS: readonly Shell[] = [
  { template: "template.bash", fileOf: (tool) => `${tool}.bash`, blocksOf: bashBlocks },
  { template: "template.zsh", fileOf: (tool) => `_${tool}`, blocksOf: zshBlocks },
  { template: "template.fish", fileOf: (tool) => `${tool}.fish`, blocksOf: fishBlocks },
];

/** Renders all completions. @returns Contents by file name. */
export function renderCompletions(): Map<string, string> {
  return new Map(SHELLS.flatMap(({ template, fileOf, blocksOf }) => {
    const text = Deno.readTextFileSync(`${ROOT}completions/${template}`);
    return [EXTRACT, FUSE].map((tool: CommandSpec) => {
      const filled = fill(text, blocksOf(tool)).replaceAll("backy-tool", tool.name)
        .replaceAll("backy_tool", tool.name.replace("-", "_"));
      return [fileOf(tool.name), filled] as const;
    });
  }));
}

/** Writes all completions into a folder, which is made if it is absent. */
export function writeCompletions(folder: string): void {
  Deno.mkdirSync(folder, { recursive: true });
  for (const [name, text] of renderCompletions()) Deno.writeTextFileSync(`${folder}/${name}`, text);
}

function fill(template: string, blocks: Blocks): string {
  return template.replaceAll(/^( *)#@ (\w+)\n/gm, (_, indent: string, name: string) => {
    const lines = blocks[name];
    if (lines === undefined) throw new Error(`Cannot fill in "${name}": there is no such block`);
    return lines.map((line) => `${indent}${line}\n`).join("");
  });
}

/** A tool without a command, then its commands. */
function commandsOf(tool: CommandSpec): readonly (readonly [word: string, CommandSpec])[] {
  return [["", tool], ...(tool.commands ?? []).map((command) => [command.kind, command] as const)];
}

/** Of a program that is run, and its arguments, nothing is known. */
function argumentsOf(command: CommandSpec): readonly Argument<unknown>[] {
  return Object.values(command.arguments).filter(({ isAfterDashes }) => !isAfterDashes);
}

/** How the option is written, the short form first. */
function flagsOf({ short, long }: Option<unknown>): string[] {
  return short === undefined ? [`--${long}`] : [`-${short}`, `--${long}`];
}

/** What an option does, in a few words. */
function briefOf({ help }: Option<unknown>): string {
  return help.split(/[,;:(]/, 1)[0]!.trim();
}

function wordsOf({ choices, words }: Option<unknown>): string {
  return (choices ?? words ?? []).join(" ");
}

function revisionsOf({ revisions }: CommandSpec): string {
  return revisions ?? "several";
}

function singleQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function bashBlocks(tool: CommandSpec): Blocks {
  const commands = commandsOf(tool);
  const flags = (command: CommandSpec, takesValue: boolean) =>
    optionsOf(command).filter(({ value }) => (value !== undefined) === takesValue)
      .flatMap(flagsOf).join(" ");
  return {
    commands: [`commands='${(tool.commands ?? []).map(({ kind }) => kind).join(" ")}'`],
    options: commands.flatMap(([word, command]) => {
      const named = argumentsOf(command).map(({ names, isRepeated }) =>
        `${names}${isRepeated ? "..." : ""}`
      );
      return [
        `${singleQuoted(word)})`,
        `  number=${revisionsOf(command)} arguments=(${named.join(" ")})`,
        `  flags='${flags(command, false)}'`,
        `  values='${flags(command, true)}'`,
        "  ;;",
      ];
    }),
    values: commands.flatMap(([word, command]) =>
      optionsOf(command).flatMap((option) => {
        const kind = option.names ?? (wordsOf(option) && `words ${wordsOf(option)}`);
        const patterns = flagsOf(option).map((flag) => `${word}:${flag}`).join(" | ");
        return kind ? [`${patterns}) kind=${singleQuoted(kind)} ;;`] : [];
      })
    ),
  };
}

function zshBlocks(tool: CommandSpec): Blocks {
  const briefs = (tool.commands ?? []).map(({ kind, brief }) => singleQuoted(`${kind}:${brief}`));
  return {
    commands: [`commands=(${briefs.join(" ")})`],
    options: commandsOf(tool).flatMap(([word, command]) => {
      const several = revisionsOf(command);
      const isMain = word === "" && briefs.length > 0;
      const first = argumentsOf(command)[0]?.names;
      const specs = [
        ...optionsOf(command).map((option) => zshOption(option, command)),
        ...argumentsOf(command).map(({ name, names, isRepeated }, at) => {
          const action = isMain && at === 0 ? "->first" : zshAction(names, several);
          return singleQuoted(`${isRepeated ? "*" : at + 1}:${name.toLowerCase()}:${action}`);
        }),
      ];
      return [
        `${singleQuoted(word)})`,
        "  _arguments -s -S \\",
        ...specs.map((spec, at) => `    ${spec}${at < specs.length - 1 ? " \\" : " && ret=0"}`),
        ...isMain
          ? [
            "  if [[ $state == first ]]; then",
            "    (( CURRENT == 2 )) && _describe -t commands command commands && ret=0",
            `    ${zshAction(first, several).trim()} && ret=0`,
            "  fi",
          ]
          : [],
        "  ;;",
      ];
    }),
  };
}

function zshOption(option: Option<unknown>, command: CommandSpec): string {
  const { long, short, value, names, words } = option;
  const text = `[${briefOf(option).replaceAll(/[[\]\\]/g, "\\$&")}]`;
  const isAnswer = !Object.values(command.options).includes(option);
  const excluded = isAnswer
    ? "(- *)"
    : `(${[...flagsOf(option), ...rivalsOf(option, command)].join(" ")})`;
  const before = singleQuoted(option.isRepeated ? "*" : excluded);
  if (value === undefined) {
    const flags = short === undefined ? `--${long}` : `{-${short},--${long}}`;
    return `${before}${flags}${singleQuoted(text)}`;
  }
  const flags = short === undefined ? `--${long}=` : `{-${short}+,--${long}=}`;
  const action = words
    ? `_values -s , option ${words.join(" ")}`
    : wordsOf(option)
    ? `(${wordsOf(option)})`
    : zshAction(names, revisionsOf(command));
  return `${before}${flags}${singleQuoted(`${text}:${value.replaceAll(":", "\\:")}:${action}`)}`;
}

/** The options that an option excludes, whatever their values. */
function rivalsOf(option: Option<unknown>, command: CommandSpec): string[] {
  const excludes = (one: Option<unknown>, other: Option<unknown>) =>
    one.conflicts?.some((conflict) =>
      conflict.of === undefined && conflict.with?.includes(`--${other.long}`)
    ) ?? false;
  return optionsOf(command).filter((other) => excludes(option, other) || excludes(other, option))
    .flatMap(flagsOf);
}

function zshAction(names: Argument<unknown>["names"], several: string): string {
  switch (names) {
    case "file":
      return "_files";
    case "directory":
      return "_files -/";
    case "revision":
      return ` _backy_tool_revision_path ${several}`;
    case "spec":
      return ` _backy_tool_revision_name ${several}`;
    case "base":
      return " _backy_tool_base";
    case undefined:
      return " ";
  }
}

function fishBlocks(tool: CommandSpec): Blocks {
  const commands = commandsOf(tool);
  const takesValue = commands.flatMap(([, command]) =>
    optionsOf(command).filter(({ value }) => value !== undefined).flatMap(flagsOf)
  );
  const lines = commands.flatMap(([word, command]) => {
    const several = revisionsOf(command);
    const is = `__backy_tool_is ${word || "main"}`;
    const complete = (condition: string, rest: string) =>
      `complete -c ${tool.name} -n '${condition}' ${rest}`;
    return [
      ...word === "" ? [] : [
        complete(
          "test (count (commandline -opc)) -eq 1",
          `-a ${word} -d ${fishText(command.brief ?? "")}`,
        ),
      ],
      ...argumentsOf(command).map(({ names, isRepeated }, at) =>
        complete(
          `${is}; and __backy_tool_has ${isRepeated ? "-ge" : "-eq"} ${at}`,
          fishAction(names, several).replace(/^-[xr] /, ""),
        )
      ),
      ...optionsOf(command).map((option) => {
        const { long, short, value, names } = option;
        const action = value === undefined
          ? ""
          : wordsOf(option)
          ? ` -x -a '${wordsOf(option)}'`
          : ` ${fishAction(names, several)}`;
        const flags = short === undefined ? `-l ${long}` : `-s ${short} -l ${long}`;
        return complete(is, `${flags}${action} -d ${fishText(briefOf(option))}`);
      }),
    ];
  });
  return {
    commands: [["set -l commands", ...(tool.commands ?? []).map(({ kind }) => kind)].join(" ")],
    values: [`set -l takes_value ${[...new Set(takesValue)].join(" ")}`],
    options: lines,
  };
}

function fishAction(names: Argument<unknown>["names"], several: string): string {
  switch (names) {
    case "file":
      return "-r -F";
    case "directory":
      return "-x -a '(__fish_complete_directories)'";
    case "revision":
      return `-x -a '(__backy_tool_revision_path ${several})'`;
    case "spec":
      return `-x -a '(__backy_tool_revision_name ${several})'`;
    case "base":
      return "-x -a '(__backy_tool_base)'";
    case undefined:
      return "-x";
  }
}

function fishText(text: string): string {
  const sentence = text.slice(0, 1).toUpperCase() + text.slice(1);
  return `'${sentence.replaceAll(/[\\']/g, "\\$&")}'`;
}

if (import.meta.main) {
  await runMain(() => {
    const { values } = parseArgs({
      options: { output: { type: "string", default: "dist/completions" } },
    });
    writeCompletions(values.output);
    print(`Completions are in ${values.output}`);
  });
}
