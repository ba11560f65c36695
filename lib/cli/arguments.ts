/**
 * What the arguments of the tools mean: command line in, checked command out.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import type { SparseMode } from "../target/target.ts";
import { readArguments } from "./argument_syntax.ts";
import { quote } from "../wording.ts";
import { CACHE_MIB_RANGE, EXTRACT_OPTIONS, FUSE_OPTIONS, THREADS_RANGE } from "./option_table.ts";

/** A restore as the command line asks for it. */
export interface RestoreCommand {
  readonly kind: "restore";
  /** Path of the revision map; not empty. */
  readonly revision: string;
  /** Path of the target, or "-" for standard output; not empty. */
  readonly output: string;
  /** Number of decoding workers; `undefined` where it is left to {@linkcode defaultThreads}. */
  readonly threads: number | undefined;
  readonly sparse: SparseMode;
  readonly quiet: boolean;
  readonly verify: boolean;
  readonly sync: boolean;
  /** Milliseconds, 0 for not waiting at all, `undefined` for waiting without end. */
  readonly lockTimeoutMs: number | undefined;
  readonly force: boolean;
}

/** What a command line of `backy-extract` asks for. */
export type ExtractCommand =
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | RestoreCommand;

/** A mount as the command line asks for it. */
export interface MountCommand {
  readonly kind: "mount";
  readonly basedir: string;
  readonly mountpoint: string;
  /** Options for mount(8) and FUSE, such as "allow_root". */
  readonly mountOptions: readonly string[];
  /** Size of each of the two caches in bytes. */
  readonly cacheBytes: number;
  /** Number of decoding workers; `undefined` where it is left to {@linkcode defaultThreads}. */
  readonly threads: number | undefined;
  /** Where changed chunks go when their cache is full; `undefined`: the backup directory. */
  readonly spill: string | undefined;
  readonly verify: boolean;
  /** Milliseconds, 0 for not waiting at all, `undefined` for waiting without end. */
  readonly lockTimeoutMs: number | undefined;
}

/** What a command line of `backy-fuse` asks for. */
export type FuseCommand =
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | MountCommand;

/** Longest time in whole seconds that JavaScript's timers can wait (2^31 - 1 ms, 24 days). */
const LOCK_TIMEOUT_MAX_SECONDS = 2_147_483;

/**
 * Reads the command line of `backy-extract`.
 *
 * As in GNU tools, arguments count in their order: the first `--help` or `--version` wins over all that
 * follows, a mistake before it wins over it, and of an option given twice the last holds. A missing or
 * surplus argument is noticed at the end only.
 *
 * @param args The command line without the program's name.
 * @throws {UsageError} with a one-line message, for whatever is wrong.
 */
export function parseExtractArguments(args: readonly string[]): ExtractCommand {
  const positionals: string[] = [];
  let threads: number | undefined;
  let sparse: SparseMode = "auto";
  let quiet = false;
  let verify = true;
  let sync = true;
  let lockTimeoutMs: number | undefined;
  let force = false;

  for (const argument of readArguments(args, EXTRACT_OPTIONS)) {
    if (argument.kind === "positional") {
      positionals.push(argument.value);
      continue;
    }
    switch (argument.name) {
      case "help":
      case "version":
        return { kind: argument.name };
      case "threads":
        threads = parseThreads(argument.value);
        break;
      case "sparse":
        sparse = parseSparse(argument.value);
        break;
      case "quiet":
        quiet = true;
        break;
      case "no-verify":
        verify = false;
        break;
      case "no-sync":
        sync = false;
        break;
      case "lock-timeout":
        lockTimeoutMs = parseLockTimeout(argument.value);
        break;
      case "force":
        force = true;
        break;
      default:
        argument.name satisfies never;
    }
  }

  const [revision, output = "-", surplus] = positionals;
  if (revision === undefined) {
    throw new UsageError("Cannot restore: the argument REVISION is missing (see --help)");
  }
  if (surplus !== undefined) {
    throw new UsageError(
      `Cannot use argument ${quote(surplus)}: there are only REVISION and OUTPUT (see --help)`,
    );
  }
  // An unset shell variable must not turn into the current directory or into standard output.
  if (revision === "") throw new UsageError("Cannot restore: the argument REVISION is empty");
  if (output === "") throw new UsageError("Cannot restore: the argument OUTPUT is empty");
  return {
    kind: "restore",
    revision,
    output,
    threads,
    sparse,
    quiet,
    verify,
    sync,
    lockTimeoutMs,
    force,
  };
}

