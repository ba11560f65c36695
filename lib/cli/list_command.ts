/**
 * `backy-extract list`: its options, help and run, which shows progress if it takes long. `list.ts`
 * makes the list, `partition_list.ts` that of one revision's partitions.
 *
 * SIGINT and SIGTERM end the process at once, which is their default: there is nothing to clean up.
 *
 * @module
 */

import { type CommandOf, defineCommand } from "./command.ts";
import type { ExitCode } from "./exit_code.ts";
import { flag, optional, required } from "./option.ts";
import { ProgressReporter } from "./progress.ts";
import { type Sink, stderrDisplay, stdoutColumns, writeAll } from "./terminal.ts";

/** Most lists take less; longer ones show progress. */
const UNTOLD_MS = 1000;

const ARGUMENTS = {
  dir: required({
    name: "DIR",
    names: "directory",
    help: "a backup directory; with --partitions also a revision: DIR/UUID or DIR/SPEC",
  }),
  spec: optional({
    name: "SPEC",
    names: "spec",
    help: 'which revisions, such as clean, tag:daily, "trust:verified & not(tag:daily)" or ' +
      "2026-01-01..2026-02-01",
  }),
};

const OPTIONS = {
  partitions: flag({
    long: "partitions",
    help: "list the partitions of one revision (the last, if none is named) and what they hold",
  }),
  json: flag({ long: "json", help: "print JSON, one object per line" }),
};

/** A listing as the command line asks for it. */
export type ListCommand = CommandOf<"list", typeof OPTIONS, typeof ARGUMENTS>;

/** `backy-extract list`. */
export const LIST = defineCommand({
  kind: "list",
  name: "backy-extract list",
  summary: "Lists the revisions of a backup directory, the newest last.",
  brief: "list the revisions of a backup directory",
  arguments: ARGUMENTS,
  options: OPTIONS,
  run: runList,
});

async function runList(command: ListCommand, tool: string, write: Sink): Promise<ExitCode> {
  // Loaded only now: a restore must not wait for what it does not need.
  const list = command.partitions
    ? (await import("./partition_list.ts")).listPartitions
    : (await import("./list.ts")).list;
  const display = stderrDisplay();
  using reporter = new ProgressReporter({ tool, write, display, quiet: false, delayMs: UNTOLD_MS });
  const onStatus = () => reporter.status();
  Deno.addSignalListener("SIGUSR1", onStatus);
  try {
    return await list(command, {
      write: (text) => writeAll(Deno.stdout, text),
      reporter,
      columns: stdoutColumns(),
    });
  } finally {
    Deno.removeSignalListener("SIGUSR1", onStatus);
  }
}
