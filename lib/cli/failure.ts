/**
 * How the tools answer at once, and what a person is told of an error.
 *
 * @module
 */

import { BackyError } from "../errors.ts";
import { reasonOf } from "../linux/errno.ts";
import { ExitCode } from "./exit_code.ts";
import { type Sink, writeFully } from "./terminal.ts";

/** Says in one line what went wrong; an error that is not ours is a bug, and said to be one. */
export function describeFailure(error: unknown): string {
  if (error instanceof BackyError && error.code !== "worker") return error.message;
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return `Cannot go on: internal error, please report it: ${text}`;
}

/**
 * Prints what was asked for (help, version) to standard output.
 *
 * @param tool Name of the tool, put before the message of a failure.
 * @param write Takes that message.
 */
export function printAnswer(text: string, tool: string, write: Sink): ExitCode {
  try {
    writeFully(Deno.stdout, text);
    return ExitCode.COMPLETE;
  } catch (error) {
    // `--help | head` has what it wanted.
    if (error instanceof Deno.errors.BrokenPipe) return ExitCode.COMPLETE;
    write(`${tool}: Cannot write standard output: ${reasonOf(error)}\n`);
    return ExitCode.FAILURE;
  }
}
