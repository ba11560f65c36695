/**
 * `backy-extract` from its arguments to its exit code: parses, and hands over to the command.
 *
 * @module
 */

import { ExitCode, exitCodeFor } from "./exit_code.ts";
import { parseExtractArguments } from "./extract_arguments.ts";
import { printAnswer } from "./failure.ts";
import { renderHelp } from "./help.ts";
import { JsonReporter } from "./json_reporter.ts";
import { EXTRACT_TOOL } from "./option_table.ts";
import { ProgressReporter } from "./progress.ts";
import { runRestore } from "./restore_command.ts";
import { openSink, type Sink, stderrDisplay } from "./terminal.ts";
import { VERSION } from "./version.ts";
import { requireUsablePaths } from "./working_directory.ts";

const NAME = EXTRACT_TOOL.name;

/**
 * Runs the tool.
 *
 * @param args Command line without the program's name.
 * @returns The exit code; everything there is to say was printed.
 */
export async function runExtract(args: readonly string[]): Promise<ExitCode> {
  const write = openSink();
  try {
    const command = parseExtractArguments(args);
    requireUsablePaths(command);
    switch (command.kind) {
      // What is asked for goes to standard output. backy looks for a line that begins with the
      // tool's name.
      case "version":
        return printAnswer(`${NAME} ${VERSION}\n`, NAME, write);
      case "help":
        return printAnswer(renderHelp(command.tool), NAME, write);
      case "restore":
        return await runRestore(NAME, command);
      // These need more than a restore does, which is not to wait for it.
      case "list":
        return await (await import("./list_command.ts")).runListCommand(NAME, command, write);
      case "check":
        return await (await import("./check_command.ts")).runCheck(NAME, command);
    }
  } catch (error) {
    return failAtOnce(error, args, write);
  }
}

/**
 * Says what made a run fail that has no reporter: its arguments, as a rule, which then cannot say
 * who listens.
 */
function failAtOnce(error: unknown, args: readonly string[], write: Sink): ExitCode {
  const options = { tool: NAME, write, quiet: true };
  // A list's JSON goes to standard output, and what it says beside is for a person.
  const isJson = args[0] !== "list" && args.includes("--json");
  using reporter = isJson
    ? new JsonReporter({ ...options, version: VERSION })
    : new ProgressReporter({ ...options, display: stderrDisplay() });
  reporter.fail(error);
  return exitCodeFor(error);
}
