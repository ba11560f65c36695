/**
 * The command lines of the tools as data, from which arguments are read and help is rendered.
 *
 * Manual pages and completions are tested against these tables, so an option is added here first and
 * given its meaning in `extract_arguments.ts` or `fuse_arguments.ts`.
 *
 * @module
 */

/** One option of a tool. */
export interface OptionSpec {
  /** Name without the leading dashes. */
  readonly long: string;
  /** One ASCII letter, for options that have a short form. */
  readonly short?: string;
  /** Placeholder of the value, in capitals; absent for a flag. */
  readonly value?: string;
  /** The only values there are (compared in lower case), for options that choose from a list. */
  readonly choices?: readonly string[];
  /** What the option does: a phrase without capital or period. */
  readonly help: string;
  /** What holds when the option is absent, for options that take a value. */
  readonly default?: string;
}

/** One positional argument of a tool. */
export interface ArgumentSpec {
  readonly name: string;
  readonly isOptional: boolean;
  readonly help: string;
}

/** All that `--help` says about a tool, but for the exit codes, which the tools share. */
export interface ToolSpec {
  /** The command's name. */
  readonly name: string;
  /** One sentence on what the tool is for. */
  readonly summary: string;
  readonly arguments: readonly ArgumentSpec[];
  readonly options: readonly OptionSpec[];
}

/**
 * Number of decoding workers that may be asked for. The runtime holds some 7 descriptors for each, and aborts the process
 * where it gets none: 128 stay below the usual limit of 1024.
 */
export const THREADS_RANGE = { min: 1, max: 128 } as const;

const THREADS_OPTION = {
  long: "threads",
  short: "t",
  value: "N",
  help: `decoding workers, ${THREADS_RANGE.min} to ${THREADS_RANGE.max}`,
  default: "one a CPU, but 2 to 24",
} as const satisfies OptionSpec;

const NO_VERIFY_OPTION = {
  long: "no-verify",
  help: "do not check chunk content against its id",
} as const satisfies OptionSpec;

const LOCK_TIMEOUT_OPTION = {
  long: "lock-timeout",
  value: "SECONDS",
  help: "give up on the purge lock after this time, which may have a fraction; 0 fails at once",
  default: "wait",
} as const satisfies OptionSpec;

const HELP_OPTIONS = [
  { long: "help", short: "h", help: "show this help and exit" },
  { long: "version", short: "V", help: "show the version and exit" },
] as const satisfies readonly OptionSpec[];

/** The options of `backy-extract`, in the order in which help shows them. */
export const EXTRACT_OPTIONS = [
  THREADS_OPTION,
  {
    long: "sparse",
    short: "s",
    value: "WHEN",
    choices: ["auto", "never", "always"],
    help: "how zeros reach the target: auto (holes in files, zero runs of devices deallocated or " +
      "zeroed), never (every byte written or allocated), always (skipped: the target is trusted " +
      "to hold zeros there)",
    default: "auto",
  },
  { long: "quiet", short: "q", help: "no progress, only warnings and errors" },
  NO_VERIFY_OPTION,
  { long: "no-sync", help: "do not flush the target to disk at the end" },
  LOCK_TIMEOUT_OPTION,
  { long: "force", short: "f", help: "write to a target that is in use" },
  ...HELP_OPTIONS,
] as const satisfies readonly OptionSpec[];

/** The command line of `backy-extract`. */
export const EXTRACT_TOOL: ToolSpec = {
  name: "backy-extract",
  summary: "Restores a revision of a backy backup to a file, a device or standard output.",
  arguments: [
    {
      name: "REVISION",
      isOptional: false,
      help: "a revision map, such as /srv/backy/vm/Nym6uacWoXGb8VnbksM3yH or /srv/backy/vm/last",
    },
    {
      name: "OUTPUT",
      isOptional: true,
      help: 'file or device to write; "-" or absent: standard output',
    },
  ],
  options: EXTRACT_OPTIONS,
};

/** Size of each cache of `backy-fuse` in MiB: at least a few chunks, at most what a typing error would not be. */
export const CACHE_MIB_RANGE = { min: 16, max: 1_048_576, default: 1024 } as const;

/** The options of `backy-fuse`, in the order in which help shows them. */
export const FUSE_OPTIONS = [
  { long: "basedir", short: "d", value: "DIR", help: "backup directory", default: "." },
  {
    long: "mountopts",
    short: "o",
    value: "OPTS",
    help: 'mount options, separated by commas; may be given several times; "" for none',
    default: "allow_root",
  },
  {
    long: "cache",
    short: "c",
    value: "MIB",
    help: "size of the read cache, and of the cache of changed chunks, in MiB, at least " +
      `${CACHE_MIB_RANGE.min}`,
    default: String(CACHE_MIB_RANGE.default),
  },
  THREADS_OPTION,
  {
    long: "spill",
    value: "DIR",
    help: "where changed chunks go when their cache is full",
    default: "the backup directory",
  },
  NO_VERIFY_OPTION,
  LOCK_TIMEOUT_OPTION,
  ...HELP_OPTIONS,
] as const satisfies readonly OptionSpec[];

/** The command line of `backy-fuse`. */
export const FUSE_TOOL: ToolSpec = {
  name: "backy-fuse",
  summary: "Mounts all revisions of a backy backup as image files. Changes to them are kept " +
    "apart from the backup and are gone when it is unmounted.",
  arguments: [
    { name: "MOUNTPOINT", isOptional: false, help: "an empty directory to mount at" },
  ],
  options: FUSE_OPTIONS,
};
