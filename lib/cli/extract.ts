/**
 * `backy-extract`: a restore, unless the first argument is the word of another command.
 *
 * @module
 */

import { CHECK } from "./check_command.ts";
import { type Answer, type CommandMadeBy, type CommandSpec, parseCommand } from "./command.ts";
import { LIST } from "./list_command.ts";
import { RESTORE, type RestoreCommand } from "./restore_command.ts";
import { runTool } from "./tool.ts";

/** The commands that a word chooses, in the order in which help shows them. */
const COMMANDS = [
  LIST,
  CHECK,
] as const;

type OtherCommand = CommandMadeBy<typeof COMMANDS[number]>;

/** All that there is to say about `backy-extract`. */
export const EXTRACT: CommandSpec<RestoreCommand> = { ...RESTORE, commands: COMMANDS };

/** What a command line of `backy-extract` asks for. */
export type ExtractCommand = Answer | RestoreCommand | OtherCommand;

/**
 * Runs the tool.
 *
 * @param args Command line without the program's name.
 * @returns The exit code; everything there is to say was printed.
 */
export function runExtract(args: readonly string[]): Promise<number> {
  const command = commandOf(args);
  return command
    ? runTool(EXTRACT.name, command, args.slice(1))
    : runTool(EXTRACT.name, EXTRACT, args);
}

/** Reads a command line as {@linkcode runExtract} does. @throws {UsageError} */
export function parseExtractArguments(args: readonly string[]): ExtractCommand {
  const command = commandOf(args);
  return command ? parseCommand(command, args.slice(1)) : parseCommand(EXTRACT, args);
}

function commandOf([word]: readonly string[]): CommandSpec<OtherCommand> | undefined {
  return COMMANDS.find(({ kind }) => kind === word);
}
