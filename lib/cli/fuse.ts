/**
 * `backy-fuse` from its arguments to its exit code: parses, mounts, stays until it is unmounted.
 *
 * @module
 */

import { freeMemoryBytes } from "../ffi/free_memory.ts";
import { type BackupMount, mountBackup, type MountEvent } from "../fuse/mount.ts";
import { raiseDescriptorLimit } from "../ffi/headroom.ts";
import { quote } from "../wording.ts";
import { type MountCommand, parseFuseArguments } from "./fuse_arguments.ts";
import { defaultCacheBytes, defaultThreads } from "./option_values.ts";
import { ExitCode, exitCodeFor } from "./exit_code.ts";
import { describeFailure, printAnswer } from "./failure.ts";
import { formatQuantity } from "./format.ts";
import { renderHelp } from "./help.ts";
import { interruptedBy, SignalWatch } from "./interruption.ts";
import { FUSE_TOOL } from "./option_table.ts";
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
  let mounted: BackupMount | undefined;
  // A lost connection to the rescue host must not leave a dead mount behind.
  using _signals = new SignalWatch((signal, count) => {
    const patience = mounted ? 2 : 1;
    if (count > patience) Deno.exit(ExitCode[signal]);
    interruption.abort(interruptedBy(signal));
    if (mounted) void endMount(mounted, { isForced: count > 1, reporter });
  });
  try {
    mounted = await mountBackup({
      ...command,
      threads: command.threads ?? defaultThreads(navigator.hardwareConcurrency),
      cacheBytes: command.cacheBytes ?? defaultCacheBytes(freeMemoryBytes()),
      signal: interruption.signal,
      onEvent: (event) => showEvent(reporter, event),
    });
    reporter.stop();
    const { mountpoint, revisionCount } = mounted;
    const amount = formatQuantity(revisionCount, "revision");
    reporter.message(`${amount} of ${quote(command.basedir)} mounted at ${quote(mountpoint)}`);
    reporter.message(`To unmount: fusermount3 -u ${quote(mountpoint)}, or Ctrl-C`);
    // A signal that came while the mount was being made has had nothing to unmount.
    if (interruption.signal.aborted) void endMount(mounted, { isForced: false, reporter });
    await mounted.closed;
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
    case "notice":
      return reporter.message(event.text);
    case "warning":
      return reporter.warn(event.text);
  }
}

/** Unmounts; where somebody uses the mount, says who and leaves it to a second signal to take it away from them. */
async function endMount(
  mounted: BackupMount,
  options: { isForced: boolean; reporter: ProgressReporter },
): Promise<void> {
  const { isForced, reporter } = options;
  try {
    const users = await mounted.unmount();
    if (users === null) return;
    const list = users.length > 0 ? users.join(", ") : "processes that cannot be named";
    if (!isForced) {
      reporter.warn(`the mount is in use by ${list}; a second signal detaches it all the same`);
      return;
    }
    await mounted.detach();
    reporter.warn(`detached; it is served until it is no longer used, a third signal ends that`);
  } catch (error) {
    reporter.warn(describeFailure(error));
  }
}
