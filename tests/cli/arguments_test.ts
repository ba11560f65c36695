import { assert, assertEquals, assertMatch, assertThrows } from "../assert.ts";
import { CHECK, type CheckCommand } from "../../lib/cli/check_command.ts";
import { type CommandSpec, optionsOf, parseCommand } from "../../lib/cli/command.ts";
import { spellOut } from "../../lib/cli/command_line.ts";
import { EXIT_CODE_TABLE } from "../../lib/cli/exit_code.ts";
import { EXTRACT, type ExtractCommand, parseExtractArguments } from "../../lib/cli/extract.ts";
import { FILES } from "../../lib/cli/files_command.ts";
import { NBD } from "../../lib/cli/nbd_command.ts";
import { FUSE, parseFuseArguments } from "../../lib/cli/fuse.ts";
import { renderHelp } from "../../lib/cli/help.ts";
import { LIST } from "../../lib/cli/list_command.ts";
import { defaultCacheBytes } from "../../lib/cli/mount_command.ts";
import { describeConflict, type Option } from "../../lib/cli/option.ts";
import type { RestoreCommand } from "../../lib/cli/restore_command.ts";
import { defaultThreads } from "../../lib/work/worker_room.ts";
import { UsageError } from "../../lib/errors.ts";

const COMMANDS: readonly CommandSpec[] = [
  EXTRACT,
  ...EXTRACT.commands!,
  FUSE,
  ...FUSE.commands!,
];

