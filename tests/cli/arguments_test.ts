import { assert, assertEquals, assertMatch, assertThrows } from "../assert.ts";
import { parseExtractArguments } from "../../lib/cli/extract_arguments.ts";
import type { ExtractCommand, RestoreCommand } from "../../lib/cli/extract_commands.ts";
import { parseFuseArguments } from "../../lib/cli/fuse_arguments.ts";
import { defaultThreads } from "../../lib/cli/option_values.ts";
import { readArguments } from "../../lib/cli/argument_syntax.ts";
import { EXIT_CODE_TABLE } from "../../lib/cli/exit_code.ts";
import { renderHelp } from "../../lib/cli/help.ts";
import { EXTRACT_OPTIONS, EXTRACT_TOOL, type OptionSpec } from "../../lib/cli/option_table.ts";
import { UsageError } from "../../lib/errors.ts";

const DEFAULTS: RestoreCommand = {
  kind: "restore",
  revision: "REV",
  output: "-",
  ...{ spec: undefined, threads: undefined, sparse: "auto", update: false, base: undefined },
  ...{ verifyTarget: false, range: undefined, partition: undefined, format: "raw" },
  ...{ onError: "abort", also: [], reportFile: undefined, verify: true, sync: true },
  ...{ lockTimeoutMs: undefined, readBytesPerSecond: undefined, force: false, dryRun: false },
  ...{ quiet: false, json: false },
};

function assertParses(args: string[], expected: Partial<RestoreCommand>) {
  assertEquals(parseExtractArguments(args), { ...DEFAULTS, ...expected });
}

function usageMessage(args: string[]): string {
  const error = assertThrows(() => parseExtractArguments(args), UsageError);
  assert(!/\p{Cc}/u.test(error.message), `not one clean line: ${error.message}`);
  assertMatch(error.message, /^Cannot .*: .*[^.]$/);
  return error.message;
}

Deno.test("parseExtractArguments() reads REVISION alone as a restore to standard output", () => {
  assertParses(["REV"], {});
});

Deno.test("parseExtractArguments() reads the command line with which backy calls", () => {
  assertParses(["/srv/backy/vm/Nym6uacWoXGb8VnbksM3yH", "/dev/rbd0"], {
    revision: "/srv/backy/vm/Nym6uacWoXGb8VnbksM3yH",
    output: "/dev/rbd0",
  });
});

Deno.test("parseExtractArguments() reads every long option", () => {
  const args = ["--threads", "4", "--sparse", "never", "--quiet", "--no-verify", "--no-sync"];
  assertParses([...args, "--lock-timeout", "2.5", "--force", "REV", "OUT"], {
    output: "OUT",
    threads: 4,
    sparse: "never",
    quiet: true,
    verify: false,
    sync: false,
    lockTimeoutMs: 2500,
    force: true,
  });
});

Deno.test("parseExtractArguments() reads all ways of writing a value", () => {
  for (const args of [["-t4"], ["-t", "4"], ["--threads=4"], ["--threads", "4"], ["-t", "04"]]) {
    assertParses([...args, "REV"], { threads: 4 });
  }
  assertParses(["-qf", "REV"], { quiet: true, force: true });
  assertParses(["-qt4", "REV"], { quiet: true, threads: 4 });
  assertParses(["-qft", "4", "REV"], { quiet: true, force: true, threads: 4 });
  assertParses(["-qsnever", "REV"], { quiet: true, sparse: "never" });
});

Deno.test("parseExtractArguments() takes options after arguments, and the last of an option given twice", () => {
  assertParses(["REV", "-t", "2", "OUT", "-q", "-t3"], { output: "OUT", threads: 3, quiet: true });
});

Deno.test("parseExtractArguments() ends options at --", () => {
  assertParses(["-q", "--", "--quiet", "-f"], { revision: "--quiet", output: "-f", quiet: true });
  assertParses(["REV", "--", "--"], { output: "--" });
  assertParses(["REV", "--"], {});
});

