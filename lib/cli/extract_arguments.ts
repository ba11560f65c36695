/**
 * What the arguments of `backy-extract` mean: command line in, checked command out.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import type { SparseMode } from "../target/target.ts";
import { readArguments } from "./argument_syntax.ts";
import { quote } from "../wording.ts";
import { EXTRACT_OPTIONS } from "./option_table.ts";
import { badValue, parseLockTimeout, parseThreads } from "./option_values.ts";

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

function parseSparse(text: string): SparseMode {
  const mode = text.toLowerCase();
  if (mode !== "auto" && mode !== "never" && mode !== "always") {
    throw badValue("sparse", text, "not one of auto, never, always");
  }
  return mode;
}
