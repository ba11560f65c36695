import { assertEquals, assertMatch } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { sampleBytes } from "../support/store_builder.ts";
import {
  assertFailure,
  assertPrintable,
  assertSuccess,
  extract,
  parseJsonLines,
} from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

const USAGE = 2;
const STORE = 10;
const ESCAPES = '"\\e]0;title\\a\\u202e"';

/** Four revisions of a few bytes, one a day, and one that is on another server. */
class DatedStore extends SampleStore {
  readonly images: ReadonlyMap<string, Uint8Array>;

  constructor() {
    super();
    for (const name of ["last", "last.rev", "SampleRevision", "SampleRevision.rev"]) {
      Deno.removeSync(`${this.basedir}/${name}`);
    }
    const on = (day: number) => ({ timestamp: `2026-01-${day} 12:00:00+00:00` });
    const add = (seed: number, name: string, about: object) =>
      [name, this.add(name, [sampleBytes(seed, 1000)], about).image] as const;
    this.images = new Map([
      add(1, "Oldest", { ...on(10), tags: ["daily", "weekly"], trust: "verified" }),
      add(2, "Middle", { ...on(11), tags: ["daily"] }),
      add(3, "Doubtful", { ...on(12), tags: [ESCAPES], trust: "distrusted" }),
      add(4, "Newest", { ...on(13), tags: [], isComplete: false }),
    ]);
  }
}