const DEFAULTS: RestoreCommand = {
  ...parseCommand(EXTRACT, ["REV"]) as RestoreCommand,
  kind: "restore",
  revision: "REV",
  output: "-",
  sectorBytes: undefined,
  spec: undefined,
  threads: undefined,
  sparse: "auto",
  direct: "auto",
  update: false,
  base: undefined,
  verifyTarget: false,
  range: undefined,
  partition: undefined,
  format: "raw",
  onError: "abort",
  also: [],
  reportFile: undefined,
  verify: true,
  sync: true,
  lockTimeoutMs: undefined,
  readBytesPerSecond: undefined,
  force: false,
  create: false,
  dryRun: false,
  quiet: false,
  json: false,
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

/**
 * Options of a restore, each with a value that is not the default, and the fields that follow.
 */
const EACH_OPTION: Readonly<
  Record<string, readonly [args: readonly string[], command: Partial<RestoreCommand>]>
> = {
  "revision": [["-r", "last(tag:x)"], { spec: "last(tag:x)" }],
  "threads": [["-t7"], { threads: 7 }],
  "sparse": [["-salways"], { sparse: "always" }],
  "direct": [["--direct=never"], { direct: "never" }],
  "update": [["-u"], { update: true }],
  "base": [["--base", "BASE"], { base: "BASE" }],
  "verify-target": [["--verify-target"], { verifyTarget: true }],
  "range": [["--range", "1K:2M"], { range: { offset: 1024, length: 2_097_152 } }],
  "partition": [["--partition", "3"], { partition: 3 }],
  "sector-size": [["--partition=1", "--sector-size=4096"], { partition: 1, sectorBytes: 4096 }],
  "format": [["--format=RBD-diff"], { format: "rbd-diff", output: "-" }],
  "on-error": [["--on-error", "ZERO"], { onError: "zero" }],
  "also": [["--also", "a", "--also=b"], { also: ["a", "b"] }],
  "report": [["--on-error=zero", "--report", "F"], { onError: "zero", reportFile: "F" }],
  "no-verify": [["--no-verify"], { verify: false }],
  "no-sync": [["--no-sync"], { sync: false }],
  "lock-timeout": [["--lock-timeout=1"], { lockTimeoutMs: 1000 }],
  "bwlimit": [["--bwlimit", "2MiB/s"], { readBytesPerSecond: 2_097_152 }],
  "force": [["-f"], { force: true }],
  "dry-run": [["-n"], { dryRun: true }],
  "quiet": [["-q"], { quiet: true }],
  "json": [["--json"], { json: true }],
};

Deno.test("parseExtractArguments() reads each option of the table, and nothing else changes", () => {
  const names = Object.values(EXTRACT.options).map(({ long }) => long);
  const withValue = Object.values(EXTRACT.options).filter(({ value }) => value !== undefined);
  assertEquals(Object.keys(EACH_OPTION).filter((name) => !names.includes(name)), []);
  assertEquals(withValue.filter(({ long }) => !Object.hasOwn(EACH_OPTION, long)), []);
  for (const [args, expected] of Object.values(EACH_OPTION)) {
    const output = expected.output === undefined ? ["OUT"] : [];
    assertParses([...args, "REV", ...output], { output: "OUT", ...expected });
  }
});

for (const command of COMMANDS) {
  Deno.test(`${command.name} reads each flag of its table, and nothing else changes`, () => {
    const args = Object.values(command.arguments).filter(({ isAfterDashes }) => !isAfterDashes)
      // A target of which all flags make sense.
      .map(({ name }) => name === "OUTPUT" ? "rbd:POOL/IMAGE" : name);
    const plain = parseCommand(command, args);
    for (const [field, { long, short, value }] of Object.entries(command.options)) {
      if (value !== undefined) continue;
      const { [field]: absent, ...others }: Record<string, unknown> = { ...plain };
      for (const flag of [`--${long}`, ...short === undefined ? [] : [`-${short}`]]) {
        const given = parseCommand(command, [...args, flag, flag]);
        assertEquals<unknown>(given, { ...others, [field]: !absent }, flag);
      }
    }
  });
}

Deno.test("parseExtractArguments() takes the last of an option given twice, but all of --also", () => {
  const args = ["--on-error=zero", "--on-error=abort", "--range=1:", "--range=:2", "-ra", "-rb"];
  assertParses([...args, "--base=a", "--base=b", "--also=a", "--also=a", "REV", "OUT"], {
    output: "OUT",
    onError: "abort",
    range: { offset: 0, length: 2 },
    spec: "b",
    base: "b",
    also: ["a", "a"],
  });
});

Deno.test("parseExtractArguments() refuses bad values of each option that takes one, and names the option", () => {
  const bad: Readonly<Record<string, readonly string[]>> = {
    "revision": [""],
    "threads": ["", "256", "x"],
    "sparse": ["", "yes"],
    "direct": ["", "yes"],
    "base": [""],
    "range": ["", ":", "1", "1:0", "1:2:3", "-1:2", "1KB:2", "1.5M:1", "9999999T:1"],
    "partition": ["", "0", "-1", "x", "1.5", "99999"],
    "sector-size": ["", "0", "520", "4k", "4096B"],
    "format": ["", "qcow2", "rbd"],
    "on-error": ["", "skip", "0"],
    "also": [""],
    "report": ["", "-"],
    "lock-timeout": ["", "soon"],
    "bwlimit": ["", "0", "fast", "1KB", "10/m", "1.5M"],
  };
  const withValue = optionsOf(EXTRACT).filter(({ value }) => value !== undefined).map(({ long }) =>
    long
  );
  assertEquals(Object.keys(bad), withValue);
  for (const [name, values] of Object.entries(bad)) {
    for (const value of values) {
      const start = `Cannot use option "--${name}": "${value}" is `;
      assertEquals(
        usageMessage([`--${name}=${value}`, "REV", "OUT"]).slice(0, start.length),
        start,
      );
    }
  }
});

/**
 * For each contradiction, in the order of the options, a command line that has it and no earlier
 * one.
 */
const CONTRADICTIONS: readonly (readonly [args: readonly string[], message: string])[] = [
  [["--update", "--base=B"], '"--update" with "--base": one reads'],
  [["--update", "-"], '"--update" with standard output: '],
  [["--update", "--sparse=always"], '"--update" with "--sparse=always": '],
  [["--base=B", "-"], '"--base" with an image on standard output: '],
  [["--base=B", "--sparse=always"], '"--base" with "--sparse=always": '],
  [["--verify-target", "-"], '"--verify-target" with standard output: '],
  [["--verify-target", "--no-sync"], '"--verify-target" with "--no-sync": '],
  [["--verify-target", "--no-verify"], '"--verify-target" with "--no-verify": '],
  [["--range=1:", "--partition=1"], '"--range" with "--partition": each chooses'],
  [["--sector-size=512"], '"--sector-size" without "--partition": it says'],
  [["--format=rbd-diff"], '"--format=rbd-diff" with OUTPUT: it is a stream'],
  [["--format=rbd-diff", "--range=1:", "-"], '"--format=rbd-diff" with "--range" or "--partition"'],
  [["--format=rbd-diff", "--sparse=never", "-"], '"--format=rbd-diff" with "--sparse=never": '],
  [["--report=F"], '"--report" without "--on-error=zero": '],
  [["--create"], '"--create" without rbd:POOL/IMAGE: files'],
];

Deno.test("parseExtractArguments() refuses every contradiction in one line, in whatever order it stands", () => {
  const conflicts = optionsOf(EXTRACT).flatMap(({ long, conflicts = [] }) =>
    conflicts.map((conflict) => describeConflict(long, conflict))
  );
  assertEquals(CONTRADICTIONS.length, conflicts.length);
  CONTRADICTIONS.forEach(([args, message], at) => {
    const output = args.at(-1) === "-" ? [] : ["OUT"];
    for (const line of [["REV", ...output, ...args], [...args.toReversed(), "REV", ...output]]) {
      // A leading dash would be REVISION.
      if (line[0] === "-") line.push(line.shift()!);
      const said = usageMessage(line);
      assertEquals(said, `Cannot use ${conflicts[at]!}`);
      assert(said.startsWith(`Cannot use ${message}`), said);
    }
  });
  const more: string[][] = [
    ["--format=rbd-diff", "--partition=1", "REV"],
    ["--update", "REV"],
    ["--report=F", "--on-error=abort", "REV", "OUT"],
  ];
  for (const args of more) usageMessage(args);
});

Deno.test("parseExtractArguments() accepts what does not contradict itself", () => {
  for (
    const args of [
      ["--update", "--verify-target", "--range=1:2", "--on-error=zero", "--report=F", "OUT"],
      ["--base=B", "--verify-target", "--partition=1", "OUT"],
      ["--base=B", "--format=rbd-diff"],
      ["--format=rbd-diff", "--on-error=zero", "--also=D", "--sparse=always"],
      ["--verify-target", "--sparse=always", "OUT"],
      ["--update", "--no-verify", "--no-sync", "--sparse=never", "OUT"],
      ["--dry-run", "--json", "--quiet", "--force", "--bwlimit=1", "OUT"],
      ["--range=1:2", "--sparse=never"],
    ]
  ) assertEquals(parseExtractArguments(["REV", ...args]).kind, "restore");
});

Deno.test("parseExtractArguments() knows list and check as a first argument only", () => {
  assertEquals<unknown>(parseExtractArguments(["list", "--json", "DIR", "SPEC"]), {
    kind: "list",
    dir: "DIR",
    spec: "SPEC",
    partitions: false,
    json: true,
  });
  assertEquals<unknown>(parseExtractArguments(["list", "list"]), {
    kind: "list",
    dir: "list",
    spec: undefined,
    partitions: false,
    json: false,
  });
  for (const word of ["list", "check"]) {
    assertParses([`./${word}`], { revision: `./${word}` });
    assertEquals(
      usageMessage(["--json", word, "DIR"]),
      `Cannot restore revision "${word}": the command ${word} must be the first argument; a ` +
        `revision of that name is "./${word}"`,
    );
    assertParses(["-q", "--", word], { revision: word, quiet: true });
    assertParses(["REV", word], { output: word });
    assertParses([word.toUpperCase()], { revision: word.toUpperCase() });
  }
});

Deno.test("parseExtractArguments() reads check with all its options and any number of revisions", () => {
  const defaults: CheckCommand = {
    kind: "check",
    revisions: ["a"],
    spec: undefined,
    share: 1,
    threads: undefined,
    lockTimeoutMs: undefined,
    readBytesPerSecond: undefined,
    quiet: false,
    json: false,
  };
  assertEquals<unknown>(parseExtractArguments(["check", "a"]), defaults);
  const options = ["-rlast", "--sample=2.5%", "-t3", "--lock-timeout=0", "--bwlimit=1K"];
  assertEquals<unknown>(
    parseExtractArguments(["check", ...options, "-q", "a", "check", "--json"]),
    {
      kind: "check",
      revisions: ["a", "check"],
      spec: "last",
      share: 0.025,
      threads: 3,
      lockTimeoutMs: 0,
      readBytesPerSecond: 1024,
      quiet: true,
      json: true,
    },
  );
  const given = [...options, "-q", "--json", "--help", "--version"].map((arg) => arg.split("=")[0]);
  assertEquals(given.length, optionsOf(CHECK).length);
});

Deno.test("parseExtractArguments() names what is wrong with list and check", () => {
  const cases: [string[], string][] = [
    [["list"], "Cannot list: the argument DIR is missing (see --help)"],
    [["list", "a", ""], "Cannot list: the argument SPEC is empty"],
    [
      ["list", "a", "b", "c"],
      'Cannot use argument "c": only DIR and SPEC are expected (see --help)',
    ],
    [["list", "-r", "a"], 'Cannot use option "-r": no such option (see --help)'],
    [["check"], "Cannot check: the argument REVISION is missing (see --help)"],
    [["check", "a", "b", ""], "Cannot check: the argument REVISION is empty"],
    [["check", "--also=x", "a"], 'Cannot use option "--also": no such option (see --help)'],
    [
      ["check", "--sample=200", "a"],
      'Cannot use option "--sample": "200" is not a percentage above 0 and up to 100',
    ],
  ];
  for (const [args, message] of cases) assertEquals(usageMessage(args), message);
  for (const command of ["list", "check"]) {
    const help = parseExtractArguments([command, "-h", "--frob"]);
    assertEquals(help.kind === "help" && help.tool.name, `backy-extract ${command}`);
    assertEquals(parseExtractArguments([command, "-V"]).kind, "version");
  }
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
  for (const { long, choices = [] } of optionsOf(EXTRACT)) {
    const needed = long === "sector-size" ? ["--partition=1"] : [];
    for (const choice of choices) {
      parseExtractArguments([`--${long}`, choice, ...needed, "REV"]);
    }
  }
});

Deno.test("parseExtractArguments() reads lock timeouts to the millisecond, and never rounds one to 0", () => {
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
    const text of ["", "256", "4x", "x", "1.5", "+4", " 4", "0x4", "1e1", "٤", "9".repeat(400)]
  ) {
    assertMatch(usageMessage([`--threads=${text}`, "REV"]), /whole number from 0 to 255$/);
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

Deno.test("parseExtractArguments() accepts up to 255 threads, and takes 0 for the default", () => {
  for (const threads of [1, 2, 24, 25, 255]) assertParses([`-t${threads}`, "REV"], { threads });
  for (const text of ["0", "00"]) assertParses(["-t", text, "REV"], { threads: undefined });
  assertParses(["-t4", "-t0", "REV"], { threads: undefined });
  const check = parseExtractArguments(["check", "-t0", "REV"]);
  assert(check.kind === "check" && check.threads === undefined);
  const mount = parseFuseArguments(["-t", "0", "/mnt"]);
  assert(mount.kind === "mount" && mount.threads === undefined);
});

Deno.test("parseExtractArguments() names what is wrong, in one line", () => {
  const cases: [string[], string][] = [
    [[], "Cannot restore: the argument REVISION is missing (see --help)"],
    [["-q"], "Cannot restore: the argument REVISION is missing (see --help)"],
    [[""], "Cannot restore: the argument REVISION is empty"],
    [["REV", ""], "Cannot restore: the argument OUTPUT is empty"],
    [
      ["a", "b", "c", "d"],
      'Cannot use argument "c": only REVISION and OUTPUT are expected (see --help)',
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

Deno.test("parseExtractArguments() heeds the first of --help, --version and a mistake", () => {
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

Deno.test("spellOut() stops reading where its caller does", () => {
  const [first] = spellOut(["a", "--frob"], optionsOf(EXTRACT));
  assertEquals(first, { kind: "positional", text: "a" });
});

Deno.test("defaultThreads() is one per CPU, from 2 to 24", () => {
  assertEquals([1, 2, 3, 24, 25, 512].map((count) => defaultThreads(count)), [2, 2, 3, 24, 24, 24]);
  assertEquals([0, -1, NaN].map((count) => defaultThreads(count)), [2, 2, 2]);
});

for (const command of COMMANDS) {
  Deno.test(`${command.name} names each option once`, () => assertNames(optionsOf(command)));
}

function assertNames(options: readonly Option<unknown>[]): void {
  const names = options.flatMap(({ long, short }) => short === undefined ? [long] : [long, short]);
  assertEquals(new Set(names).size, names.length);
  for (const { long, short, value } of options) {
    assertMatch(long, /^[a-z][a-z0-9-]+$/);
    if (short !== undefined) assertMatch(short, /^[A-Za-z]$/);
    // As the head of lib/cli/command_line.ts says.
    if (value !== undefined) assert(!long.startsWith("no-"), long);
  }
}

const USAGES = [
  [EXTRACT, "REVISION [OUTPUT]"],
  [LIST, "DIR [SPEC]"],
  [CHECK, "REVISION..."],
  [FUSE, "[DIR] MOUNTPOINT"],
  [FILES, "[DIR] [MOUNTPOINT] [-- COMMAND...]"],
  [NBD, "DIR [SPEC]"],
] as const;

for (const [tool, usage] of USAGES) {
  Deno.test(`renderHelp() shows all of ${tool.name} in 80 columns`, () => assertHelp(tool, usage));
}

function assertHelp(tool: CommandSpec, usage: string): void {
  const help = renderHelp(tool);
  const words = help.replaceAll(/\s+/g, " ");
  assertEquals(help.split("\n")[0], `Usage: ${tool.name} [OPTIONS] ${usage}`);
  assert(help.endsWith("\n") && !help.endsWith("\n\n"));
  for (const line of help.split("\n")) {
    assert(line.length <= 80, line);
    assert(!/[^\x20-\x7e]| $/.test(line), line);
  }
  for (const option of optionsOf(tool)) {
    const value = option.value === undefined ? "" : ` ${option.value}`;
    const short = option.short === undefined ? "    " : `-${option.short}, `;
    assert(help.includes(`\n  ${short}--${option.long}${value}  `), option.long);
    const preset = option.default === undefined ? "" : ` (default: ${option.default})`;
    assert(words.includes(`--${option.long}${value} ${option.help}${preset} `), option.long);
  }
  for (const { name, help } of Object.values(tool.arguments)) {
    assert(words.includes(`${name} ${help}`));
  }
  for (const { code, meaning } of EXIT_CODE_TABLE) {
    assertMatch(help, new RegExp(`^ +${code}  ${meaning}$`, "m"));
  }
  for (const { kind, brief } of tool.commands ?? []) {
    const usage = USAGES.find(([{ name }]) => name === `${tool.name} ${kind}`)?.[1];
    assert(words.includes(`${kind} [OPTIONS] ${usage} ${brief}`), kind);
  }
}

Deno.test("parseFuseArguments() leaves what follows -- to the program of files", () => {
  const words = ["cp", "-r", "last", "--", "", "--help"];
  const command = parseFuseArguments(["files", "-r", "2", "vm", "/mnt", "--", ...words]);
  assert(command.kind === "files");
  const { spec, basedir, mountpoint, program } = command;
  assertEquals<unknown>([spec, basedir, mountpoint, program], ["2", "vm", "/mnt", words]);
  const plain = parseFuseArguments(["files", "vm"]);
  assert(plain.kind === "files");
  assertEquals([plain.program, plain.mountpoint], [[], undefined]);
  for (
    const [args, message] of [
      [["files", "vm", "--"], 'Cannot show files: COMMAND is missing after "--"'],
      [["files", "vm", "--", ""], 'Cannot show files: COMMAND is missing after "--"'],
      [["files", ""], "Cannot show files: the argument DIR is empty"],
      [
        ["-d", "vm", "files"],
        'Cannot mount directory "files": the command files must be the first argument; ' +
        'a directory of that name is "./files"',
      ],
    ] as const
  ) {
    assertEquals(assertThrows(() => parseFuseArguments(args), UsageError).message, message);
  }
  assertEquals(parseFuseArguments(["vm", "./files"]).kind, "mount");
});

Deno.test("parseFuseArguments() reads all options, and defaults for what is not given", () => {
  const defaults = {
    kind: "mount",
    basedir: ".",
    mountpoint: "/mnt",
    mountOptions: ["allow_root"],
    cacheBytes: undefined,
    threads: undefined,
    spill: undefined,
    verify: true,
    background: false,
    log: undefined,
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
  assertEquals<unknown>(parseFuseArguments(["-h"]), { kind: "help", tool: FUSE });
});

Deno.test("parseFuseArguments() takes directory and mount point in the order of mount(8)", () => {
  for (const args of [["/srv/vm", "/mnt"], ["-d", "/srv/vm", "/mnt"], ["/mnt", "-d/srv/vm"]]) {
    const command = parseFuseArguments(args);
    assert(command.kind === "mount");
    assertEquals([command.basedir, command.mountpoint], ["/srv/vm", "/mnt"]);
  }
});

Deno.test("defaultCacheBytes() leaves half of the memory to others, from 16 MiB to 1 GiB", () => {
  const mib = (free: number | null) => defaultCacheBytes(free) / 1_048_576;
  assertEquals(mib(null), 1024);
  assertEquals([0, 2 ** 26, 2 ** 29, 2 ** 32 - 1, 2 ** 32, 2 ** 40].map(mib), [
    16,
    16,
    128,
    1023,
    1024,
    1024,
  ]);
});

Deno.test("parseFuseArguments() raises a cache that is too small to the least", () => {
  for (const mib of ["0", "1", "15", "16"]) {
    const command = parseFuseArguments(["-c", mib, "/mnt"]);
    assert(command.kind === "mount");
    assertEquals(command.cacheBytes, 16 * 1_048_576);
  }
});

Deno.test("parseFuseArguments() names what is wrong, in one line", () => {
  const mistakes: readonly [string[], string][] = [
    [[], "Cannot mount: the argument MOUNTPOINT is missing (see --help)"],
    [[""], "Cannot mount: the argument MOUNTPOINT is empty"],
    [["", "b"], "Cannot mount: the argument DIR is empty"],
    [
      ["a", "b", "c"],
      'Cannot use argument "c": only DIR and MOUNTPOINT are expected (see --help)',
    ],
    [
      ["-d", "a", "b", "c"],
      'Cannot use argument "b": --basedir names the backup directory (see --help)',
    ],
    [["-c-1", "a"], 'Cannot use option "--cache": "-1" is not a whole number from 0 to 1048576'],
    [["-d", "", "a"], 'Cannot use option "--basedir": "" is empty'],
    [["--frob", "a"], 'Cannot use option "--frob": no such option (see --help)'],
  ];
  for (const [args, message] of mistakes) {
    assertEquals(assertThrows(() => parseFuseArguments(args)).message, message);
  }
});
