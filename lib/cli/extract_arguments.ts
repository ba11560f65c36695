/**
 * What the arguments of `backy-extract` mean: command line in, checked command out.
 *
 * A first argument "list" or "check" chooses a command of its own. Which options go together is
 * `option_conflicts.ts`'s matter.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { quote } from "../wording.ts";
import { readArguments } from "./argument_syntax.ts";
import { parseByteRange, parsePartitionNumber, parsePercent, parseRate } from "./byte_values.ts";
import type { CheckCommand, ExtractCommand, RestoreCommand } from "./extract_commands.ts";
import { requireNoConflict } from "./option_conflicts.ts";
import {
  CHECK_OPTIONS,
  CHECK_TOOL,
  EXTRACT_OPTIONS,
  EXTRACT_TOOL,
  LIST_OPTIONS,
  LIST_TOOL,
  type ToolSpec,
} from "./option_table.ts";
import {
  badValue,
  parseChoice,
  parseLockTimeout,
  parseText,
  parseThreads,
} from "./option_values.ts";

/**
 * Reads the command line of `backy-extract`.
 *
 * As in GNU tools, arguments count in their order: the first `--help` or `--version` wins over all
 * that follows, a mistake before it wins over it, and of an option given twice the last holds, but
 * for those that may be repeated. What does not go together, and a missing or surplus argument, is
 * noticed at the end only.
 *
 * @param args The command line without the program's name.
 * @throws {UsageError} with a one-line message, for whatever is wrong.
 */
export function parseExtractArguments(args: readonly string[]): ExtractCommand {
  switch (args[0]) {
    case "list":
      return parseList(args.slice(1));
    case "check":
      return parseCheck(args.slice(1));
    default:
      return parseRestore(args);
  }
}

function parseRestore(args: readonly string[]): ExtractCommand {
  const positionals: string[] = [];
  const also: string[] = [];
  const command: Partial<Writable<RestoreCommand>> = {};
  for (const argument of readArguments(args, EXTRACT_OPTIONS)) {
    if (argument.kind === "positional") {
      positionals.push(argument.value);
      continue;
    }
    const { name, value } = argument;
    switch (name) {
      case "help":
        return { kind: "help", tool: EXTRACT_TOOL };
      case "version":
        return { kind: "version" };
      case "revision":
        command.spec = parseText(name, value);
        break;
      case "threads":
        command.threads = parseThreads(value);
        break;
      case "sparse":
        command.sparse = parseChoice(name, value, ["auto", "never", "always"]);
        break;
      case "update":
        command.update = true;
        break;
      case "base":
        command.base = parseText(name, value);
        break;
      case "verify-target":
        command.verifyTarget = true;
        break;
      case "range":
        command.range = parseByteRange(value);
        break;
      case "partition":
        command.partition = parsePartitionNumber(value);
        break;
      case "sector-size":
        command.sectorBytes = parseChoice(name, value, ["512", "4096"]) === "512" ? 512 : 4096;
        break;
      case "format":
        command.format = parseChoice(name, value, ["raw", "rbd-diff"]);
        break;
      case "on-error":
        command.onError = parseChoice(name, value, ["abort", "zero"]);
        break;
      case "also":
        also.push(parseText(name, value));
        break;
      case "report":
        command.reportFile = parseText(name, value);
        if (value === "-") throw badValue(name, value, "no file, which a report needs");
        break;
      case "no-verify":
        command.verify = false;
        break;
      case "no-sync":
        command.sync = false;
        break;
      case "lock-timeout":
        command.lockTimeoutMs = parseLockTimeout(value);
        break;
      case "bwlimit":
        command.readBytesPerSecond = parseRate(value);
        break;
      case "force":
        command.force = true;
        break;
      case "dry-run":
        command.dryRun = true;
        break;
      case "quiet":
        command.quiet = true;
        break;
      case "json":
        command.json = true;
        break;
      default:
        name satisfies never;
    }
  }
  const [revision, output = "-"] = requirePositionals("restore", positionals, EXTRACT_TOOL);
  if ((revision === "list" || revision === "check") && !args.includes("--")) {
    throw new UsageError(
      `Cannot restore revision ${quote(revision)}: the command ${revision} must be the first ` +
        `argument; a revision of that name is "./${revision}"`,
    );
  }
  const whole: RestoreCommand = {
    kind: "restore",
    sectorBytes: undefined,
    spec: undefined,
    threads: undefined,
    base: undefined,
    range: undefined,
    partition: undefined,
    reportFile: undefined,
    lockTimeoutMs: undefined,
    readBytesPerSecond: undefined,
    sparse: "auto",
    format: "raw",
    onError: "abort",
    update: false,
    verifyTarget: false,
    force: false,
    dryRun: false,
    quiet: false,
    json: false,
    verify: true,
    sync: true,
    ...command,
    revision: revision!,
    output,
    also,
  };
  requireNoConflict(whole);
  return whole;
}

