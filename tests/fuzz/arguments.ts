/**
 * Fuzzes the command lines of both tools: arguments are refused in one line, or mean a command
 * that, written out again with each value in the plainest form, means the same.
 *
 * Input: the tool, "extract" or "fuse", and its arguments, separated by NUL.
 *
 * @module
 */

import { type AnyCommand, type CommandSpec, optionsOf } from "../../lib/cli/command.ts";
import { EXTRACT, type ExtractCommand, parseExtractArguments } from "../../lib/cli/extract.ts";
import { FUSE, parseFuseArguments } from "../../lib/cli/fuse.ts";
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
const FLAGS = [...optionsOf(EXTRACT), ...optionsOf(FUSE)].flatMap(({ long, short }) => [
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

/** How fields are written as values of their options, where `String` is not enough. */
const WRITTEN: Readonly<Record<string, (value: never) => readonly unknown[]>> = {
  also: (dirs: readonly string[]) => dirs,
  cacheBytes: (bytes: number) => [bytes / 1_048_576],
  lockTimeoutMs: (ms: number) => [ms / 1000],
  mountOptions: (options: readonly string[]) => [options.join(",")],
  range: ({ offset, length }: { offset: number; length: number | null }) => [
    `${offset}:${length ?? ""}`,
  ],
  share: (share: number) => [share * 100],
};

/** Writes a command out: each option once, long and with its value attached. */
function argumentsOf(spec: CommandSpec, command: AnyCommand): string[] {
  const fields: Readonly<Record<string, unknown>> = { ...command };
  const options = Object.entries(spec.options).flatMap(([field, { long, value, read }]) => {
    const content = fields[field];
    if (value === undefined) return content === read([]) ? [] : [`--${long}`];
    if (content === undefined) return [];
    const texts = WRITTEN[field]?.(content as never) ?? [content];
    return texts.map((text) => `--${long}=${text}`);
  });
  const names = Object.keys(spec.arguments).filter((field) => !(field in spec.options));
  const texts = names.flatMap((field) => fields[field] ?? []).map(String);
  return [...options, "--", ...texts];
}

/** The numbers of a command. */
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

function checkExtract(args: readonly string[]): void {
  const command = parseExtractArguments(args);
  if (command.kind === "help" || command.kind === "version") return;
  requireSaneNumbers(command);
  const other = EXTRACT.commands!.find(({ kind }) => kind === command.kind);
  const written = argumentsOf(other ?? EXTRACT, command);
  const again = parseExtractArguments(other ? [other.kind, ...written] : written);
  if (command.kind === "check" && again.kind === "check") {
    // A share is a hundredth of the typed number, so its last bit may differ.
    assert(Math.abs(command.share - again.share) < 1e-12);
    return assertEquals({ ...again, share: 0 }, { ...command, share: 0 });
  }
  assertEquals(again, command);
}

function checkFuse(args: readonly string[]): void {
  const command = parseFuseArguments(args);
  if (command.kind !== "mount") return;
  const { cacheBytes } = command;
  const isCache = Number.isSafeInteger(cacheBytes) && cacheBytes! >= 16 * 1_048_576;
  assert(cacheBytes === undefined || isCache, `${cacheBytes}`);
  assertEquals(parseFuseArguments(argumentsOf(FUSE, command)), command);
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
