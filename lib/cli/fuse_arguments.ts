/**
 * What the arguments of `backy-fuse` mean: command line in, checked command out.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { quote } from "../wording.ts";
import { readArguments } from "./argument_syntax.ts";
import { FUSE_OPTIONS } from "./option_table.ts";
import { MIB, parseCacheMib, parseLockTimeout, parseText, parseThreads } from "./option_values.ts";

/** A mount as the command line asks for it. */
export interface MountCommand {
  readonly kind: "mount";
  readonly basedir: string;
  readonly mountpoint: string;
  /** Options for mount(8) and FUSE, such as "allow_root". */
  readonly mountOptions: readonly string[];
  /**
   * Size of each of the two caches in bytes; `undefined` where it is left to `defaultCacheBytes`.
   */
  readonly cacheBytes: number | undefined;
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
  let basedir: string | undefined;
  let mountOptions: string[] | undefined;
  let cacheMib: number | undefined;
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
        cacheMib = parseCacheMib(argument.value);
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

  // The order of mount(8) and sshfs: what, then where.
  const mountpoint = positionals.pop();
  const [dir, surplus] = positionals;
  if (mountpoint === undefined) {
    throw new UsageError("Cannot mount: the argument MOUNTPOINT is missing (see --help)");
  }
  if (dir !== undefined && basedir !== undefined) {
    throw new UsageError(
      `Cannot use argument ${quote(dir)}: --basedir names the backup directory (see --help)`,
    );
  }
  if (surplus !== undefined) {
    throw new UsageError(
      `Cannot use argument ${quote(mountpoint)}: only DIR and MOUNTPOINT are expected (see --help)`,
    );
  }
  if (mountpoint === "") throw new UsageError("Cannot mount: the argument MOUNTPOINT is empty");
  if (dir === "") throw new UsageError("Cannot mount: the argument DIR is empty");
  return {
    kind: "mount",
    basedir: basedir ?? dir ?? ".",
    mountpoint,
    mountOptions: mountOptions ?? ["allow_root"],
    cacheBytes: cacheMib === undefined ? undefined : cacheMib * MIB,
    threads,
    spill,
    verify,
    lockTimeoutMs,
  };
}
