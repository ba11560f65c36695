import { assert, assertEquals, assertMatch } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { makeFifo, openIdleReader } from "../support/machine.ts";
import { runSync } from "../support/programs.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { askUntilSaid, type Outcome } from "../support/tool.ts";
import {
  assertFailure,
  assertPrintable,
  extract,
  parseJsonLines,
  startExtract,
} from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

const USAGE = 2;
const STORE = 10;
const UUID = "Nym6uacWoXGb8VnbksM3yH";

let store: SampleStore;
Deno.test.beforeAll(() => {
  store = new SampleStore();
  store.add(UUID, [sampleBytes(1), "absent", sampleBytes(9, 777)], {
    timestamp: "2026-01-12 09:30:00+00:00",
    tags: ["daily", "weekly"],
    trust: "verified",
  });
  store.add("Unfinished", ["zero"], {
    timestamp: "2026-01-13 10:00:00+00:00",
    tags: ['"\\e[2J\\x9b\\u2028"'],
    isComplete: false,
  });
  store.add("Remote", [], { timestamp: "2026-01-14 10:00:00+00:00", server: '"\\e[31mb2"' });
  Deno.removeSync(`${store.basedir}/Remote`);
  const metadata = `${store.basedir}/Remote.rev`;
  // The builder puts servers between apostrophes, in which nothing is an escape.
  const text = Deno.readTextFileSync(metadata).replace(`'"\\e[31mb2"'`, '"\\e[31mb2"');
  Deno.writeTextFileSync(metadata, text);
});
Deno.test.afterAll(() => store[Symbol.dispose]());

function textOf({ code, stdout, stderr }: Outcome): string {
  assertEquals([code, stderr], [0, ""]);
  return new TextDecoder().decode(stdout);
}

Deno.test("list shows each revision in a line, oldest first, with dates of the zone", async () => {
  const options = { env: { TZ: "Europe/Berlin" } };
  assertEquals(
    textOf(await extract(["list", store.basedir], options)).split("\n"),
    [
      "Date (Europe/Berlin)  Revision                    Size  Chunks  Trust     Note           Tags",
      "2026-01-11 18:45      SampleRevision          33.0 MiB       4  trusted                  daily",
      `2026-01-12 10:30      ${UUID}   8.0 MiB       2  verified                 daily,weekly`,
      "2026-01-13 11:00      Unfinished                 4 MiB       0  trusted   unfinished     \\x1b[2J\\x9b\\u{2028}",
      '2026-01-14 11:00      Remote                         -       -  trusted   on server "?"  daily',
      "4 revisions, 1 of them not usable here",
      "",
    ],
  );
});

Deno.test("list DIR SPEC shows the revisions that match, in the spec's order", async () => {
  const listed = async (spec: string) => {
    const text = textOf(await extract(["list", store.basedir, spec]));
    return text.split("\n").slice(1, -2).map((line) => line.split(/ {2,}/)[1]);
  };
  assertEquals(await listed("tag:daily"), ["SampleRevision", UUID, "Remote"]);
  assertEquals(await listed("trust:verified"), [UUID]);
  assertEquals(await listed("last(tag:weekly), first"), [UUID, "SampleRevision"]);
  assertEquals(await listed("2026-01-12..2026-01-14"), [UUID, "Unfinished"]);
});

Deno.test("list DIR SPEC prints nothing, without complaint, if the spec is an empty set", async () => {
  for (const spec of ["tag:none", "server:other & clean", "not(all)", "2001-01-01..2001-12-31"]) {
    for (const json of [[], ["--json"]]) {
      assertEquals(textOf(await extract(["list", ...json, store.basedir, spec])), "", spec);
    }
  }
});

Deno.test("list shows that the time of a revision is unknown, before those that have one", async () => {
  const path = `${store.basedir}/Undated`;
  Deno.writeTextFileSync(path, '{"mapping": {}, "size": 4194304}');
  Deno.writeTextFileSync(`${path}.rev`, "stats: {duration: 1}\ntimestamp: null\nuuid: Undated\n");
  try {
    const lines = textOf(await extract(["list", store.basedir])).split("\n");
    assertMatch(lines[1]!, /^unknown {2,}Undated /);
    const [undated, dated] = parseJsonLines(
      textOf(await extract(["list", "--json", store.basedir])),
    );
    assertEquals([undated!.uuid, undated!.time], ["Undated", null]);
    assertEquals(new Date(dated!.time).getUTCFullYear(), 2026);
    const { code, stdout, stderr } = await extract(["list", store.basedir, "last(clean)"]);
    assertEquals([code, new TextDecoder().decode(stdout).includes(UUID)], [0, false]);
    assertEquals(
      stderr,
      'backy-extract: warning: 1 revision was passed over because its time is unknown: "Undated"\n',
    );
  } finally {
    for (const suffix of ["", ".rev"]) Deno.removeSync(path + suffix);
  }
});

