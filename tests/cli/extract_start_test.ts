/**
 * Surroundings in which the tool is started: its working directory, environment, arguments and
 * descriptors.
 */

import { assertEquals, assertThrows } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { testUnless } from "../support/machine.ts";
import { programProblem } from "../support/programs.ts";
import { EXTRACT } from "../support/tool.ts";
import { assertFailure, assertSuccess, extract, parseJsonLines } from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

/** Why something is not so from source, where the runtime has its say first. */
const fromSource = EXTRACT.length === 1 ? null : "from source the runtime fails first";

const DIRECTORIES = [
  ["was removed", 'mkdir gone; cd gone; rmdir ../gone; exec "$@"', fromSource],
  ["has a name that is not UTF-8", `mkdir $'cw\\xff'; cd $'cw\\xff'; exec "$@"`, null],
] as const;

for (const [state, shell, reason] of DIRECTORIES) {
  const relative = (path: string) =>
    `Cannot use relative path "${path}": the working directory was removed, or its name is not ` +
    "UTF-8; change to another directory, or use absolute paths";

  testUnless(
    reason,
    `A working directory that ${state} is no obstacle to absolute paths`,
    async () => {
      const output = store.file(`absolute ${state}`);
      assertSuccess(await extract([store.revision.path, output], { shell }));
      assertBytes(Deno.readFileSync(output), store.image);
      const report = store.file(`report ${state}`);
      const args = [
        "--update",
        "--on-error=zero",
        "--report",
        report,
        `${store.basedir}/last`,
        output,
      ];
      assertSuccess(await extract(args, { shell }));
      const { stdout } = await extract([store.revision.path], { shell: `${shell} 2>/dev/null` });
      assertBytes(stdout, store.image);
      for (const args of [["list", store.basedir], ["check", store.basedir], ["--version"]]) {
        assertSuccess(await extract(args, { shell }));
      }
    },
  );

  testUnless(
    reason,
    `A working directory that ${state} is said before anything is touched`,
    async () => {
      const output = store.file(`untouched ${state}`, "old");
      const { path } = store.revision;
      for (
        const [args, name] of [
          [[path, "image"], "image"],
          [["vm0/last", output], "vm0/last"],
          [["--on-error=zero", "--report", "gaps.json", path, output], "gaps.json"],
          [["--also", "./vm1", path, output], "./vm1"],
          [["--base", "../vm0/first", path, output], "../vm0/first"],
          [["list", "vm0"], "vm0"],
          [["check", path, "vm0/last"], "vm0/last"],
        ] as const
      ) {
        const outcome = await extract(args, { shell });
        assertFailure(outcome, { code: 2, says: [relative(name)] });
      }
      assertEquals(Deno.readTextFileSync(output), "old");
    },
  );

  testUnless(reason, `A working directory that ${state} is reported in JSON, too`, async () => {
    const { code, stderr } = await extract(["--json", store.revision.path, "image"], { shell });
    assertEquals(code, 2);
    assertEquals(parseJsonLines(stderr).map(({ type, message }) => [type, message]), [
      ["error", relative("image")],
    ]);
  });
}

const VARIABLES: readonly [assignment: string, reason: string | null][] = [
  ["LOG_STREAM=1", null],
  ["LOG_TOKENS=1", null],
  [`LOG_STREAM=$'\\xff'`, null],
  [`LOG_TOKENS=$'\\xff'`, null],
  [`TERM=$'\\xff'`, null],
  [`NO_COLOR=$'\\xff'`, null],
  [`UNKNOWN=$'\\xff'`, null],
  ["DENO_LOG=debug RUST_LOG=trace", fromSource],
  ["DENO_V8_FLAGS=--help NODE_OPTIONS=--nothing RUST_MIN_STACK=x", fromSource],
  [`DENO_LOG=$'\\xff' NODE_OPTIONS=$'\\xff' CI=1 FORCE_COLOR=3`, fromSource],
  ["LC_ALL=tr_TR.UTF-8 LANG=xx ICU_DATA=/nowhere", fromSource],
];

for (const [assignment, reason] of VARIABLES) {
  testUnless(reason, `The environment changes nothing: ${assignment}`, async () => {
    const shell = `exec env ${assignment} "$@"`;
    const output = store.file("by environment");
    for (
      const args of [["list", store.basedir], ["list", "--json", store.basedir], [
        "check",
        store.basedir,
      ], ["-q", "--update", `${store.basedir}/last`, output]]
    ) {
      const outcome = await extract(args, { shell });
      const expected = await extract(args);
      assertEquals(outcome.code, 0, outcome.stderr);
      assertEquals(outcome.stdout, expected.stdout, outcome.stderr);
      assertEquals(withoutNumbers(outcome.stderr), withoutNumbers(expected.stderr));
    }
  });
}

