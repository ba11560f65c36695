/**
 * Renders the `--help` of a tool or a command of it.
 *
 * @module
 */

import { EXIT_CODE_TABLE } from "./exit_code.ts";
import { type CommandSpec, nounOf, optionsOf } from "./command.ts";
import type { Argument, Option } from "./option.ts";

const COLUMNS = 80;

/**
 * Renders the help text of a tool or a command of it.
 *
 * @returns Lines of at most 80 columns, ending in a newline.
 */
export function renderHelp(tool: CommandSpec): string {
  const parts = [
    renderUsage(tool),
    wrap(tool.summary, COLUMNS).join("\n"),
    ...(tool.commands ? [renderCommands(tool, tool.commands)] : []),
    renderSection("Arguments", argumentsOf(tool).map(({ name, help }) => [name, help])),
    renderSection(
      "Options",
      optionsOf(tool).map((option) => [optionTerm(option), optionHelp(option)]),
    ),
    renderSection(
      "Exit codes",
      EXIT_CODE_TABLE.map(({ code, meaning }) => [String(code).padStart(3), meaning]),
    ),
  ];
  return parts.join("\n\n") + "\n";
}

function argumentsOf(tool: CommandSpec): readonly Argument<unknown>[] {
  return Object.values(tool.arguments);
}

function renderUsage(tool: CommandSpec): string {
  return `Usage: ${tool.name} [OPTIONS] ${renderArguments(tool)}`;
}

function renderArguments(tool: CommandSpec): string {
  return argumentsOf(tool).map(({ name, isOptional, isRepeated, isAfterDashes }) => {
    const term = `${isAfterDashes ? "-- " : ""}${isRepeated ? `${name}...` : name}`;
    return isOptional ? `[${term}]` : term;
  }).join(" ");
}

function renderCommands(tool: CommandSpec, commands: readonly CommandSpec[]): string {
  const rows = commands.map((command) =>
    [`${command.kind} [OPTIONS] ${renderArguments(command)}`, command.brief ?? ""] as const
  );
  const [first] = commands;
  return renderSection("Commands", rows) +
    `\n  ("${first?.name} --help" tells more; a ${
      nounOf(tool)
    } of that name is "./${first?.kind}")`;
}

function optionTerm({ short, long, value }: Option<unknown>): string {
  const names = short === undefined ? `    --${long}` : `-${short}, --${long}`;
  return value === undefined ? names : `${names} ${value}`;
}

function optionHelp({ help, default: preset }: Option<unknown>): string {
  return preset === undefined ? help : `${help} (default: ${preset})`;
}

/** Renders terms and their explanations in two columns below a title. */
function renderSection(title: string, rows: readonly (readonly [string, string])[]): string {
  const termWidth = Math.max(...rows.map(([term]) => term.length));
  const indent = 2 + termWidth + 2;
  const lines = rows.flatMap(([term, text]) =>
    wrap(text, COLUMNS - indent).map((line, i) =>
      `  ${(i === 0 ? term : "").padEnd(termWidth)}  ${line}`
    )
  );
  return [`${title}:`, ...lines].join("\n");
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
