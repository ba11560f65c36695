/**
 * `backy-extract` from its arguments to its exit code: parses, and hands over to the command.
 *
 * @module
 */

import { candidateLines } from "./candidates.ts";
import { ExitCode, exitCodeFor } from "./exit_code.ts";
import { parseExtractArguments } from "./extract_arguments.ts";
import { describeFailure, printAnswer } from "./failure.ts";
import { renderHelp } from "./help.ts";
import { EXTRACT_TOOL } from "./option_table.ts";
import { runRestore } from "./restore_command.ts";
import { printable } from "../wording.ts";
import { openSink, type Sink } from "./terminal.ts";
import { VERSION } from "./version.ts";

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
    switch (command.kind) {
      // What is asked for goes to standard output. backy looks for a line that begins with the tool's name.
      case "version":
        return printAnswer(`${NAME} ${VERSION}\n`, NAME, write);
      case "help":
        return printAnswer(renderHelp(command.tool), NAME, write);
      case "restore":
        return await runRestore(NAME, command);
      // These need more than a restore does, which is not to wait for it.
      case "list":
        return (await import("./list_command.ts")).runListCommand(NAME, command, write);
      case "check":
        return await (await import("./check_command.ts")).runCheck(NAME, command);
    }
  } catch (error) {
    return failAtOnce(error, write);
  }
}

function failAtOnce(error: unknown, write: Sink): ExitCode {
  for (const line of [describeFailure(error), ...candidateLines(error)]) {
    write(`${NAME}: ${printable(line)}\n`);
  }
  return exitCodeFor(error);
}
