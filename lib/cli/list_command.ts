/**
 * `backy-extract list` as a command: where its output goes.
 *
 * @module
 */

import { printable } from "../wording.ts";
import type { ExitCode } from "./exit_code.ts";
import type { ListCommand } from "./extract_commands.ts";
import { runList } from "./list.ts";
import { type Sink, stdoutColumns, writeFully } from "./terminal.ts";

/** Lists revisions. @throws What `runList` throws. */
export function runListCommand(tool: string, command: ListCommand, write: Sink): ExitCode {
  const columns = stdoutColumns();
  return runList(command, {
    write: (text) => writeFully(Deno.stdout, text),
    warn: (text) => write(`${tool}: warning: ${printable(text)}\n`),
    fail: (text) => write(`${tool}: ${printable(text)}\n`),
    isTerminal: columns !== undefined,
    columns: columns ?? 0,
  });
}
