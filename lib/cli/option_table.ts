/**
 * The command lines of the tools as data, from which arguments are read and help is rendered.
 *
 * Manual pages and completions are tested against these tables, so an option is added here first
 * and given its meaning in `extract_arguments.ts` or `fuse_arguments.ts`.
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
  /** What kind of thing the value names, for completions. */
  readonly names?: "file" | "directory" | "revision";
  /** What the option does: a phrase without capital or period. */
  readonly help: string;
  /** What holds when the option is absent, for options that take a value. */
  readonly default?: string;
}

/** One positional argument of a tool. */
export interface ArgumentSpec {
  readonly name: string;
  readonly isOptional: boolean;
  /** Whether it may stand several times. */
  readonly isRepeated?: boolean;
  /** What kind of thing it names, for completions. */
  readonly names?: "file" | "directory" | "revision";
  readonly help: string;
}

/** A command of a tool that has several. */
export interface CommandSpec {
  /** How it is called: the command and its arguments. */
  readonly usage: string;
  readonly help: string;
}

/**
 * All that `--help` says about a tool or a command of it, but for the exit codes, which all share.
 */
export interface ToolSpec {
  /** The tool's name, with that of the command. */
  readonly name: string;
  /** What it is for. */
  readonly summary: string;
  readonly arguments: readonly ArgumentSpec[];
  readonly options: readonly OptionSpec[];
  /** What else the tool can do; each has a specification of its own. */
  readonly commands?: readonly CommandSpec[];
}

/**
 * Number of decoding workers that may be asked for, as with the reference tool; 0 stands for the
 * default.
 */
export const THREADS_RANGE = { min: 0, max: 255 } as const;