/**
 * Reads the command line of `backy-fuse`, in the way of {@linkcode parseExtractArguments}.
 *
 * @param args The command line without the program's name.
 * @throws {UsageError} with a one-line message, for whatever is wrong.
 */
export function parseFuseArguments(args: readonly string[]): FuseCommand {
  const positionals: string[] = [];
  let basedir = ".";
  let mountOptions: string[] | undefined;
  let cacheMib: number = CACHE_MIB_RANGE.default;
  let threads: number | undefined;
  let spill: string | undefined;
  let verify = true;
  let lockTimeoutMs: number | undefined;

  for (const argument of readArguments(args, FUSE_OPTIONS)) {
    if (argument.kind === "positional") {
      positionals.push(argument.value);
      continue;
    }
    switch (argument.name) {
      case "help":
      case "version":
        return { kind: argument.name };
      case "basedir":
        basedir = requireText("basedir", argument.value);
        break;
      case "mountopts":
        mountOptions ??= [];
        mountOptions.push(...argument.value.split(",").filter((option) => option !== ""));
        break;
      case "cache":
        cacheMib = parseWhole("cache", argument.value, CACHE_MIB_RANGE);
        break;
      case "threads":
        threads = parseThreads(argument.value);
        break;
      case "spill":
        spill = requireText("spill", argument.value);
        break;
      case "no-verify":
        verify = false;
        break;
      case "lock-timeout":
        lockTimeoutMs = parseLockTimeout(argument.value);
        break;
      default:
        argument.name satisfies never;
    }
  }

  const [mountpoint, surplus] = positionals;
  if (mountpoint === undefined) {
    throw new UsageError("Cannot mount: the argument MOUNTPOINT is missing (see --help)");
  }
  if (surplus !== undefined) {
    throw new UsageError(
      `Cannot use argument ${quote(surplus)}: there is only MOUNTPOINT (see --help)`,
    );
  }
  if (mountpoint === "") throw new UsageError("Cannot mount: the argument MOUNTPOINT is empty");
  return {
    kind: "mount",
    basedir,
    mountpoint,
    mountOptions: mountOptions ?? ["allow_root"],
    cacheBytes: cacheMib * 1_048_576,
    threads,
    spill,
    verify,
    lockTimeoutMs,
  };
}

/**
 * Chooses the number of decoding workers: one a CPU, but at least 2, so that reading and decoding
 * overlap, and at most 24, beyond which memory bandwidth and the target are the limit.
 *
 * @param cpuCount Number of CPUs, as far as known.
 */
export function defaultThreads(cpuCount: number): number {
  return Math.min(Math.max(Math.trunc(cpuCount) || 2, 2), 24);
}

/**
 * Reads the value of `--threads`.
 *
 * @throws {UsageError} unless it is a whole decimal number in {@linkcode THREADS_RANGE}.
 */
export function parseThreads(text: string): number {
  return parseWhole("threads", text, THREADS_RANGE);
}

function parseWhole(option: string, text: string, range: { min: number; max: number }): number {
  const value = /^[0-9]+$/.test(text) ? Number(text) : NaN;
  if (!(value >= range.min && value <= range.max)) {
    throw badValue(option, text, `not a whole number from ${range.min} to ${range.max}`);
  }
  return value;
}

/** An unset shell variable must not turn into the current directory. */
function requireText(option: string, text: string): string {
  if (text === "") throw badValue(option, text, "empty");
  return text;
}

/**
 * Reads the value of `--lock-timeout`.
 *
 * @returns Milliseconds; only zero becomes zero.
 * @throws {UsageError} unless it is a decimal number of seconds that a timer can wait.
 */
export function parseLockTimeout(text: string): number {
  const seconds = /^([0-9]+\.?[0-9]*|\.[0-9]+)$/.test(text) ? Number(text) : NaN;
  if (!(seconds <= LOCK_TIMEOUT_MAX_SECONDS)) {
    throw badValue(
      "lock-timeout",
      text,
      `not a number of seconds from 0 to ${LOCK_TIMEOUT_MAX_SECONDS}`,
    );
  }
  return seconds === 0 ? 0 : Math.max(1, Math.round(seconds * 1000));
}

function parseSparse(text: string): SparseMode {
  const mode = text.toLowerCase();
  if (mode !== "auto" && mode !== "never" && mode !== "always") {
    throw badValue("sparse", text, "not one of auto, never, always");
  }
  return mode;
}

function badValue(option: string, text: string, fault: string): UsageError {
  return new UsageError(`Cannot use option "--${option}": ${quote(text)} is ${fault}`);
}