function parseList(args: readonly string[]): ExtractCommand {
  const positionals: string[] = [];
  let json = false;
  for (const argument of readArguments(args, LIST_OPTIONS)) {
    if (argument.kind === "positional") {
      positionals.push(argument.value);
      continue;
    }
    switch (argument.name) {
      case "help":
        return { kind: "help", tool: LIST_TOOL };
      case "version":
        return { kind: "version" };
      case "json":
        json = true;
        break;
      default:
        argument.name satisfies never;
    }
  }
  const [dir, spec] = requirePositionals("list", positionals, LIST_TOOL);
  return { kind: "list", dir: dir!, spec, json };
}

function parseCheck(args: readonly string[]): ExtractCommand {
  const positionals: string[] = [];
  const command: Partial<Writable<CheckCommand>> = {};
  for (const argument of readArguments(args, CHECK_OPTIONS)) {
    if (argument.kind === "positional") {
      positionals.push(argument.value);
      continue;
    }
    const { name, value } = argument;
    switch (name) {
      case "help":
        return { kind: "help", tool: CHECK_TOOL };
      case "version":
        return { kind: "version" };
      case "revision":
        command.spec = parseText(name, value);
        break;
      case "sample":
        command.share = parsePercent(value) / 100;
        break;
      case "threads":
        command.threads = parseThreads(value);
        break;
      case "lock-timeout":
        command.lockTimeoutMs = parseLockTimeout(value);
        break;
      case "bwlimit":
        command.readBytesPerSecond = parseRate(value);
        break;
      case "quiet":
        command.quiet = true;
        break;
      case "json":
        command.json = true;
        break;
      default:
        name satisfies never;
    }
  }
  return {
    kind: "check",
    spec: undefined,
    threads: undefined,
    lockTimeoutMs: undefined,
    readBytesPerSecond: undefined,
    share: 1,
    quiet: false,
    json: false,
    ...command,
    revisions: requirePositionals("check", positionals, CHECK_TOOL),
  };
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/**
 * Requires as many arguments as the table says, none of them empty: an unset variable must not
 * become a directory.
 */
function requirePositionals(action: string, given: readonly string[], tool: ToolSpec): string[] {
  const specs = tool.arguments;
  const missing = specs.find(({ isOptional }, index) => !isOptional && given[index] === undefined);
  if (missing) {
    throw new UsageError(`Cannot ${action}: the argument ${missing.name} is missing (see --help)`);
  }
  const surplus = given[specs.length];
  if (surplus !== undefined && !specs.at(-1)?.isRepeated) {
    const names = specs.map(({ name }) => name).join(" and ");
    throw new UsageError(
      `Cannot use argument ${quote(surplus)}: only ${names} are expected (see --help)`,
    );
  }
  const empty = given.indexOf("");
  if (empty >= 0) {
    const { name } = specs[Math.min(empty, specs.length - 1)]!;
    throw new UsageError(`Cannot ${action}: the argument ${name} is empty`);
  }
  return [...given];
}
