import { assert, assertEquals, assertStringIncludes } from "../assert.ts";
import { EXIT_CODE_TABLE } from "../../lib/cli/exit_code.ts";
import { optionsOf } from "../../lib/cli/command.ts";
import { EXTRACT } from "../../lib/cli/extract.ts";
import { assertBytes } from "../support/bytes.ts";
import { extract } from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

const USAGE = 2;

Deno.test("--help prints usage, arguments, every option and every exit code to standard output", async () => {
  const long = await extract(["--help"]);
  assertEquals([long.code, long.stderr], [0, ""]);
  const text = new TextDecoder().decode(long.stdout);
  assertStringIncludes(text, "Usage: backy-extract [OPTIONS] REVISION [OUTPUT]\n");
  for (const { long } of optionsOf(EXTRACT)) assertStringIncludes(text, `--${long}`);
  for (const { code, meaning } of EXIT_CODE_TABLE) {
    assert(new RegExp(`^ +${code}  +${meaning}`, "m").test(text), `${code}: ${text}`);
  }
  assert(text.endsWith("\n") && text.split("\n").every((line) => line.length <= 80), text);
  assertEquals((await extract(["-h", "--no-such-option"])).stdout, long.stdout);
});

Deno.test("-V and --version print the tool's name and version, whatever follows", async () => {
  for (const args of [["-V"], ["--version", "REVISION", "--bad"]]) {
    const { code, stdout, stderr } = await extract(args);
    assertEquals([code, stderr], [0, ""]);
    assert(/^backy-extract \d+\.\d+\.\d+\n$/.test(new TextDecoder().decode(stdout)));
  }
});

Deno.test("--help and --version say in one line that standard output cannot be written", async () => {
  for (const option of ["--help", "--version"]) {
    const { code, stderr } = await extract([option], { shell: 'exec "$@" >/dev/full' });
    assertEquals(
      stderr,
      "backy-extract: Cannot write standard output: No space left on device (ENOSPC)\n",
    );
    assertEquals(code, 1);
  }
});

const MISTAKES: readonly [args: readonly string[], message: string][] = [
  [[], "Cannot restore: the argument REVISION is missing (see --help)"],
  [["-q"], "Cannot restore: the argument REVISION is missing (see --help)"],
  [["", "target"], "Cannot restore: the argument REVISION is empty"],
  [["revision", ""], "Cannot restore: the argument OUTPUT is empty"],
  [["a", "b", "c"], 'Cannot use argument "c": only REVISION and OUTPUT are expected (see --help)'],
  [["a", "-x"], 'Cannot use option "-x": no such option (see --help)'],
  [["a", "--spars=never"], 'Cannot use option "--spars": no such option (see --help)'],
  [["a", "--quiet=yes"], 'Cannot use option "--quiet": it takes no value'],
  [["a", "-t"], 'Cannot use option "-t": N is missing'],
  [["a", "-t256"], 'Cannot use option "--threads": "256" is not a whole number from 0 to 255'],
  [["a", "-t", "1.5"], 'Cannot use option "--threads": "1.5" is not a whole number from 0 to 255'],
  [["a", "-t", "0x4"], 'Cannot use option "--threads": "0x4" is not a whole number from 0 to 255'],
  [
    ["a", "--threads=1e9"],
    'Cannot use option "--threads": "1e9" is not a whole number from 0 to 255',
  ],
  [
    ["a", "--sparse=sometimes"],
    'Cannot use option "--sparse": "sometimes" is not one of auto, never, always',
  ],
  [
    ["a", "--lock-timeout=soon"],
    'Cannot use option "--lock-timeout": "soon" is not a number of seconds from 0 to 2147483',
  ],
  [
    ["a", "--lock-timeout", "-1"],
    'Cannot use option "--lock-timeout": SECONDS is missing (or write "--lock-timeout=-1")',
  ],
];

Deno.test("A usage error is one line on standard error and exit 2", async () => {
  for (const [args, message] of MISTAKES) {
    const { code, stdout, stderr } = await extract(args);
    assertEquals(stderr, `backy-extract: ${message}\n`);
    assertEquals([code, stdout.length], [USAGE, 0], stderr);
  }
});

Deno.test("Options may be combined, follow arguments, and take values in all forms", async () => {
  using store = new SampleStore();
  const path = store.revision.path;
  for (
    const args of [
      ["-qt1", path, "-"],
      [path, "-q", "--threads", "2", "--lock-timeout=0"],
      ["-q", "--sparse=NEVER", "--no-verify", "--no-sync", "--", path],
      ["-qfsalways", "--lock-timeout", "1.5", path],
    ]
  ) {
    const { code, stdout, stderr } = await extract(args);
    assertEquals([code, stderr], [0, ""], args.join(" "));
    assertBytes(stdout, store.image);
  }
});