let store: DatedStore;
Deno.test.beforeAll(() => void (store = new DatedStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

const UNFINISHED = 'warning: Revision "Newest" is unfinished: its backup did not run to its end';
const DISTRUSTED =
  'warning: Revision "Doubtful" is distrusted: it may differ from what was backed up';

const CHOICES: readonly [spec: string, name: string][] = [
  ["last", "Newest"],
  ["latest", "Newest"],
  ["first", "Oldest"],
  ["0", "Newest"],
  ["1", "Doubtful"],
  ["3", "Oldest"],
  ["Middle", "Middle"],
  ["tag:weekly", "Oldest"],
  ["trust:verified", "Oldest"],
  ["last(tag:daily)", "Middle"],
  ["last(clean)", "Doubtful"],
  ["first(tag:daily&not(tag:weekly))", "Middle"],
  ["2026-01-11T13:00:00+00:00", "Middle"],
  ["2026-01-12T11:59:59Z", "Middle"],
  ["2026-01-20", "Newest"],
];

Deno.test("DIR/SPEC and -r SPEC DIR restore the matching revision, with a warning where one is due", async (t) => {
  for (const [spec, name] of CHOICES) {
    await t.step(spec, async () => {
      const says = name === "Newest" ? [UNFINISHED] : name === "Doubtful" ? [DISTRUSTED] : [];
      for (const args of [[`${store.basedir}/${spec}`], ["-r", spec, store.basedir]]) {
        const outcome = await extract(["-q", ...args]);
        assertSuccess(outcome, { says });
        assertBytes(outcome.stdout, store.images.get(name)!);
      }
    });
  }
});

Deno.test("A spec is also taken in the current directory, and a real file of its name wins over it", async () => {
  const cwd = store.basedir;
  const image = async (spec: string) => (await extract(["-q", spec], { cwd })).stdout;
  assertBytes(await image("first"), store.images.get("Oldest")!);
  assertBytes(await image("./tag:weekly"), store.images.get("Oldest")!);
  for (const name of ["first", "tag:weekly", "1"]) {
    Deno.symlinkSync("Middle", `${cwd}/${name}`);
    try {
      assertBytes(await image(name), store.images.get("Middle")!);
      assertBytes(await image(`${cwd}/${name}`), store.images.get("Middle")!);
    } finally {
      Deno.removeSync(`${cwd}/${name}`);
    }
  }
});

Deno.test("A spec that matches several revisions shows them, with dates as in a list: exit 10", async () => {
  const before = store.namesBeside();
  const options = { env: { TZ: "America/New_York" } };
  const path = `${store.basedir}/tag:daily`;
  assertFailure(await extract([path, store.file("not-made")], options), {
    code: STORE,
    says: [
      `Cannot open revision "${path}": it means 2 revisions, the last of them is "last(tag:daily)"`,
      'candidate: 2026-01-10 07:00 Oldest "daily" "weekly"',
      'candidate: 2026-01-11 07:00 Middle "daily"',
    ],
  });
  const outcome = await extract(["--json", "-r", "all", store.basedir, store.file("not-made")]);
  const error = parseJsonLines(outcome.stderr).at(-1)!;
  assertEquals([outcome.code, error.code, error.candidateCount], [STORE, "revision", 4]);
  assertEquals(error.candidates[0], {
    name: "Oldest",
    time: "2026-01-10T12:00:00.000Z",
    tags: ["daily", "weekly"],
  });
  assertEquals(store.namesBeside(), before);
});

Deno.test("Hostile tags among the candidates send nothing to the terminal", async () => {
  const outcome = await extract(["-r", "all", store.basedir]);
  const lines = outcome.stderr.trimEnd().split("\n");
  lines.forEach(assertPrintable);
  assertEquals(lines.length, 5);
  assertMatch(lines[3]!, /candidate: .* Doubtful "\\x1b\]0;title\\x07\\u\{202e\}"$/);
});

const HINT = '; "backy-extract list DIR" shows what there is';

const NOTHING: readonly [args: readonly string[], code: number, state: string | RegExp][] = [
  [["-r", "tag:none", "DIR"], STORE, `"tag:none" in "DIR": there is no such revision${HINT}`],
  [["DIR/tag:none"], STORE, `"DIR/tag:none": there is no such revision${HINT}`],
  [["-r", "4", "DIR"], STORE, `"4" in "DIR": there is no revision "4", the oldest is 3${HINT}`],
  [
    ["-r", "2026-01-09", "DIR"],
    STORE,
    `"2026-01-09" in "DIR": there is no revision as old as that date${HINT}`,
  ],
  ...["last(not(typo))", "typo,first", "clean & typo", "first..typo", "last(all,typo)"].map((
    spec,
  ): [string[], number, string] => [
    ["-r", spec, "DIR"],
    STORE,
    `"${spec}" in "DIR": there is no revision "typo"${HINT}`,
  ]),
  [
    ["DIR/99,0"],
    STORE,
    `"DIR/99,0": there is no revision "99", the oldest is 3${HINT}`,
  ],
  [
    ["-r", "last(tag:none)", "DIR"],
    STORE,
    `"last(tag:none)" in "DIR": there is no revision that "last(...)" could choose from${HINT}`,
  ],
  [["-r", "Nobody", "DIR"], STORE, `"Nobody" in "DIR": there is no such revision${HINT}`],
  [["DIR/Nobody"], STORE, `"DIR/Nobody": there is no such revision${HINT}`],
  [["DIR"], STORE, /^"DIR": it is a directory, name .* \(.*-r SPEC\); "backy-extract list DIR" /],
  [["-r", "last", "DIR/nowhere"], STORE, /^backup directory "DIR\/nowhere": /],
  [
    ["-r", "last", "DIR/Middle"],
    USAGE,
    /"DIR\/Middle" is not a directory; the backup directory is "DIR"$/,
  ],
  [["-r", "last(", "DIR"], USAGE, /revision spec "last\("/],
  [["DIR/2026-13-45"], USAGE, /revision spec "2026-13-45"/],
  [["-r", "", "DIR"], USAGE, 'option "--revision": "" is empty'],
];

Deno.test("A spec that matches nothing or is malformed gives one line, and nothing is created", async (t) => {
  const before = store.namesBeside();
  for (const [args, code, state] of NOTHING) {
    await t.step(args.join(" "), async () => {
      const real = args.map((arg) => arg.replace("DIR", store.basedir));
      const { stderr, ...outcome } = await extract([...real, store.file("not-made")]);
      assertEquals(outcome.code, code, stderr);
      const said = stderr.replaceAll(store.basedir, "DIR")
        .replace(/^backy-extract: Cannot (open|use|understand|look for) (revision (?=["]))?/, "");
      if (typeof state === "string") assertEquals(said, `${state}\n`);
      else assertMatch(said.trimEnd(), state);
      assertEquals(stderr.split("\n").length, 2, stderr);
    });
  }
  assertEquals(store.namesBeside(), before);
});

Deno.test("A revision without a time is never restored by its place in the order, only by its name", async () => {
  const path = `${store.basedir}/Undated`;
  const { image } = store.add("Undated", [sampleBytes(5, 1000)], { timestamp: "null" });
  // The newest file of all.
  Deno.utimeSync(`${path}.rev`, 4_000_000_000, 4_000_000_000);
  const passedOver = 'warning: 1 revision was passed over because its time is unknown: "Undated"';
  const choices: readonly [spec: string, name: string, warned: boolean][] = [
    ["last(clean)", "Doubtful", true],
    ["first", "Oldest", true],
    ["3", "Oldest", true],
    ["last(tag:daily)", "Middle", true],
    ["last(tag:weekly)", "Oldest", false],
    ["2026-01-11T13:00Z", "Middle", true],
  ];
  try {
    for (const [spec, name, warned] of choices) {
      const outcome = await extract(["-q", "-r", spec, store.basedir]);
      assertBytes(outcome.stdout, store.images.get(name)!);
      assertEquals(outcome.stderr.includes(passedOver), warned, spec);
    }
    for (const args of [[path], ["-r", "Undated", store.basedir]]) {
      const outcome = await extract(["-q", ...args]);
      assertSuccess(outcome);
      assertBytes(outcome.stdout, image);
    }
    assertFailure(await extract(["-r", "tag:daily", store.basedir, store.file("not-made")]), {
      code: STORE,
      says: [
        /: it means 3 revisions, the last of them is "last\(tag:daily\)"$/,
        'candidate: unknown Undated "daily"',
        /^candidate: .* Oldest "daily" "weekly"$/,
        /^candidate: .* Middle "daily"$/,
      ],
    });
  } finally {
    for (const suffix of ["", ".rev"]) Deno.removeSync(path + suffix);
  }
});

Deno.test("A revision that is unfinished or distrusted gets a warning when named by its path, quiet or not", async () => {
  for (const [name, warning] of [["Newest", UNFINISHED], ["Doubtful", DISTRUSTED]] as const) {
    assertSuccess(await extract(["-q", `${store.basedir}/${name}`]), { says: [warning] });
  }
});

Deno.test("The newest revision is on another server: it is named, not another one restored", async () => {
  store.add("Remote", [], { timestamp: "2026-01-14 12:00:00+00:00", server: "backup02" });
  Deno.removeSync(`${store.basedir}/Remote`);
  try {
    assertFailure(await extract([`${store.basedir}/last`, store.file("not-made")]), {
      code: STORE,
      says: [
        /: it is "Remote": it lives on server "backup02", .*; restore it there; last\(local\) skips/,
      ],
    });
  } finally {
    Deno.removeSync(`${store.basedir}/Remote.rev`);
  }
});

Deno.test("With a spec, metadata that cannot be read is left out with a warning", async () => {
  Deno.writeTextFileSync(`${store.basedir}/Broken.rev`, "uuid: [\x1b");
  try {
    const outcome = await extract(["-q", "-r", "first", store.basedir]);
    assertMatch(
      outcome.stderr,
      /^backy-extract: warning: 1 revision could not be read and was left out: "Broken" \(.*\)\n$/,
    );
    assertBytes(outcome.stdout, store.images.get("Oldest")!);
  } finally {
    Deno.removeSync(`${store.basedir}/Broken.rev`);
  }
});
