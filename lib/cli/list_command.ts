/**
 * `backy-extract list` as a command: where its output goes, and how far it is if it takes long.
 *
 * SIGINT and SIGTERM keep their default: they end the process at once, as there is nothing to put
 * in order.
 *
 * @module
 */

import { printable } from "../wording.ts";
import type { ExitCode } from "./exit_code.ts";
import type { ListCommand } from "./extract_commands.ts";
import { runList } from "./list.ts";
import { ProgressReporter } from "./progress.ts";
import { type Sink, stderrDisplay, stdoutColumns, writeAll } from "./terminal.ts";

/** Most lists are made before; what takes longer shows how far it is. */
const UNTOLD_MS = 1000;

/** Lists revisions. @throws What `runList` throws. */
export async function runListCommand(
  tool: string,
  command: ListCommand,
  write: Sink,
): Promise<ExitCode> {
  const columns = stdoutColumns();
  const display = stderrDisplay();
  using reporter = new ProgressReporter({ tool, write, display, quiet: false, delayMs: UNTOLD_MS });
  const onStatus = () => reporter.status();
  Deno.addSignalListener("SIGUSR1", onStatus);
  try {
    return await runList(command, {
      write: (text) => writeAll(Deno.stdout, text),
      warn: (text) => reporter.warn(text),
      fail: (text) => write(`${tool}: ${printable(text)}\n`),
      onStep(text, counts) {
        reporter.step(text, {
          ...counts && {
            counts: () => {
              const { done, total } = counts();
              return { doneBytes: done, totalBytes: total, unit: "revision" };
            },
          },
        });
      },
      onStepEnd: () => reporter.stop(),
      isTerminal: columns !== undefined,
      columns: columns ?? 0,
    });
  } finally {
    Deno.removeSignalListener("SIGUSR1", onStatus);
  }
}
