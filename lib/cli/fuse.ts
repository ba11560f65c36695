/**
 * `backy-fuse`: a mount, unless the first argument is the word of another command.
 *
 * @module
 */

import { type Answer, type CommandMadeBy, type CommandSpec, parseCommand } from "./command.ts";
import { FILES } from "./files_command.ts";
import { MOUNT, type MountCommand, runMountTool } from "./mount_command.ts";
import { isMountHelper } from "./mount_helper.ts";
import { NBD } from "./nbd_command.ts";
import { runTool } from "./tool.ts";

/** The commands that a word chooses, in the order in which help shows them. */
const COMMANDS = [FILES, NBD] as const;

type OtherCommand = CommandMadeBy<typeof COMMANDS[number]>;

/** All that there is to say about `backy-fuse`. */
export const FUSE: CommandSpec<MountCommand> = { ...MOUNT, commands: COMMANDS };

/** What a command line of `backy-fuse` asks for. */
export type FuseCommand = Answer | MountCommand | OtherCommand;

/**
 * Runs the tool.
 *
 * @param args Command line without the program's name.
 * @returns The exit code; everything there is to say was printed.
 */
export async function runFuse(args: readonly string[]): Promise<number> {
  const command = commandOf(args);
  // A helper of mount(8) gets a directory first, whatever its name.
  if (command === undefined || isMountHelper(args)) return await runMountTool(FUSE, args);
  return await runTool(FUSE.name, command, args.slice(1));
}

/** Reads a command line as {@linkcode runFuse} does. @throws {UsageError} */
export function parseFuseArguments(args: readonly string[]): FuseCommand {
  const command = commandOf(args);
  return command ? parseCommand(command, args.slice(1)) : parseCommand(FUSE, args);
}

function commandOf([word]: readonly string[]): CommandSpec<OtherCommand> | undefined {
  return COMMANDS.find(({ kind }) => kind === word);
}
