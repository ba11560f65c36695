/**
 * Fuzzes the command lines of both tools: arguments are refused in one line, or mean a command
 * that, written out again with each value in the plainest form, means the same.
 *
 * Input: the tool, "extract" or "fuse", and its arguments, separated by NUL.
 *
 * @module
 */

import type { CheckCommand } from "../../lib/cli/check_command.ts";
import { optionsOf, parseCommand } from "../../lib/cli/command.ts";
import { EXTRACT, type ExtractCommand, parseExtractArguments } from "../../lib/cli/extract.ts";
import { MOUNT } from "../../lib/cli/mount_command.ts";
import type { RestoreCommand } from "../../lib/cli/restore_command.ts";
import { UsageError } from "../../lib/errors.ts";
import { assert, assertEquals } from "../assert.ts";
import type { Random } from "../support/random.ts";
import { type FuzzTarget, inputOf, pick, requirePrintable, textOf } from "./fuzz_target.ts";

const VALUES = [
  ...["0", "1", "2", "24", "255", "256", "007", "1.5", ".5", "5.", "1e3", "-1", "+1", "0x10", ""],
  ...["1K", "1KiB", "1kib", "2MiB/s", "1GB", "8t", "99999999999999999999", "1T:1G", "4096:", ":1"],
  ...["0:0", "1:2:3", ":", "50%", "100", "100.0%", "101", "0%", "auto", "ALWAYS", "zero", "raw"],
  ...["rbd-diff", "abort", "never", "x", "-", "--", "-x", "/srv/backy/vm0/last", "a,b,,c", "\n"],
  ...["\x1b[31m", "é", "😀", "9".repeat(500), "2147483", "2147484", "0.0001", "NaN", "Infinity"],
];
const FLAGS = [...optionsOf(EXTRACT), ...optionsOf(MOUNT)].flatMap(({ long, short }) => [
  `--${long}`,
  ...(short === undefined ? [] : [`-${short}`]),
]);

function makeArgument(random: Random): string[] {
  switch (random(8)) {
    case 0:
    case 1:
      return [pick(random, FLAGS)];
    case 2:
      return [pick(random, FLAGS), pick(random, VALUES)];
    case 3:
    case 4:
      return [`${pick(random, FLAGS)}=${pick(random, VALUES)}`];
    case 5:
      return [pick(random, FLAGS) + pick(random, VALUES)];
    case 6:
      return [
        `-${pick(random, ["q", "h", "t", "r", "V", "f", "d", "o", "c"])}${pick(random, VALUES)}`,
      ];
    default:
      return [pick(random, VALUES)];
  }
}

/** Writes a command out: each option once, long and with its value attached. */
function argumentsOf(command: ExtractCommand): string[] {
  const args: string[] = [];
  const option = (name: string, value: unknown, isGiven = value !== undefined) => {
    if (isGiven) args.push(`--${name}=${value}`);
  };
  const flag = (name: string, isGiven: boolean) => {
    if (isGiven) args.push(`--${name}`);
  };
  const common = (command: RestoreCommand | CheckCommand) => {
    option("revision", command.spec);
    option("threads", command.threads);
    option(
      "lock-timeout",
      (command.lockTimeoutMs ?? 0) / 1000,
      command.lockTimeoutMs !== undefined,
    );
    option("bwlimit", command.readBytesPerSecond);
    flag("quiet", command.quiet);
    flag("json", command.json);
  };
  switch (command.kind) {
    case "help":
      return ["--help"];
    case "version":
      return ["--version"];
    case "list":
      flag("json", command.json);
      return [
        "list",
        ...args,
        "--",
        command.dir,
        ...command.spec === undefined ? [] : [command.spec],
      ];
    case "check":
      common(command);
      option("sample", command.share * 100);
      return ["check", ...args, "--", ...command.revisions];
    case "restore": {
      common(command);
      const { range } = command;
      option("range", `${range?.offset}:${range?.length ?? ""}`, range !== undefined);
      option("sparse", command.sparse);
      option("format", command.format);
      option("on-error", command.onError);
      option("base", command.base);
      option("partition", command.partition);
      option("sector-size", command.sectorBytes);
      option("report", command.reportFile);
      for (const dir of command.also) option("also", dir);
      flag("update", command.update);
      flag("verify-target", command.verifyTarget);
      flag("no-verify", !command.verify);
      flag("no-sync", !command.sync);
      flag("force", command.force);
      flag("dry-run", command.dryRun);
      return [...args, "--", command.revision, command.output];
    }
  }
}

