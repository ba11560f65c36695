/**
 * Runs `backy-extract` as users do, and judges what came of it.
 *
 * @module
 */

import { assert, assertEquals } from "../assert.ts";
import { defaultDirect } from "../support/machine.ts";
import {
  assertNoInternals,
  EXTRACT,
  messagesOf as messagesOfTool,
  type Outcome,
  RunningTool,
  type RunOptions,
} from "../support/tool.ts";

/** Runs the tool to its end. */
export async function extract(
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  await using tool = startExtract(args, options);
  return await tool.outcome();
}

/** Starts the tool. Disposing what is returned ends the process if it still runs. */
export function startExtract(args: readonly string[], options: RunOptions = {}): RunningTool {
  return new RunningTool([...EXTRACT, ...withDirect(args)], options);
}

/** Adds `--direct` to the arguments of a restore, if `tests/filesystems.sh` wants that. */
function withDirect(args: readonly string[]): readonly string[] {
  const mode = defaultDirect();
  const isRestore = !["list", "check"].includes(args[0] ?? "list") &&
    !args.some((argument) => argument.startsWith("--direct"));
  return isRestore && mode !== undefined ? [`--direct=${mode}`, ...args] : args;
}

/**
 * Runs the tool on a terminal of its own; what it writes to the terminal is the outcome's `stdout`.
 */
export async function extractOnTerminal(
  args: readonly string[],
  options: Omit<RunOptions, "shell"> & {
    readonly columns?: number;
    /** Shell words after the tool's, such as `>/dev/null`. */
    readonly redirection?: string;
    /** Shell command before it, in the process that becomes the tool. */
    readonly prelude?: string;
  } = {},
): Promise<Outcome & { readonly screen: string }> {
  const { columns = 80, redirection = "", prelude = ":", ...rest } = options;
  const words = [...EXTRACT, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  // With -e, script(1) exits with its command's status. Its terminal has no size before stty.
  const line = `stty cols ${columns} rows 24 && ${prelude} && exec ${words} ${redirection}`;
  await using tool = new RunningTool(["script", "-qefc", line, "/dev/null"], {
    ...rest,
    env: { SHELL: "/bin/bash", ...rest.env },
  });
  const outcome = await tool.outcome();
  return { ...outcome, screen: new TextDecoder().decode(outcome.stdout) };
}

/** What a failed run must be like. */
export interface ExpectedFailure {
  readonly code: number;
  /**
   * The lines on standard error that begin with the tool's name, without that; in order, all of
   * them.
   */
  readonly says: readonly (string | RegExp)[];
}

/**
 * Asserts that a run failed with the exit code and the messages that are expected, and shows no
 * internals.
 */
export function assertFailure(outcome: Outcome, expected: ExpectedFailure): void {
  const { stderr } = outcome;
  const lines = messagesOf(stderr);
  const isAsExpected = lines.length === expected.says.length &&
    expected.says.every((said, i) =>
      typeof said === "string" ? said === lines[i] : said.test(lines[i]!)
    );
  if (!isAsExpected) assertEquals<unknown>(lines, expected.says, stderr);
  assertEquals(outcome.signal, null, stderr);
  assertEquals(outcome.code, expected.code, stderr);
  assertNoInternals(stderr);
  assert(!stderr.includes("error:"), stderr);
}

/**
 * Asserts that a run was successful and said nothing but what belongs to a success, and the
 * expected warnings.
 */
export function assertSuccess(
  outcome: Outcome,
  expected: { says?: readonly string[] } = {},
): void {
  assertEquals(outcome.code, 0, outcome.stderr);
  assertEquals<readonly string[]>(
    messagesOf(outcome.stderr),
    expected.says ?? [],
    outcome.stderr,
  );
  assertNoInternals(outcome.stderr);
  assert(!outcome.stderr.includes("error:"), outcome.stderr);
}

/** The lines that begin with the tool's name, without that: warnings and failures. */
export function messagesOf(stderr: string): string[] {
  return messagesOfTool(stderr, "backy-extract");
}

/** An object of a line of JSON. */
// deno-lint-ignore no-explicit-any
export type JsonLine = { readonly type: string } & Readonly<Record<string, any>>;

/**
 * Takes lines of JSON apart, and asserts that there is nothing else and nothing raw that a terminal
 * would act on.
 */
export function parseJsonLines(text: string | Uint8Array): JsonLine[] {
  const decoded = typeof text === "string" ? text : new TextDecoder().decode(text);
  const lines = decoded.split("\n");
  assertEquals(lines.pop(), "", "the last line has no end");
  return lines.map((line) => {
    assertPrintable(line);
    return JSON.parse(line);
  });
}

/** Asserts that a line has nothing that a terminal acts on. */
export function assertPrintable(line: string): void {
  assert(!/[\p{C}\p{Zl}\p{Zp}]/u.test(line), JSON.stringify(line));
}
