/**
 * `backy-fuse`: its options, help and run, which lasts until the mount is gone.
 *
 * @module
 */

import { defaultThreads } from "../work/worker_room.ts";
import { InterruptedError } from "../errors.ts";
import { mountBackup, type MountEvent } from "../fuse/mount.ts";
import { freeMemoryBytes } from "../linux/free_memory.ts";
import { raiseDescriptorLimit } from "../linux/headroom.ts";
import { quote } from "../wording.ts";
import { type CommandOf, defineCommand } from "./command.ts";
import { interruptedBy, SignalWatch } from "./command_run.ts";
import { ExitCode, exitCodeFor } from "./exit_code.ts";
import { describeFailure } from "./failure.ts";
import { formatQuantity } from "./format.ts";
import { FORCE_MS, listOf, MountEnding, ParentWatch } from "./mount_ending.ts";
import { optional, parseText, parseWhole, repeated, required, valued } from "./option.ts";
import { ProgressReporter } from "./progress.ts";
import { reportCommonEvent } from "./reporter.ts";
import { LOCK_TIMEOUT, THREADS, VERIFY } from "./shared_options.ts";
import { type Sink, stderrDisplay } from "./terminal.ts";
import { runTool } from "./tool.ts";

const MIB = 1_048_576;

/** Size of each cache in MiB: at least a few chunks; more than the maximum must be a typo. */
const CACHE_MIB = { min: 16, max: 1_048_576, default: 1024 };

/** How long an unattended mount waits for the purge lock. */
const UNATTENDED_LOCK_TIMEOUT_MS = 10_000;

// In the order of mount(8) and sshfs: what, then where.
const ARGUMENTS = {
  basedir: optional({
    name: "DIR",
    names: "directory",
    help: "backup directory, as for --basedir",
  }),
  mountpoint: required({
    name: "MOUNTPOINT",
    names: "directory",
    help: "an empty directory to mount at",
  }),
};

const OPTIONS = {
  basedir: valued({
    long: "basedir",
    short: "d",
    value: "DIR",
    names: "directory",
    help: "backup directory",
    default: ".",
    absent: ".",
    parse: parseText,
  }),
  /** Options for mount(8) and FUSE, such as "allow_root". */
  mountOptions: repeated({
    long: "mountopts",
    short: "o",
    value: "OPTS",
    words: ["allow_root", "allow_other", "default_permissions", "ro"],
    help: 'mount options, separated by commas; may be given several times; "" for none',
    default: "allow_root",
    absent: ["allow_root"],
    parse: (text) => text.split(",").filter((option) => option !== ""),
  }),
  /** Size of each of the two caches in bytes; `undefined`: {@linkcode defaultCacheBytes}. */
  cacheBytes: valued({
    long: "cache",
    short: "c",
    value: "MIB",
    help: "size of the read cache, and of the cache of changed chunks, in MiB, at least " +
      `${CACHE_MIB.min}`,
    default: `${CACHE_MIB.default}, both together at most half of the memory that is left`,
    // Smaller numbers are raised to the minimum: scripts written for other tools have them.
    parse: (text) => MIB * Math.max(CACHE_MIB.min, parseWhole(text, { ...CACHE_MIB, min: 0 })),
  }),
  threads: THREADS,
  /** Where changed chunks go when their cache is full; `undefined`: the backup directory. */
  spill: valued({
    long: "spill",
    value: "DIR",
    names: "directory",
    help: "where changed chunks go when their cache is full",
    default: "the backup directory",
    parse: parseText,
  }),
  verify: VERIFY,
  lockTimeoutMs: { ...LOCK_TIMEOUT, default: "wait; 10 if standard error is not a terminal" },
};

/** A mount as the command line asks for it. */
export type MountCommand = CommandOf<"mount", typeof OPTIONS, typeof ARGUMENTS>;

/** `backy-fuse`. */
export const MOUNT = defineCommand({
  kind: "mount",
  name: "backy-fuse",
  summary: "Mounts all revisions of a backy backup as image files. Changes to them are kept " +
    "apart from the backup and are gone when it is unmounted.",
  arguments: ARGUMENTS,
  options: OPTIONS,
  run: runMount,
});

/**
 * Runs `backy-fuse`.
 *
 * @param args Command line without the program's name.
 * @returns The exit code, when the mount is gone; everything there is to say was printed.
 */
export function runFuse(args: readonly string[]): Promise<ExitCode> {
  return runTool(MOUNT.name, MOUNT, args);
}

/**
 * Chooses the size of each of a mount's two caches. Together they take at most half of the free
 * memory, because the programs that read the mount and the kernel's own cache need memory too.
 *
 * @param freeBytes Memory that may still be used; `null` if unknown.
 * @returns Whole MiB from 16 to 1024, in bytes.
 */
export function defaultCacheBytes(freeBytes: number | null): number {
  const { min, default: most } = CACHE_MIB;
  const mib = freeBytes === null ? most : Math.floor(freeBytes / 4 / MIB);
  return Math.min(most, Math.max(min, mib)) * MIB;
}

/**
 * Chooses how long a mount waits for the purge lock. A script starts it in the background, sleeps
 * and then uses the mount point: it would not expect a mount that appears much later.
 *
 * @param isAttended Whether somebody sees that it waits.
 * @returns Milliseconds; `undefined`: forever.
 */
function defaultLockTimeoutMs(isAttended: boolean): number | undefined {
  return isAttended ? undefined : UNATTENDED_LOCK_TIMEOUT_MS;
}

async function runMount(command: MountCommand, tool: string, write: Sink): Promise<ExitCode> {
  using reporter = new ProgressReporter({
    tool,
    write,
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
    // Ending between the mount and its first answer would leave a dead mount behind.
    if (count > 1) setTimeout(() => ending ?? Deno.exit(ExitCode[signal]), FORCE_MS);
  });
  using parent = new ParentWatch((error) => interruption.abort(error));
  try {
    const mounted = await mountBackup({
      ...command,
      threads: command.threads ?? defaultThreads(),
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
    // A signal that arrived while mounting had nothing to unmount yet.
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
    case "mounting":
      return reporter.step("Mounting");
    case "lingering":
      return reporter.warn(
        `unmounted here, but still in use by ${listOf(event.keepers)}: it is served, and the ` +
          "purge lock is held, until they end; a signal ends it all the same",
      );
    default:
      return reportCommonEvent(reporter, event);
  }
}