/** Numbers of a command that the work goes by. */
function requireSaneNumbers(command: ExtractCommand): void {
  if (command.kind !== "restore" && command.kind !== "check") return;
  const { threads, lockTimeoutMs, readBytesPerSecond } = command;
  assert(threads === undefined || (Number.isInteger(threads) && threads >= 1 && threads <= 255));
  assert(lockTimeoutMs === undefined || (lockTimeoutMs >= 0 && lockTimeoutMs < 2 ** 31));
  assert(
    readBytesPerSecond === undefined ||
      (Number.isSafeInteger(readBytesPerSecond) && readBytesPerSecond > 0),
  );
  if (command.kind === "check") return assert(command.share > 0 && command.share <= 1);
  const { range } = command;
  if (!range) return;
  assert(Number.isSafeInteger(range.offset + (range.length ?? 0)) && range.offset >= 0);
  assert(range.length === null || range.length > 0);
}

/** The tables of options in a command for help are long, and the same object for each tool. */
function comparable(command: ExtractCommand): unknown {
  return command.kind === "help" ? "help" : command;
}

function checkExtract(args: readonly string[]): void {
  const command = parseExtractArguments(args);
  requireSaneNumbers(command);
  const again = parseExtractArguments(argumentsOf(command));
  if (command.kind === "check" && again.kind === "check") {
    // A share is a hundredth of what is typed, which may differ in the last bit.
    assert(Math.abs(command.share - again.share) < 1e-12);
    return assertEquals({ ...again, share: 0 }, { ...command, share: 0 });
  }
  assertEquals(comparable(again), comparable(command));
}

function checkFuse(args: readonly string[]): void {
  const command = parseCommand(MOUNT, args);
  if (command.kind !== "mount") return;
  const { basedir, mountOptions, cacheBytes, threads, spill, verify, lockTimeoutMs } = command;
  const isCache = Number.isSafeInteger(cacheBytes) && cacheBytes! >= 16 * 1_048_576;
  assert(cacheBytes === undefined || isCache, `${cacheBytes}`);
  const again = parseCommand(MOUNT, [
    `--basedir=${basedir}`,
    `--mountopts=${mountOptions.join(",")}`,
    ...(cacheBytes === undefined ? [] : [`--cache=${cacheBytes / 1_048_576}`]),
    ...(threads === undefined ? [] : [`--threads=${threads}`]),
    ...(spill === undefined ? [] : [`--spill=${spill}`]),
    ...(verify ? [] : ["--no-verify"]),
    ...(lockTimeoutMs === undefined ? [] : [`--lock-timeout=${lockTimeoutMs / 1000}`]),
    "--",
    command.mountpoint,
  ]);
  assertEquals(again, command);
}

/** The parsers of command lines. */
export const commandLine: FuzzTarget = {
  name: "arguments",
  promise: "refuses in one printable line, or means what it means when it is written out plainly",
  leastTaken: 0.02,

  generate(random) {
    const tool = pick(random, ["extract", "extract", "extract", "fuse"]);
    const command = tool === "extract" ? pick(random, [[], [], [], ["list"], ["check"]]) : [];
    const args = Array.from({ length: random(6) }, () => makeArgument(random)).flat();
    const names = Array.from({ length: random(3) }, () => pick(random, ["a", "b/c", "-", "é"]));
    return inputOf([tool, ...command, ...args, ...names].join("\0"));
  },

  check(input) {
    const [tool, ...args] = textOf(input).split("\0");
    try {
      if (tool === "fuse") checkFuse(args);
      else checkExtract(args);
      return true;
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      requirePrintable(error.message);
      return false;
    }
  },
};