Deno.test("parseExtractArguments() reads - as an argument", () => {
  assertParses(["REV", "-"], { output: "-" });
  assertParses(["-q", "REV", "-", "-f"], { quiet: true, force: true });
});

Deno.test("parseExtractArguments() does not take words after a flag for its value", () => {
  assertParses(["-q", "true", "false"], { quiet: true, revision: "true", output: "false" });
});

Deno.test("parseExtractArguments() reads --sparse in any case", () => {
  for (const mode of ["auto", "never", "always"] as const) {
    assertParses([`--sparse=${mode.toUpperCase()}`, "REV"], { sparse: mode });
  }
  assertParses(["-sNeVer", "REV"], { sparse: "never" });
});

Deno.test("parseExtractArguments() knows the choices that the option table states", () => {
  for (const option of EXTRACT_OPTIONS) {
    const { choices }: OptionSpec = option;
    for (const choice of choices ?? []) parseExtractArguments([`--${option.long}`, choice, "REV"]);
  }
});

Deno.test("parseExtractArguments() reads lock timeouts to the millisecond, never a wait as none", () => {
  const cases: [string, number][] = [
    ["0", 0],
    ["0.0", 0],
    ["10", 10_000],
    ["1.", 1000],
    [".5", 500],
    ["0.29", 290],
    ["1.1", 1100],
    ["0.0001", 1],
    ["2147483", 2_147_483_000],
  ];
  for (const [text, lockTimeoutMs] of cases) {
    assertParses(["--lock-timeout", text, "REV"], { lockTimeoutMs });
  }
});

Deno.test("parseExtractArguments() refuses bad numbers", () => {
  for (
    const text of ["", "0", "129", "4x", "x", "1.5", "+4", " 4", "0x4", "1e1", "٤", "9".repeat(400)]
  ) {
    assertMatch(usageMessage([`--threads=${text}`, "REV"]), /whole number from 1 to 128$/);
  }
  assertMatch(usageMessage(["-t=4", "REV"]), /"--threads": "=4" is not/);
  for (
    const text of [
      "",
      ".",
      "-1",
      "1,5",
      "1s",
      "inf",
      "NaN",
      "1e3",
      "0x1",
      "2147484",
      "9".repeat(400),
    ]
  ) {
    assertMatch(
      usageMessage([`--lock-timeout=${text}`, "REV"]),
      /number of seconds from 0 to 2147483$/,
    );
  }
});

Deno.test("parseExtractArguments() accepts 1 to 128 threads", () => {
  for (const threads of [1, 2, 24, 25, 128]) assertParses([`-t${threads}`, "REV"], { threads });
});

Deno.test("parseExtractArguments() names what is wrong, in one line", () => {
  const cases: [string[], string][] = [
    [[], "Cannot restore: the argument REVISION is missing (see --help)"],
    [["-q"], "Cannot restore: the argument REVISION is missing (see --help)"],
    [[""], "Cannot restore: the argument REVISION is empty"],
    [["REV", ""], "Cannot restore: the argument OUTPUT is empty"],
    [
      ["a", "b", "c", "d"],
      'Cannot use argument "c": there are only REVISION and OUTPUT (see --help)',
    ],
    [["--frob", "REV"], 'Cannot use option "--frob": no such option (see --help)'],
    [["--frob=1", "REV"], 'Cannot use option "--frob": no such option (see --help)'],
    [["--thread=1", "REV"], 'Cannot use option "--thread": no such option (see --help)'],
    [["--Quiet", "REV"], 'Cannot use option "--Quiet": no such option (see --help)'],
    [["--=x", "REV"], 'Cannot use option "--": no such option (see --help)'],
    [["---quiet", "REV"], 'Cannot use option "---quiet": no such option (see --help)'],
    [["--q", "REV"], 'Cannot use option "--q": no such option (see --help)'],
    [["--__proto__", "REV"], 'Cannot use option "--__proto__": no such option (see --help)'],
    [["--no-quiet", "REV"], 'Cannot use option "--no-quiet": no such option (see --help)'],
    [["--verify", "REV"], 'Cannot use option "--verify": no such option (see --help)'],
    [["-x", "REV"], 'Cannot use option "-x": no such option (see --help)'],
    [["-qx", "REV"], 'Cannot use option "-x": no such option (see --help)'],
    [["-😀", "REV"], 'Cannot use option "-😀": no such option (see --help)'],
    [["-q-", "REV"], 'Cannot use option "--": no such option (see --help)'],
    [["-q=1", "REV"], 'Cannot use option "-=": no such option (see --help)'],
    [["--quiet=yes", "REV"], 'Cannot use option "--quiet": it takes no value'],
    [["--force=", "REV"], 'Cannot use option "--force": it takes no value'],
    [["REV", "--threads"], 'Cannot use option "--threads": N is missing'],
    [["REV", "-qt"], 'Cannot use option "-t": N is missing'],
    [
      ["--sparse", "-q", "REV"],
      'Cannot use option "--sparse": WHEN is missing (or write "--sparse=-q")',
    ],
    [["-t", "--", "REV"], 'Cannot use option "-t": N is missing (or write "--threads=--")'],
    [["-s", "-", "REV"], 'Cannot use option "--sparse": "-" is not one of auto, never, always'],
    [["-s", "", "REV"], 'Cannot use option "--sparse": "" is not one of auto, never, always'],
  ];
  for (const [args, message] of cases) assertEquals(usageMessage(args), message);
});

