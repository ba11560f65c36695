/**
 * What the arguments of `backy-fuse` mean: command line in, checked command out.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { quote } from "../wording.ts";
import { readArguments } from "./argument_syntax.ts";
import { CACHE_MIB_RANGE, FUSE_OPTIONS } from "./option_table.ts";
import { parseLockTimeout, parseText, parseThreads, parseWhole } from "./option_values.ts";

/** A mount as the command line asks for it. */
export interface MountCommand {
  readonly kind: "mount";
  readonly basedir: string;
  readonly mountpoint: string;
  /** Options for mount(8) and FUSE, such as "allow_root". */
  readonly mountOptions: readonly string[];
  /** Size of each of the two caches in bytes. */
  readonly cacheBytes: number;
  /** Number of decoding workers; `undefined` where it is left to `defaultThreads`. */
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

/**
 * Reads the command line of `backy-fuse`, in the way of `parseExtractArguments`.
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
        basedir = parseText("basedir", argument.value);
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
        spill = parseText("spill", argument.value);
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
