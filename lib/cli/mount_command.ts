/**
 * `backy-fuse`: its options, help and run. Next: `mount_run.ts`.
 *
 * @module
 */

import type { MountOptions } from "../fuse/mount.ts";
import { freeMemoryBytes } from "../linux/free_memory.ts";
import { raiseDescriptorLimit } from "../linux/headroom.ts";
import { nameProcess } from "../linux/own_process.ts";
import { absolutePath, changeDirectory } from "../linux/paths.ts";
import { defaultThreads } from "../work/worker_room.ts";
import { Front } from "./background_server.ts";
import { type CommandOf, type CommandSpec, defineCommand, optionsOf } from "./command.ts";
import { ExitCode, exitCodeFor } from "./exit_code.ts";
import { DaemonAudience, FrontAudience, TerminalAudience } from "./mount_audience.ts";
import {
  helperArguments,
  isForFstab,
  isGivenBy,
  isMountHelper,
  ownMountOptions,
  parseMountOptions,
} from "./mount_helper.ts";
import { flag, optional, parseText, repeated, required, valued } from "./option.ts";
import { ProgressReporter } from "./progress.ts";
import {
  CACHE,
  CACHE_MIB,
  MIB_BYTES,
  MOUNT_LOCK_TIMEOUT,
  SPILL,
  THREADS,
  VERIFY,
} from "./shared_options.ts";
import { hasSystemLog, type Log, openLogFile, systemLog } from "./system_log.ts";
import { type Sink, stderrDisplay } from "./terminal.ts";
import { runTool } from "./tool.ts";

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
    parse: parseMountOptions,
  }),
  /** Size of each of the two caches in bytes; `undefined`: {@linkcode defaultCacheBytes}. */
  cacheBytes: CACHE,
  threads: THREADS,
  /** Where changed chunks go when their cache is full; `undefined`: the backup directory. */
  spill: SPILL,
  verify: VERIFY,
  background: flag({
    long: "background",
    short: "b",
    help: "return when the mount is ready, and serve it in the background",
  }),
  /** Where a mount in the background tells what happens; `undefined`: the system log. */
  log: valued({
    long: "log",
    value: "FILE",
    names: "file",
    help: "in the background, append warnings to this file",
    default: "the system log",
    conflicts: [{
      without: "--background",
      reason: "in the foreground, they go to standard error",
    }],
    parse: parseText,
  }),
  lockTimeoutMs: MOUNT_LOCK_TIMEOUT,
};

/** The options that can be given as mount options, too. */
const OWN_OPTIONS = Object.values(OPTIONS).filter((option) =>
  option !== OPTIONS.basedir && option !== OPTIONS.mountOptions
);

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
 * Runs a mount, for its user or as a helper of mount(8).
 *
 * @param tool {@linkcode MOUNT}, with the tool's other commands.
 * @param args Command line without the program's name.
 * @returns The exit code, when the mount is gone; everything there is to say was printed.
 */
export async function runMountTool(
  tool: CommandSpec<MountCommand>,
  args: readonly string[],
): Promise<number> {
  const words = helperArguments(args);
  if (words === null) return ExitCode.COMPLETE;
  const { mountOptions } = OPTIONS;
  const own = ownMountOptions(words, { all: optionsOf(MOUNT), mountOptions, own: OWN_OPTIONS });
  // mount(8) waits for the end of its helper.
  const background = isMountHelper(args) ? ["--background"] : [];
  return await runTool(tool.name, tool, [...background, ...own, ...words]);
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
  const mib = freeBytes === null ? most : Math.floor(freeBytes / 4 / MIB_BYTES);
  return Math.min(most, Math.max(min, mib)) * MIB_BYTES;
}

/**
 * Chooses how long a mount waits for the purge lock. A script starts it in the background, sleeps
 * and then uses the mount point: it would not expect a mount that appears much later.
 *
 * @param isAttended Whether somebody sees that it waits.
 * @returns Milliseconds; `undefined`: forever.
 */
export function defaultLockTimeoutMs(isAttended: boolean): number | undefined {
  return isAttended ? undefined : UNATTENDED_LOCK_TIMEOUT_MS;
}

// What serves a mount is loaded only where one is served: --help, --version, other commands and the
// process that waits for a mount in the background do without.
async function runMount(command: MountCommand, tool: string, write: Sink): Promise<ExitCode> {
  const front = Front.find();
  if (front !== null) return await serveFor(front, { command, tool });
  const { basedir, background, log } = command;
  using reporter = new ProgressReporter({
    tool,
    write,
    display: stderrDisplay(),
    // mount(8) says nothing of a success.
    quiet: background && isMountHelper(Deno.args),
  });
  const terminal = new TerminalAudience(reporter, { basedir, isForeground: !background });
  if (!background) {
    const { serveMount } = await import("./mount_run.ts");
    return await serveMount(mountOptions(command, Deno.stderr.isTerminal()), terminal);
  }
  if (log === undefined && !hasSystemLog()) reporter.message(NO_LOG);
  const { args } = Deno;
  const asked = args.includes("--background") ? args : ["--background", ...args];
  const { mountInBackground } = await import("./mount_background.ts");
  return await mountInBackground(asked, terminal);
}

const NO_LOG = "No system log (/dev/log): warnings will be lost; to keep them, use --log FILE";

/** Serves a mount that another process has asked for. */
async function serveFor(
  front: Front,
  { command, tool }: { command: MountCommand; tool: string },
): Promise<ExitCode> {
  nameProcess(tool);
  try {
    const free = { ...command, ...absolutePaths(command) };
    // The working directory of whoever started this may be on a file system that is to be
    // unmounted some day.
    changeDirectory("/");
    const audience = command.background
      ? new DaemonAudience(front, { basedir: free.basedir, log: chooseLog(tool, free.log) })
      : new FrontAudience(front);
    const { serveMount } = await import("./mount_run.ts");
    return await serveMount(mountOptions(free, front.isAttended), audience);
  } catch (error) {
    front.tellFailure(error);
    return exitCodeFor(error);
  } finally {
    await front.settle();
  }
}

function absolutePaths({ basedir, mountpoint, spill, log }: MountCommand) {
  return {
    basedir: absolutePath(basedir),
    mountpoint: absolutePath(mountpoint),
    spill: spill && absolutePath(spill),
    log: log && absolutePath(log),
  };
}

function chooseLog(tool: string, path: string | undefined): Log {
  return path === undefined ? systemLog(tool) : openLogFile(tool, path);
}

/** What a mount needs, with the defaults that depend on the machine and the user. */
function mountOptions(
  command: MountCommand,
  isAttended: boolean,
): Omit<MountOptions, "signal" | "onEvent"> {
  raiseDescriptorLimit();
  const { threads, cacheBytes, lockTimeoutMs } = command;
  return {
    ...command,
    mountOptions: command.mountOptions.filter((option) =>
      !isForFstab(option) && !OWN_OPTIONS.some((own) => isGivenBy(option, own))
    ),
    threads: threads ?? defaultThreads(),
    cacheBytes: cacheBytes ?? defaultCacheBytes(freeMemoryBytes()),
    lockTimeoutMs: lockTimeoutMs ?? defaultLockTimeoutMs(isAttended),
  };
}