Deno.test("parseExtractArguments() escapes control characters of what it quotes", () => {
  assertEquals(
    usageMessage(["--a\x1b[2J\n", "REV"]),
    'Cannot use option "--a\\x1b[2J\\n": no such option (see --help)',
  );
  for (const args of [["-\x07"], ["-t\x9b1"], ["-s\u202e"], ["-t", "-\n"], ["a", "b", "\r"]]) {
    usageMessage(args);
  }
});

Deno.test("parseExtractArguments() lets the first of --help, --version and a mistake win", () => {
  const kind = (...args: string[]) => parseExtractArguments(args).kind;
  for (const flag of ["--help", "-h", "-qh"]) assertEquals(kind(flag), "help");
  for (const flag of ["--version", "-V"]) assertEquals(kind(flag), "version");
  assertEquals(kind("--help", "--version"), "help");
  assertEquals(kind("-Vh"), "version");
  assertEquals(kind("--help", "--frob", "-t"), "help");
  assertEquals(kind("a", "b", "c", "--version"), "version");
  assertEquals(kind("--", "--help"), "restore");
  usageMessage(["--frob", "--help"]);
  usageMessage(["-tx", "--help"]);
  usageMessage(["--help=all"]);
});

Deno.test("parseExtractArguments() returns a command or a one-line UsageError for any arguments", () => {
  const pieces = [
    "-",
    "--",
    "-q",
    "-t",
    "t",
    "4",
    "=",
    "--threads",
    "--sparse",
    "auto",
    "-h",
    "\n",
    "\x1b",
    "",
    "é",
    "😀",
  ];
  let seed = 20_240_607;
  const next = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  const outcomes = new Set<string>();
  for (let round = 0; round < 20_000; round++) {
    const args = Array.from(
      { length: next(5) },
      () => Array.from({ length: next(4) }, () => pieces[next(pieces.length)]).join(""),
    );
    let command: ExtractCommand | undefined;
    try {
      command = parseExtractArguments(args);
    } catch {
      usageMessage(args);
    }
    if (command?.kind === "restore") {
      assert(command.revision !== "" && command.output !== "");
      assert(command.threads === undefined || Number.isInteger(command.threads));
    }
    outcomes.add(command?.kind ?? "error");
  }
  assertEquals(outcomes, new Set(["error", "help", "restore"]));
});

Deno.test("readArguments() stops reading where its caller does", () => {
  const [first] = readArguments(["a", "--frob"], EXTRACT_OPTIONS);
  assertEquals(first, { kind: "positional", value: "a" });
});