Deno.test("list --json prints one object per line, with all that is known, sizes in bytes", async () => {
  const { code, stdout, stderr } = await extract(["list", "--json", store.basedir]);
  assertEquals([code, stderr], [0, ""]);
  const objects = parseJsonLines(stdout);
  assertEquals(objects.map(({ type, uuid, state }) => [type, uuid, state]), [
    ["revision", "SampleRevision", "usable"],
    ["revision", UUID, "usable"],
    ["revision", "Unfinished", "usable"],
    ["revision", "Remote", "remote"],
  ]);
  const { sizeBytes, distinctChunks, tags, trust, isComplete, time, server } = objects[1]!;
  assertEquals([sizeBytes, distinctChunks, tags], [8_389_385, 2, ["daily", "weekly"]]);
  assertEquals([trust, isComplete, server], ["verified", true, null]);
  assertEquals(new Date(time).toISOString(), "2026-01-12T09:30:00.000Z");
  assertEquals([objects[2]!.isComplete, objects[2]!.tags], [false, ["\x1b[2J\x9b\u2028"]]);
  assertEquals([objects[3]!.server, objects[3]!.sizeBytes], ["?", null]);
});

Deno.test("list takes no lock, waits for none, and changes nothing", async () => {
  const lock = Deno.openSync(`${store.basedir}/.purge`, { read: true, write: true });
  lock.lockSync(true);
  try {
    const snapshot = () => runSync("find", store.basedir, "-printf", "%p %s %T@ %m\n");
    const before = snapshot();
    textOf(await extract(["list", store.basedir]));
    assertEquals(snapshot(), before);
  } finally {
    lock.close();
  }
});

Deno.test("list warns of what cannot be read, on standard error only, and succeeds", async () => {
  Deno.writeTextFileSync(`${store.basedir}/BadMap`, "{");
  Deno.copyFileSync(`${store.basedir}/Unfinished.rev`, `${store.basedir}/BadMap.rev`);
  const metadata = Deno.readTextFileSync(`${store.basedir}/BadMap.rev`);
  Deno.writeTextFileSync(`${store.basedir}/BadMap.rev`, metadata.replace("Unfinished", "BadMap"));
  Deno.writeTextFileSync(`${store.basedir}/Broken\x1b.rev`, "[");
  try {
    for (const json of [[], ["--json"]]) {
      const { code, stdout, stderr } = await extract(["list", ...json, store.basedir]);
      assertEquals(code, 0);
      const lines = stderr.trimEnd().split("\n");
      [...lines, ...new TextDecoder().decode(stdout).trimEnd().split("\n")].forEach(
        assertPrintable,
      );
      assertEquals(lines.length, 2, stderr);
      assertMatch(lines[0]!, /^backy-extract: warning: Cannot read revision map ".*\/BadMap": /);
      assertMatch(lines[1]!, /^backy-extract: warning: skipped "Broken\\x1b": Cannot parse /);
    }
  } finally {
    for (const name of ["BadMap", "BadMap.rev", "Broken\x1b.rev"]) {
      Deno.removeSync(`${store.basedir}/${name}`);
    }
  }
});

const MISTAKES: readonly [args: readonly string[], code: number, message: string | RegExp][] = [
  [["list"], USAGE, "Cannot list: the argument DIR is missing (see --help)"],
  [["list", ""], USAGE, "Cannot list: the argument DIR is empty"],
  [["list", "DIR", ""], USAGE, "Cannot list: the argument SPEC is empty"],
  [["list", "a", "b", "c"], USAGE, /^Cannot use argument "c": only DIR and SPEC are expected /],
  [["list", "DIR", "-q"], USAGE, 'Cannot use option "-q": no such option (see --help)'],
  [["list", "DIR", "--json=1"], USAGE, 'Cannot use option "--json": it takes no value'],
  [["list", "DIR", "last(("], USAGE, /^Cannot understand revision spec "last\(\(": /],
  [
    ["list", "DIR", "last(not(typo))"],
    STORE,
    'Cannot open revision "last(not(typo))" in "DIR": there is no revision "typo"; ' +
    '"backy-extract list DIR" shows what there is',
  ],
  [
    ["list", "DIR/none"],
    STORE,
    'Cannot list backup directory "DIR/none": No such file or directory (ENOENT); ' +
    '"backy-extract list DIR" shows what there is',
  ],
  // As it is typed for a restore, where there is a link or none.
  [["list", "DIR/last"], STORE, /ENOTDIR\); for a revision, use "backy-extract list DIR last"$/],
  [
    ["list", "DIR/last(clean)"],
    STORE,
    /ENOENT\); for a revision, use "backy-extract list DIR 'last\(clean\)'"$/,
  ],
  [
    ["list", "DIR/SampleRevision"],
    STORE,
    /; for a revision, use "backy-extract list DIR SampleRevision"$/,
  ],
  [["list", "DIR/.."], STORE, /no "chunks\/store" in it; .* below it: "DIR\/..\/vm0"$/],
  [
    ["list", "DIR/chunks"],
    STORE,
    /^Cannot open backup directory "DIR\/chunks": there is no "chunks\/store" in it/,
  ],
  [["list", "DIR/.purge"], STORE, /^Cannot list backup directory "DIR\/.purge": Not a directory/],
];