function withoutNumbers(text: string): string {
  return text.replace(/[\d.]+ ?([KMG]iB)?(\/s)?/g, "N");
}

Deno.test("An empty environment changes nothing", async () => {
  const output = store.file("without environment");
  const shell = 'exec env -i "$@"';
  assertSuccess(await extract([store.revision.path, output], { shell }));
  assertBytes(Deno.readFileSync(output), store.image);
});

testUnless(
  fromSource,
  "An argument that is not UTF-8 is refused in one line, wherever it stands",
  async () => {
    for (
      const [line, index] of [
        [`"$REV" $'y\\xff'`, 2],
        [`$'\\xc0\\xaf'`, 1],
        [`list $'\\xed\\xa0\\x80'`, 2],
        [`-q --also $'\\xf4\\x90\\x80\\x80' "$REV" out`, 3],
        [`"$REV" $'\\xe2\\x82'`, 2],
      ] as const
    ) {
      const outcome = await extract([], {
        shell: `exec "$@" ${line}`,
        env: { REV: store.revision.path },
      });
      assertFailure(outcome, {
        code: 2,
        says: [
          `Cannot use argument ${index}: it is not UTF-8; make a link to the file, and name that`,
        ],
      });
      assertEquals(outcome.stdout.length, 0);
    }
  },
);

Deno.test("Arguments in UTF-8 of any length are accepted", async () => {
  const output = store.file("\u00e4\u20ac\u{1f4be}\ufffd\u{10ffff}");
  assertSuccess(await extract([store.revision.path, output]));
  assertBytes(Deno.readFileSync(output), store.image);
});

testUnless(fromSource, "The name that the tool is called by does not matter", async () => {
  for (const name of [`$'x\\xff'`, "''", "sh"]) {
    const outcome = await extract(["--version"], { shell: `exec -a ${name} "$@"` });
    assertSuccess(outcome);
  }
});

for (const closed of ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"]) {
  Deno.test(`With closed descriptors (${closed}) the image gets only its bytes`, async () => {
    const output = store.file(`closed ${closed}`);
    const outcome = await extract([store.revision.path, output], { shell: `exec "$@" ${closed}` });
    assertEquals(outcome.code, 0, outcome.stderr);
    assertBytes(Deno.readFileSync(output), store.image);
  });
}

testUnless(
  fromSource,
  "An image does not vanish into a closed standard output",
  async () => {
    for (const closed of ["1>&-", "0<&- 1>&-"]) {
      const args = ["-q", store.revision.path, "-"];
      const outcome = await extract(args, { shell: `exec "$@" ${closed}` });
      const says = ["Cannot restore to standard output: it is closed, or not open for writing"];
      assertFailure(outcome, { code: 4, says });
    }
  },
);

const oldProcessor = EXTRACT.length > 1
  ? "from source all of Deno would run under qemu"
  : Deno.build.arch === "x86_64"
  ? programProblem("qemu-x86_64")
  : "it is about x86_64";

testUnless(
  oldProcessor,
  "A processor without SSE4.1 is named before the target is touched",
  async () => {
    const output = store.file("old processor");
    const shell = 'exec qemu-x86_64 -cpu kvm64 "$@"';
    const { path } = store.revision;
    for (const args of [[path, output], [path], ["--dry-run", path, output], ["check", path]]) {
      assertFailure(await extract(args, { shell }), {
        code: 1,
        says: [
          "Cannot decode: this processor lacks SSE4.1 (made before 2008, or hidden by a virtual " +
          "machine); use another machine or processor type",
        ],
      });
    }
    assertThrows(() => Deno.statSync(output), Deno.errors.NotFound);
    for (const args of [["--version"], ["--help"], ["list", store.basedir]]) {
      assertSuccess(await extract(args, { shell }));
    }
  },
);

testUnless(
  fromSource,
  "A standard output that was closed is refused, however few files may be open",
  async () => {
    for (const limit of [40, 41, 43, 46, 64, 1000, 1001, 1003, 1007, 1024]) {
      const shell = `ulimit -n ${limit}; exec "$@" >&-`;
      const { code, stderr } = await extract([store.revision.path], { shell });
      assertEquals(code, 4, `${limit}: ${stderr}`);
    }
  },
);
