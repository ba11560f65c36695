/**
 * Runs a tool, from its arguments to its exit code.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { reasonOf } from "../linux/errno.ts";
import { isRbdName } from "../target/rbd_name.ts";
import { quote } from "../wording.ts";
import { type Answer, type AnyCommand, type CommandSpec, parseCommand } from "./command.ts";
import { VERSION } from "./command_run.ts";
import { ExitCode, exitCodeFor } from "./exit_code.ts";
import { renderHelp } from "./help.ts";
import { JsonReporter } from "./json_reporter.ts";
import { processStart } from "./process_start.ts";
import { ProgressReporter } from "./progress.ts";
import { openSink, type Sink, stderrDisplay, writeFully } from "./terminal.ts";

/**
 * Runs a command of a tool.
 *
 * @param tool The tool's name, for messages.
 * @param args The command line after the word that chose the command.
 * @returns The exit code; everything there is to say was printed.
 */
export async function runTool<Command extends AnyCommand>(
  tool: string,
  spec: CommandSpec<Command>,
  args: readonly string[],
): Promise<number> {
  const write = openSink();
  try {
    const parsed = parseCommand(spec, args);
    if (isAnswer(parsed)) {
      // backy looks for a line that begins with the tool's name.
      const text = "tool" in parsed ? renderHelp(parsed.tool) : `${tool} ${VERSION}\n`;
      return printAnswer(text, tool, write);
    }
    requireUsablePaths(spec, parsed);
    return await spec.run(parsed, tool, write);
  } catch (error) {
    // A running command reports its own failures. Here the arguments are wrong, as a rule, so they
    // cannot say whether a person or a program reads this.
    const isJson = spec.reportsJson === true && args.includes("--json");
    using reporter = isJson
      ? new JsonReporter({ tool, write, quiet: true, version: VERSION })
      : new ProgressReporter({ tool, write, quiet: true, display: stderrDisplay() });
    reporter.fail(error);
    return exitCodeFor(error);
  }
}

function isAnswer(parsed: AnyCommand): parsed is Answer {
  return parsed.kind === "help" || parsed.kind === "version";
}

/** Prints what was asked for to standard output. */
function printAnswer(text: string, tool: string, write: Sink): ExitCode {
  try {
    writeFully(Deno.stdout, text);
    return ExitCode.COMPLETE;
  } catch (error) {
    // `--help | head` has read enough.
    if (error instanceof Deno.errors.BrokenPipe) return ExitCode.COMPLETE;
    write(`${tool}: Cannot write standard output: ${reasonOf(error)}\n`);
    return ExitCode.FAILURE;
  }
}

/**
 * Requires absolute paths if the process had to leave its working directory.
 *
 * @throws {UsageError} If a path is relative: it would now be looked for in "/".
 */
function requireUsablePaths(spec: CommandSpec, command: AnyCommand): void {
  if (!processStart().hasLeftDirectory) return;
  const relative = pathsOf(spec, command).find((path) => !path.startsWith("/"));
  if (relative === undefined) return;
  throw new UsageError(
    `Cannot use relative path ${quote(relative)}: the working directory was removed, or its name ` +
      "is not UTF-8; change to another directory, or use absolute paths",
  );
}

/** All paths that a command names. */
function pathsOf(spec: CommandSpec, command: AnyCommand): string[] {
  const named = Object.entries({ ...spec.options, ...spec.arguments });
  const values = new Map<string, unknown>(Object.entries(command));
  return named.flatMap(([field, { names }]) => {
    if (names === undefined || names === "spec") return [];
    const value = values.get(field);
    const texts = Array.isArray(value) ? value : value === undefined ? [] : [value];
    return texts.filter((text: string) =>
      // A bare base is a revision in the backup directory.
      names === "base" ? text.includes("/") : !(names === "file" && isNoPath(text))
    );
  });
}

/** Whether an output is standard output or an image in a cluster. */
function isNoPath(output: string): boolean {
  return output === "-" || isRbdName(output);
}
