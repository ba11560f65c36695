/**
 * `backy-fuse` from its arguments to its exit code: parses, mounts, stays until it is unmounted.
 *
 * @module
 */

import { InterruptedError } from "../errors.ts";
import { freeMemoryBytes } from "../linux/free_memory.ts";
import { mountBackup, type MountEvent } from "../fuse/mount.ts";
import { raiseDescriptorLimit } from "../linux/headroom.ts";
import { quote } from "../wording.ts";
import { type MountCommand, parseFuseArguments } from "./fuse_arguments.ts";
import { FORCE_MS, listOf, MountEnding } from "./mount_ending.ts";
import { defaultCacheBytes, defaultLockTimeoutMs, defaultThreads } from "./option_values.ts";
import { ExitCode, exitCodeFor } from "./exit_code.ts";
import { describeFailure, printAnswer } from "./failure.ts";
import { formatQuantity } from "./format.ts";
import { renderHelp } from "./help.ts";
import { interruptedBy, SignalWatch } from "./interruption.ts";
import { FUSE_TOOL } from "./option_table.ts";
import { ParentWatch } from "./parent_watch.ts";
import { ProgressReporter } from "./progress.ts";
import { openSink, stderrDisplay } from "./terminal.ts";
import { VERSION } from "./version.ts";
import { requireUsablePaths } from "./working_directory.ts";

const NAME = FUSE_TOOL.name;

/**
 * Runs the tool.
 *
 * @param args Command line without the program's name.
 * @returns The exit code, when the mount is gone; everything there is to say was printed.
 */
export async function runFuse(args: readonly string[]): Promise<ExitCode> {
  const write = openSink();
  try {
    const command = parseFuseArguments(args);
    requireUsablePaths(command);
    if (command.kind === "mount") return await runMount(command);
    const text = command.kind === "version" ? `${NAME} ${VERSION}\n` : renderHelp(FUSE_TOOL);
    return printAnswer(text, NAME, write);
  } catch (error) {
    write(`${NAME}: ${describeFailure(error)}\n`);
    return exitCodeFor(error);
  }
}

async function runMount(command: MountCommand): Promise<ExitCode> {
  using reporter = new ProgressReporter({
    tool: NAME,
    write: openSink(),
    display: stderrDisplay(),
    quiet: false,
  });
  raiseDescriptorLimit();
  const interruption = new AbortController();
  let ending: MountEnding | undefined;
  // A lost connection to the rescue host must not leave a dead mount behind.
  let signalCount = 0;
  using _signals = new SignalWatch((signal, count) => {
    signalCount = count;
    interruption.abort(interruptedBy(signal));
    if (ending) return ending.heed(signal, count);
    // To end between the mount and its first answer would leave it behind, dead.
    if (count > 1) setTimeout(() => ending ?? Deno.exit(ExitCode[signal]), FORCE_MS);
  });
  using parent = new ParentWatch((error) => interruption.abort(error));
  try {
    const mounted = await mountBackup({
      ...command,
      threads: command.threads ?? defaultThreads(navigator.hardwareConcurrency),
      cacheBytes: command.cacheBytes ?? defaultCacheBytes(freeMemoryBytes()),
      lockTimeoutMs: command.lockTimeoutMs ?? defaultLockTimeoutMs(Deno.stderr.isTerminal()),
      signal: interruption.signal,
      onEvent: (event) => {
        if (event.type === "lock-wait") parent.begin(`mount at ${quote(command.mountpoint)}`);
        if (event.type === "mounting") parent.end();
        showEvent(reporter, event);
      },
    });
    ending = new MountEnding(mounted, reporter);
    reporter.stop();
    const { mountpoint, revisionCount } = mounted;
    const amount = formatQuantity(revisionCount, "revision");
    reporter.message(`${amount} of ${quote(command.basedir)} mounted at ${quote(mountpoint)}`);
    reporter.message(`To unmount: fusermount3 -u ${quote(mountpoint)}, or Ctrl-C`);
    // A signal that came while the mount was being made has had nothing to unmount.
    const { reason } = interruption.signal;
    if (reason instanceof InterruptedError) ending.heed(reason.signal, signalCount);
    const signal = await Promise.race([mounted.closed, ending.forced]);
    if (signal !== undefined) return ExitCode[signal];
    reporter.message("Unmounted");
    return ExitCode.COMPLETE;
  } catch (error) {
    reporter.fail(describeFailure(error));
    return exitCodeFor(error);
  }
}

function showEvent(reporter: ProgressReporter, event: MountEvent): void {
  switch (event.type) {
    case "locking":
      return reporter.step("Obtaining purge lock");
    case "lock-wait":
      return reporter.warn(`waiting for the purge lock, which is held by ${event.holder}`);
    case "mounting":
      return reporter.step("Mounting");
    case "lingering":
      return reporter.warn(
        `unmounted here, but still in use by ${listOf(event.keepers)}: it is served, and the ` +
          "purge lock is held, until they end; a signal ends it all the same",
      );
    case "notice":
      return reporter.message(event.text);
    case "warning":
      return reporter.warn(event.text);
  }
}
