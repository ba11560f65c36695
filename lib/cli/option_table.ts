/**
 * The command lines of the tools as data, from which arguments are read and help is rendered.
 *
 * Manual pages and completions are tested against these tables, so an option is added here first and
 * given its meaning in `arguments.ts`.
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

/** Number of decoding workers that may be asked for; 28 MiB each, so more is a typing error. */
export const THREADS_RANGE = { min: 1, max: 256 } as const;

/** The options of `backy-extract`, in the order in which help shows them. */
export const EXTRACT_OPTIONS = [
  {
    long: "threads",
    short: "t",
    value: "N",
    help: `decoding workers, ${THREADS_RANGE.min} to ${THREADS_RANGE.max}`,
    default: "one a CPU, but 2 to 24",
  },
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
  { long: "no-verify", help: "do not check chunk content against its id" },
  { long: "no-sync", help: "do not flush the target to disk at the end" },
  {
    long: "lock-timeout",
    value: "SECONDS",
    help: "give up on the purge lock after this time, which may have a fraction; 0 fails at once",
    default: "wait",
  },
  { long: "force", short: "f", help: "write to a target that is in use" },
  { long: "help", short: "h", help: "show this help and exit" },
  { long: "version", short: "V", help: "show the version and exit" },
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