Deno.test("list says in one line what is wrong with its arguments, with the right exit code", async () => {
  for (const [args, code, message] of MISTAKES) {
    const outcome = await extract(args.map((arg) => arg.replace("DIR", store.basedir)));
    const stderr = outcome.stderr.replaceAll(store.basedir, "DIR");
    assertFailure({ ...outcome, stderr }, { code, says: [message] });
    assertEquals([outcome.stdout.length, stderr.split("\n").length], [0, 2], stderr);
  }
});

Deno.test("list fails in one line when its output cannot be written", async () => {
  assertFailure(await extract(["list", store.basedir], { shell: 'exec "$@" >/dev/full' }), {
    code: 1,
    says: ["Cannot write standard output: No space left on device (ENOSPC)"],
  });
});

Deno.test("list ends silently with 0 when its reader has gone, and so does help", async () => {
  for (const args of [["list", store.basedir], ["list", "--json", store.basedir], ["--help"]]) {
    const options = { shell: '"$@" | true; exit ${PIPESTATUS[0]}' };
    const { code, stderr } = await extract(args, options);
    assertEquals([code, stderr], [0, ""]);
  }
});

Deno.test("list ends at once at SIGTERM while nobody reads it, and answers SIGUSR1 before", async () => {
  const fifo = makeFifo(store.file("list-fifo"));
  using _reader = openIdleReader(fifo);
  using big = new SampleStore();
  // More than a pipe takes.
  const metadata = (uuid: string) => `uuid: ${uuid}\nserver: other\ntags: [${"x".repeat(400)}]\n`;
  for (let at = 0; at < 300; at++) {
    Deno.writeTextFileSync(`${big.basedir}/R${at}.rev`, metadata(`R${at}`));
  }
  const options = { shell: 'exec "$@" >"$OUT"', env: { OUT: fifo } };
  await using tool = startExtract(["list", "--json", big.basedir], options);
  await askUntilSaid(tool, /^Reading revision maps: |^No step is under way/m);
  tool.signal("SIGTERM");
  const { code } = await tool.outcome();
  assertEquals(code, 143);
});

Deno.test("list and check are commands only as the first argument; a revision of that name is ./list", async () => {
  const cwd = store.basedir;
  for (const name of ["list", "check"]) {
    const { image } = store.add(name, [sampleBytes(30, 99)]);
    try {
      for (const args of [[`./${name}`, "-q"], ["-q", "--", name], [`${cwd}/${name}`]]) {
        assertBytes((await extract(args, { cwd })).stdout, image);
      }
      const { code, stderr } = await extract([name], { cwd });
      assertEquals(code, USAGE);
      assertMatch(stderr, / the argument (DIR|REVISION) is missing \(see --help\)\n$/);
    } finally {
      for (const path of [name, `${name}.rev`]) Deno.removeSync(`${cwd}/${path}`);
    }
  }
});

Deno.test("list --help and check --help show their own options, whatever else is given", async () => {
  for (const [command, usage] of [["list", "DIR [SPEC]"], ["check", "REVISION..."]] as const) {
    const text = textOf(await extract([command, "--help", "--no-such-option"]));
    assert(text.startsWith(`Usage: backy-extract ${command} [OPTIONS] ${usage}\n`), text);
    assert(!text.includes("--sparse"), text);
    assert(text.split("\n").every((line) => line.length <= 80), text);
    assertMatch(textOf(await extract([command, "-V"])), /^backy-extract \d+\.\d+\.\d+\n$/);
  }
});
