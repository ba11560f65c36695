/**
 * Renders a tool's `--help` from its option table.
 *
 * @module
 */

import { EXIT_CODE_TABLE } from "./exit_code.ts";
import type { ArgumentSpec, OptionSpec, ToolSpec } from "./option_table.ts";

const COLUMNS = 80;

/**
 * Renders the help text of a tool.
 *
 * @returns Lines of at most 80 columns, ending in a newline.
 */
export function renderHelp(tool: ToolSpec): string {
  const parts = [
    renderUsage(tool),
    wrap(tool.summary, COLUMNS).join("\n"),
    ...(tool.commands ? [renderCommands(tool)] : []),
    renderSection("Arguments", tool.arguments.map(({ name, help }) => [name, help])),
    renderSection(
      "Options",
      tool.options.map((option) => [optionTerm(option), optionHelp(option)]),
    ),
    renderSection(
      "Exit codes",
      EXIT_CODE_TABLE.map(({ code, meaning }) => [String(code).padStart(3), meaning]),
    ),
  ];
  return parts.join("\n\n") + "\n";
}

function renderUsage(tool: ToolSpec): string {
  const positionals = tool.arguments.map(argumentTerm).join(" ");
  return `Usage: ${tool.name} [OPTIONS] ${positionals}`;
}

function argumentTerm({ name, isOptional, isRepeated }: ArgumentSpec): string {
  const term = isRepeated ? `${name}...` : name;
  return isOptional ? `[${term}]` : term;
}

function renderCommands({ name, commands = [] }: ToolSpec): string {
  const rows = commands.map(({ usage, help }) => [usage, help] as const);
  const [first = ""] = commands.map(({ usage }) => usage.split(" ", 1)[0]);
  return renderSection("Commands", rows) +
    `\n  ("${name} ${first} --help" tells more; a revision of that name is "./${first}")`;
}

function optionTerm({ short, long, value }: OptionSpec): string {
  const names = short === undefined ? `    --${long}` : `-${short}, --${long}`;
  return value === undefined ? names : `${names} ${value}`;
}

function optionHelp({ help, default: preset }: OptionSpec): string {
  return preset === undefined ? help : `${help} (default: ${preset})`;
}

/** Sets terms and their explanations in two columns, below a title. */
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