Deno.test("defaultThreads() is one a CPU, from 2 to 24", () => {
  assertEquals([1, 2, 3, 24, 25, 512].map(defaultThreads), [2, 2, 3, 24, 24, 24]);
  assertEquals([0, -1, NaN].map(defaultThreads), [2, 2, 2]);
});

Deno.test("EXTRACT_OPTIONS names each option once", () => {
  const options: readonly OptionSpec[] = EXTRACT_OPTIONS;
  const names = options.flatMap(({ long, short }) => short === undefined ? [long] : [long, short]);
  assertEquals(new Set(names).size, names.length);
  for (const { long, short } of options) {
    assertMatch(long, /^[a-z][a-z0-9-]+$/);
    if (short !== undefined) assertMatch(short, /^[A-Za-z]$/);
  }
});

Deno.test("renderHelp() shows usage, every argument, option, default and exit code in 80 columns", () => {
  const help = renderHelp(EXTRACT_TOOL);
  const words = help.replaceAll(/\s+/g, " ");
  assertMatch(help, /^Usage: backy-extract \[OPTIONS\] REVISION \[OUTPUT\]\n/);
  assert(help.endsWith("\n") && !help.endsWith("\n\n"));
  for (const line of help.split("\n")) {
    assert(line.length <= 80, line);
    assert(!/[^\x20-\x7e]| $/.test(line), line);
  }
  for (const option of EXTRACT_TOOL.options) {
    const value = option.value === undefined ? "" : ` ${option.value}`;
    const short = option.short === undefined ? "    " : `-${option.short}, `;
    assert(help.includes(`\n  ${short}--${option.long}${value}  `), option.long);
    assert(words.includes(option.help), option.long);
    if (option.default !== undefined) assert(words.includes(`(default: ${option.default})`));
  }
  for (const { name, help } of EXTRACT_TOOL.arguments) assert(words.includes(`${name} ${help}`));
  for (const { code, meaning } of EXIT_CODE_TABLE) {
    assertMatch(help, new RegExp(`^ +${code}  ${meaning}$`, "m"));
  }
});

Deno.test("parseFuseArguments() reads all options, and defaults for what is not given", () => {
  const defaults = {
    kind: "mount",
    basedir: ".",
    mountpoint: "/mnt",
    mountOptions: ["allow_root"],
    cacheBytes: 1024 * 1_048_576,
    threads: undefined,
    spill: undefined,
    verify: true,
    lockTimeoutMs: undefined,
  };
  assertEquals<unknown>(parseFuseArguments(["/mnt"]), defaults);
  const args = ["-d/srv/vm", "-oro,allow_other", "-o", "", "-c16", "-t3", "--spill=/tmp/s"];
  assertEquals<unknown>(parseFuseArguments([...args, "--no-verify", "--lock-timeout=2", "/mnt"]), {
    ...defaults,
    basedir: "/srv/vm",
    mountOptions: ["ro", "allow_other"],
    cacheBytes: 16 * 1_048_576,
    threads: 3,
    spill: "/tmp/s",
    verify: false,
    lockTimeoutMs: 2000,
  });
  assertEquals<unknown>(parseFuseArguments(["-o", "", "/mnt"]), { ...defaults, mountOptions: [] });
  assertEquals<unknown>(parseFuseArguments(["-h"]), { kind: "help" });
});

Deno.test("parseFuseArguments() names what is wrong, in one line", () => {
  const mistakes: readonly [string[], string][] = [
    [[], "Cannot mount: the argument MOUNTPOINT is missing (see --help)"],
    [[""], "Cannot mount: the argument MOUNTPOINT is empty"],
    [["a", "b"], 'Cannot use argument "b": there is only MOUNTPOINT (see --help)'],
    [["-c15", "a"], 'Cannot use option "--cache": "15" is not a whole number from 16 to 1048576'],
    [["-d", "", "a"], 'Cannot use option "--basedir": "" is empty'],
    [["--frob", "a"], 'Cannot use option "--frob": no such option (see --help)'],
  ];
  for (const [args, message] of mistakes) {
    assertEquals(assertThrows(() => parseFuseArguments(args)).message, message);
  }
});