const THREADS_OPTION = {
  long: "threads",
  short: "t",
  value: "N",
  help: `decoding workers, up to ${THREADS_RANGE.max}; 0 for the default`,
  default: "one per CPU, but 2 to 24",
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

const QUIET_OPTION = {
  long: "quiet",
  short: "q",
  help: "no progress, only warnings and errors",
} as const satisfies OptionSpec;

const REVISION_SPEC_OPTION = {
  long: "revision",
  short: "r",
  value: "SPEC",
  names: "revision",
  help: "choose the revision of backup directory REVISION, such as last, 2, tag:daily, " +
    '2026-01-31, "last(trust:verified)"',
} as const satisfies OptionSpec;

const BWLIMIT_OPTION = {
  long: "bwlimit",
  value: "RATE",
  help: "limit reading from the backup to this many bytes a second, such as 200MiB",
} as const satisfies OptionSpec;

/** The options of `backy-extract` for a restore, in the order in which help shows them. */
export const EXTRACT_OPTIONS = [
  REVISION_SPEC_OPTION,
  THREADS_OPTION,
  {
    long: "sparse",
    short: "s",
    value: "WHEN",
    choices: ["auto", "never", "always"],
    help: "how zeros reach the target: auto (holes in files, zero runs of devices deallocated or " +
      "zeroed), never (every byte written or allocated), always (holes in files; skipped on " +
      "devices, which are trusted to hold zeros there)",
    default: "auto",
  },
  {
    long: "update",
    short: "u",
    help: "compare the target with the revision and write only what differs; also resumes a " +
      "restore that was interrupted or failed",
  },
  {
    long: "base",
    value: "REVISION",
    names: "revision",
    help: "trust the target to hold this revision and write only what differs from it",
  },
  {
    long: "verify-target",
    help: "read the target back at the end and compare; write what differs once more",
  },
  {
    long: "range",
    value: "OFFSET:LENGTH",
    help:
      "restore only this part, such as 1GiB:512MiB, to the same offset of a target that keeps " +
      "the rest; either number may be missing",
  },
  {
    long: "partition",
    value: "N",
    help: "restore only partition N of the image's MBR or GPT, to the start of the target",
  },
  {
    long: "sector-size",
    value: "BYTES",
    choices: ["512", "4096"],
    help: "sector size in which the partition table counts, 512 or 4096 (with --partition)",
    default: "what the image tells",
  },
  {
    long: "format",
    value: "FORMAT",
    choices: ["raw", "rbd-diff"],
    help: 'what standard output gets: raw (the image), rbd-diff (a stream for "rbd import-diff"; ' +
      "with --base only the difference)",
    default: "raw",
  },
  {
    long: "on-error",
    value: "WHAT",
    choices: ["abort", "zero"],
    help: "what to do about a chunk that is missing or corrupt: abort (end the " +
      "restore), zero (leave zeros, go on and report the bad ranges at the end)",
    default: "abort",
  },
  {
    long: "also",
    value: "DIR",
    names: "directory",
    help: "another backup directory that may have a good copy of such a chunk; may be given " +
      "several times",
  },
  {
    long: "report",
    value: "FILE",
    names: "file",
    help: "write the bad ranges to this file, as JSON (with --on-error=zero)",
  },
  NO_VERIFY_OPTION,
  { long: "no-sync", help: "do not flush the target to disk at the end" },
  LOCK_TIMEOUT_OPTION,
  BWLIMIT_OPTION,
  {
    long: "force",
    short: "f",
    help:
      "write to a target that is in use, to another backup's file, or to a file with hard links",
  },
  {
    long: "dry-run",
    short: "n",
    help: "check everything up to the first write, and whether all chunks are there",
  },
  QUIET_OPTION,
  { long: "json", help: "report to standard error in JSON, one object per line" },
  ...HELP_OPTIONS,
] as const satisfies readonly OptionSpec[];

const LIST_USAGE = "list [OPTIONS] DIR [SPEC]";
const CHECK_USAGE = "check [OPTIONS] REVISION...";

/** The command line of `backy-extract`. */
export const EXTRACT_TOOL: ToolSpec = {
  name: "backy-extract",
  summary: "Restores a revision of a backy backup to a file, a device or standard output.",
  arguments: [
    {
      name: "REVISION",
      isOptional: false,
      names: "revision",
      help: "a revision of a backup directory, by name or by specification, such as " +
        "/srv/backy/vm/Nym6uacWoXGb8VnbksM3yH or /srv/backy/vm/last; or a backup directory, with -r",
    },
    {
      name: "OUTPUT",
      isOptional: true,
      names: "file",
      help: 'file or device to write; "-" or absent: standard output',
    },
  ],
  options: EXTRACT_OPTIONS,
  commands: [
    { usage: LIST_USAGE, help: "list the revisions of a backup directory" },
    { usage: CHECK_USAGE, help: "read and verify all chunks of revisions, without restoring" },
  ],
};

/** The options of `backy-extract list`. */
export const LIST_OPTIONS = [
  { long: "json", help: "print JSON, one object per line" },
  ...HELP_OPTIONS,
] as const satisfies readonly OptionSpec[];

/** The command line of `backy-extract list`. */
export const LIST_TOOL: ToolSpec = {
  name: "backy-extract list",
  summary: "Lists the revisions of a backup directory, the newest last.",
  arguments: [
    { name: "DIR", isOptional: false, names: "directory", help: "a backup directory" },
    {
      name: "SPEC",
      isOptional: true,
      names: "revision",
      help: 'which revisions, such as clean, tag:daily, "trust:verified & not(tag:daily)" or ' +
        "2026-01-01..2026-02-01",
    },
  ],
  options: LIST_OPTIONS,
};

/** The options of `backy-extract check`. */
export const CHECK_OPTIONS = [
  REVISION_SPEC_OPTION,
  {
    long: "sample",
    value: "PERCENT",
    help: "check only this share of the chunks, chosen at random",
    default: "100",
  },
  THREADS_OPTION,
  LOCK_TIMEOUT_OPTION,
  BWLIMIT_OPTION,
  QUIET_OPTION,
  {
    long: "json",
    help: "print what is damaged in JSON, one object per line, and report to standard error " +
      "likewise",
  },
  ...HELP_OPTIONS,
] as const satisfies readonly OptionSpec[];

/** The command line of `backy-extract check`. */
export const CHECK_TOOL: ToolSpec = {
  name: "backy-extract check",
  summary:
    "Reads, decodes and verifies each distinct chunk of the revisions once, and prints what " +
    "is damaged and which revisions and byte ranges that touches. Changes nothing.",
  arguments: [
    {
      name: "REVISION",
      isOptional: false,
      isRepeated: true,
      names: "revision",
      help: "a revision, or several by a specification, such as /srv/backy/vm/last or " +
        "/srv/backy/vm/all; or a backup directory, with -r",
    },
  ],
  options: CHECK_OPTIONS,
};

/**
 * Size of each cache of `backy-fuse` in MiB: at least a few chunks, at most what a typing error
 * would not be.
 */
export const CACHE_MIB_RANGE = { min: 16, max: 1_048_576, default: 1024 } as const;

/** The options of `backy-fuse`, in the order in which help shows them. */
export const FUSE_OPTIONS = [
  {
    long: "basedir",
    short: "d",
    value: "DIR",
    names: "directory",
    help: "backup directory",
    default: ".",
  },
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
    default: `${CACHE_MIB_RANGE.default}, both together at most half of the memory that is left`,
  },
  THREADS_OPTION,
  {
    long: "spill",
    value: "DIR",
    names: "directory",
    help: "where changed chunks go when their cache is full",
    default: "the backup directory",
  },
  NO_VERIFY_OPTION,
  { ...LOCK_TIMEOUT_OPTION, default: "wait; 10 if standard error is not a terminal" },
  ...HELP_OPTIONS,
] as const satisfies readonly OptionSpec[];

/** The command line of `backy-fuse`. */
export const FUSE_TOOL: ToolSpec = {
  name: "backy-fuse",
  summary: "Mounts all revisions of a backy backup as image files. Changes to them are kept " +
    "apart from the backup and are gone when it is unmounted.",
  arguments: [
    {
      name: "DIR",
      isOptional: true,
      names: "directory",
      help: "backup directory, as for --basedir",
    },
    {
      name: "MOUNTPOINT",
      isOptional: false,
      names: "directory",
      help: "an empty directory to mount at",
    },
  ],
  options: FUSE_OPTIONS,
};
