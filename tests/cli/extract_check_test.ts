import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import { runSync } from "../support/programs.ts";
import { chunkFile, sampleBytes, writeMap } from "../support/store_builder.ts";
import { askUntilSaid } from "../support/tool.ts";
import {
  assertFailure,
  assertSuccess,
  extract,
  messagesOf,
  parseJsonLines,
  startExtract,
} from "./harness.ts";
import { SampleStore, Seq } from "./sample_store.ts";

const DATA = 3;
const SHORT_BYTES = 777;

let store: SampleStore;
/** Shares FIRST with the sample and has another chunk. */
let ownId: string;
Deno.test.beforeAll(() => {
  store = new SampleStore();
  const { ids } = store.add("Other", ["absent", sampleBytes(1), sampleBytes(90, SHORT_BYTES)]);
  ownId = ids[2]!;
});
Deno.test.afterAll(() => store[Symbol.dispose]());

/** Cells of the two tables, of ranges and of revisions, without their titles. */
function tablesOf(stdout: Uint8Array): string[][][] {
  return new TextDecoder().decode(stdout).trimEnd().split("\n\n").map((table) =>
    table.split("\n").slice(1).map((line) => line.trim().split(/ {2,}/))
  );
}

function corrupt(path: string, content: Uint8Array<ArrayBuffer>): void {
  content[content.length >> 1]! ^= 0x10;
  Deno.writeFileSync(path, content);
}

Deno.test("check of good revisions says so, prints nothing to standard output and changes nothing", async () => {
  const snapshot = () => runSync("find", store.basedir, "-printf", "%p %s %T@ %m\n");
  const before = snapshot();
  const outcome = await extract(["check", "-t2", store.basedir]);
  assertSuccess(outcome);
  assertEquals(outcome.stdout.length, 0);
  const lines = outcome.stderr.trimEnd().split("\n");
  assertEquals(lines.slice(0, -2), [
    "Obtaining purge lock",
    "Loading revision maps",
    "Checking 5 distinct chunks (20 MiB) of 2 revisions with 2 workers",
    // One is shorter than a chunk in full.
    "Looking up the places of chunks",
  ]);
  assertMatch(
    lines.at(-2)!,
    /^Checked 5 distinct chunks of 2 revisions in \S+ s \(\S+ MiB read, \S+ \wiB\/s\): all are intact$/,
  );
  assertEquals(lines.at(-1), `Intact in "${store.basedir}": Other, SampleRevision`);
  assertEquals(snapshot(), before);
  const quiet = await extract(["check", "-q", store.revision.path]);
  assertEquals([quiet.code, quiet.stderr, quiet.stdout.length], [0, "", 0]);
});

Deno.test("check reads each distinct chunk once, whatever revisions share it and however often they are named", async () => {
  const fileBytes = [0, 3, 5, 8].map((seq) => Deno.statSync(store.chunkFileAt(seq)).size);
  const sampleFileBytes = fileBytes.reduce((sum, bytes) => sum + bytes, 0);
  const otherFileBytes = Deno.statSync(chunkFile(store.basedir, ownId)).size;
  const { path } = store.revision;
  const cases: [args: string[], revisions: number, chunks: number, bytes: number][] = [
    [[path], 1, 4, sampleFileBytes],
    [[path, path, `${store.basedir}/last`], 1, 4, sampleFileBytes],
    [[path, `${store.basedir}/Other`], 2, 5, sampleFileBytes + otherFileBytes],
    [["-r", "all", store.basedir], 2, 5, sampleFileBytes + otherFileBytes],
    [[`${store.basedir}/Other`], 1, 2, fileBytes[0]! + otherFileBytes],
  ];
  for (const [args, revisions, chunks, readBytes] of cases) {
    const { code, stderr } = await extract(["check", "--json", ...args]);
    const summary = parseJsonLines(stderr).at(-1)!;
    assertEquals([code, summary.type, summary.damagedChunks], [0, "summary", 0], stderr);
    assertEquals(
      [summary.revisions, summary.distinctChunks, summary.checkedChunks, summary.readBytes],
      [revisions, chunks, chunks, readBytes],
    );
    assert(summary.decodedBytes > CHUNK_BYTES, stderr);
  }
});

Deno.test("check prints each damaged range of each revision as a table: exit 3", async () => {
  await store.withDamage(store.chunkFileAt(Seq.FIRST), corrupt, async () => {
    await store.withDamage(store.chunkFileAt(Seq.LAST), () => {}, async () => {
      const outcome = await extract(["check", store.basedir]);
      const [first, last] = [store.idAt(Seq.FIRST), store.idAt(Seq.LAST)];
      const lastOffset = String(Seq.LAST * CHUNK_BYTES);
      const length = String(CHUNK_BYTES);
      const pathOf = (seq: number) => store.chunkFileAt(seq);
      const [rows = [], states] = tablesOf(outcome.stdout);
      const [{ 3: reason = "" } = []] = rows;
      assertMatch(reason, /^(wrong content|bad encoding|wrong size)$/);
      assertEquals(rows, [
        ["Other", length, length, reason, pathOf(Seq.FIRST)],
        ["SampleRevision", "0", length, reason, pathOf(Seq.FIRST)],
        [
          ...["SampleRevision", String(Seq.REPEATED * CHUNK_BYTES), length],
          ...[reason, pathOf(Seq.FIRST)],
        ],
        [
          ...["SampleRevision", lastOffset, String(store.image.length - Number(lastOffset))],
          ...["missing", pathOf(Seq.LAST)],
        ],
      ]);
      assertEquals(states, [
        ["Other", "damaged", "4 MiB", "8.0 MiB", "49.9%", "1", `${store.basedir}/Other`],
        [
          ...["SampleRevision", "damaged", "9.0 MiB", "33.0 MiB", "27.2%", "2"],
          store.revision.path,
        ],
      ]);
      assertEquals(outcome.code, DATA);
      assertMatch(
        outcome.stderr,
        /: 2 chunks damaged, 0 of 2 revisions intact\nDamaged in ".*": .*\n$/,
      );
      // Places in no image are not spoken of.
      const warnings = messagesOf(outcome.stderr).sort();
      assertEquals(warnings.length, 2, outcome.stderr);
      assertMatch(warnings[0]!, new RegExp(`^warning: Cannot read chunk "${last}": there is no`));
      assertMatch(warnings[1]!, new RegExp(`^warning: Cannot use chunk "${first}": `));
    });
  });
});

Deno.test("check --json prints an object for each damaged range, and its report beside", async () => {
  await store.withDamage(chunkFile(store.basedir, ownId), () => {}, async () => {
    const { code, stdout, stderr } = await extract(["check", "--json", store.basedir]);
    assertEquals(code, DATA);
    const [damage, ...revisions] = parseJsonLines(stdout);
    assertEquals(revisions.map(({ revision, state, path }) => [revision, state, path]), [
      ["Other", "damaged", `${store.basedir}/Other`],
      ["SampleRevision", "intact", store.revision.path],
    ]);
    const { damagedBytes, damagedChunks, damagedRanges, sizeBytes, reason } = revisions[0]!;
    assertEquals([damagedBytes, damagedChunks, damagedRanges], [SHORT_BYTES, 1, 1]);
    assertEquals([sizeBytes, reason], [2 * CHUNK_BYTES + SHORT_BYTES, null]);
    const { detail, ...fields } = damage!;
    assertEquals<unknown>(fields, {
      type: "damage",
      basedir: store.basedir,
      revision: "Other",
      chunkId: ownId,
      offset: 2 * CHUNK_BYTES,
      length: SHORT_BYTES,
      reason: "missing",
      path: chunkFile(store.basedir, ownId),
    });
    assertMatch(detail, /^Cannot read chunk "[0-9a-f]{32}": there is no file ".*"$/);
    const lines = parseJsonLines(stderr);
    const names = lines.map(({ type, step }) => type === "step" ? step : type);
    assertEquals(names.filter((name) => name !== "progress"), [
      ...["start", "lock", "read-map", "check", "warning", "find-places", "summary"],
    ]);
    assertEquals(lines.at(-1)!.damagedChunks, 1);
  });
});

Deno.test("check does not report damage that affects none of the revisions", async () => {
  await store.withDamage(chunkFile(store.basedir, ownId), corrupt, async () => {
    assertSuccess(await extract(["check", store.revision.path]));
  });
});

Deno.test("check finds a chunk that is too short for one of its places, and only for that", async () => {
  const short = sampleBytes(91, 5000);
  const { path, ids } = store.add("ShortTwice", [short, short], { size: CHUNK_BYTES + 5000 });
  const { code, stdout } = await extract(["check", path]);
  const [rows] = tablesOf(stdout);
  assertEquals(rows, [
    ["ShortTwice", "0", String(CHUNK_BYTES), "wrong size", chunkFile(store.basedir, ids[0]!)],
  ]);
  assertEquals(code, DATA);
  Deno.removeSync(path);
  Deno.removeSync(`${path}.rev`);
});

Deno.test("check says that a revision without chunks is all zeros", async () => {
  const { path } = store.add("Zeros", ["absent", "absent"]);
  for (const args of [[path], ["--sample=1", path]]) {
    const { code, stderr } = await extract(["check", ...args]);
    assertEquals(code, 0, stderr);
    assertMatch(stderr, /^Checked 0 distinct .*: nothing but zeros, which need no chunk$/m);
  }
  for (const name of ["Zeros", "Zeros.rev"]) Deno.removeSync(`${store.basedir}/${name}`);
});

Deno.test("check --sample checks that share of the chunks, at least one", async () => {
  const cases = [["100", 5], ["100%", 5], ["60", 3], ["50%", 3], ["1", 1], ["0.001", 1]] as const;
  for (const [percent, chunks] of cases) {
    const args = ["check", "--json", "--sample", percent, store.basedir];
    const { code, stderr } = await extract(args);
    const { distinctChunks, checkedChunks } = parseJsonLines(stderr).at(-1)!;
    assertEquals([code, distinctChunks, checkedChunks], [0, 5, chunks], stderr);
  }
  const { stderr } = await extract(["check", "--sample=60", store.basedir]);
  assertMatch(
    stderr,
    /^Checked 3 of 5 distinct chunks of 2 revisions in .*: no damage found in the sample$/m,
  );
  assert(!stderr.includes("ntact"), stderr);
});

Deno.test("check of two backup directories names the directory of each finding", async () => {
  using other = new SampleStore();
  Deno.removeSync(other.chunkFileAt(Seq.UNALIGNED_ZEROS));
  const { code, stdout } = await extract(["check", "--json", store.basedir, other.revision.path]);
  assertEquals(code, DATA);
  const lines = parseJsonLines(stdout);
  assertEquals(lines.map(({ type, basedir, revision }) => [type, basedir, revision]), [
    ["damage", other.basedir, "SampleRevision"],
    ["revision", store.basedir, "Other"],
    ["revision", store.basedir, "SampleRevision"],
    ["revision", other.basedir, "SampleRevision"],
  ]);
});

const MISTAKES: readonly [args: readonly string[], code: number, message: RegExp][] = [
  [[], 2, /^Cannot check: the argument REVISION is missing \(see --help\)$/],
  [["DIR", ""], 2, /^Cannot check: the argument REVISION is empty$/],
  [["--sample=0", "DIR"], 2, /"0" is not a percentage above 0 and up to 100$/],
  [["--sample=101%", "DIR"], 2, /"101%" is not a percentage above 0 and up to 100$/],
  [["-t256", "DIR"], 2, /^Cannot use option "--threads": /],
  [["--bwlimit=0", "DIR"], 2, /^Cannot use option "--bwlimit": /],
  [["--update", "DIR"], 2, /^Cannot use option "--update": no such option/],
  [["-r", "last", "DIR/SampleRevision"], 2, /is not a directory; the backup directory is ".*"$/],
  [["DIR", "DIR/none"], 10, /^Cannot open revision "DIR\/none": there is no such revision; "backy/],
  [
    ["-r", "tag:none", "DIR"],
    10,
    /: there is no such revision; "backy-extract list DIR" shows what/,
  ],
  [
    ["DIR/chunks"],
    10,
    /^Cannot open backup directory "DIR\/chunks": there is no "chunks\/store" in it/,
  ],
];

Deno.test("check says in one line what is wrong with its arguments, before it reads a chunk", async () => {
  for (const [args, code, message] of MISTAKES) {
    const outcome = await extract(["check", ...args.map((a) => a.replace("DIR", store.basedir))]);
    const stderr = outcome.stderr.replaceAll(store.basedir, "DIR");
    assertFailure({ ...outcome, stderr }, { code, says: [message] });
    assertEquals([outcome.stdout.length, stderr.split("\n").length], [0, 2], stderr);
  }
});

Deno.test("check shows how far it is: regularly in JSON, and when SIGUSR1 asks", async () => {
  await using tool = startExtract(["check", "-q", "-t1", "--bwlimit=800KiB", store.revision.path]);
  const status = /^Checking: [1-9]\d*\.\d%, \d+ MiB of 16 MiB, .*\/s, \S+ elapsed, \S+ left\n$/m;
  await askUntilSaid(tool, status);
  tool.signal("SIGINT");
  assertFailure(await tool.outcome(), {
    code: 130,
    says: [
      "Interrupted by SIGINT",
      /^Checked [1-3] of 4 distinct chunks of 1 revision in .*: no damage found so far$/,
      `Not fully checked in "${store.basedir}": SampleRevision`,
    ],
  });

  const { stderr } = await extract([
    "check",
    "--json",
    "-t1",
    "--bwlimit=500KiB",
    store.revision.path,
  ]);
  const done = parseJsonLines(stderr).filter(({ type, step }) =>
    type === "progress" && step === "check"
  )
    .map(({ doneBytes, totalBytes }) => {
      assertEquals(totalBytes, 4 * CHUNK_BYTES);
      return doneBytes;
    });
  assert(done.length >= 3 && done.some((bytes) => bytes > 0 && bytes < 4 * CHUNK_BYTES), `${done}`);
});

Deno.test("check goes on after an unreadable map, and names what is intact: exit 3", async () => {
  const { path } = store.add("BadMap", []);
  Deno.writeTextFileSync(path, '{"mapping": {');
  try {
    const outcome = await extract(["check", store.basedir]);
    assertEquals(outcome.code, DATA, outcome.stderr);
    const [states] = tablesOf(outcome.stdout);
    assertEquals(states?.map(([name, state]) => [name, state]), [
      ["BadMap", "map unreadable"],
      ["Other", "intact"],
      ["SampleRevision", "intact"],
    ]);
    assertMatch(
      outcome.stderr,
      /^backy-extract: warning: Cannot read revision map "\S+\/BadMap": at byte 13: .*$/m,
    );
    const directory = `in "${store.basedir}"`;
    assertEquals(outcome.stderr.trimEnd().split("\n").slice(-3), [
      outcome.stderr.match(/^Checked 5 distinct .*: 1 map unreadable, 2 of 3 revisions intact$/m)
        ?.[0]!,
      `Map unreadable ${directory}: BadMap`,
      `Intact ${directory}: Other, SampleRevision`,
    ]);
    const alone = await extract(["check", "--json", path]);
    assertEquals(alone.code, DATA, alone.stderr);
    assertEquals(parseJsonLines(alone.stdout).map(({ state }) => state), ["bad-map"]);
  } finally {
    Deno.removeSync(path);
    Deno.removeSync(`${path}.rev`);
  }
});

Deno.test("An interrupted check prints the damage that it has found", async () => {
  await store.withDamage(store.chunkFileAt(Seq.FIRST), () => {}, async () => {
    // A missing chunk takes no time, the first existing one takes minutes.
    const args = ["check", "-t1", "--bwlimit=10KiB", store.revision.path, `${store.basedir}/Other`];
    await using tool = startExtract(args);
    await tool.untilSaid("Cannot read chunk");
    tool.signal("SIGTERM");
    const outcome = await tool.outcome();
    assertEquals(outcome.code, 143, outcome.stderr);
    const [rows, states] = tablesOf(outcome.stdout);
    assertEquals(rows?.map(([name, offset]) => [name, offset]), [
      ["Other", String(CHUNK_BYTES)],
      ["SampleRevision", "0"],
      ["SampleRevision", String(Seq.REPEATED * CHUNK_BYTES)],
    ]);
    assertEquals(states?.map(([name, state]) => [name, state]), [
      ["SampleRevision", "damaged"],
      ["Other", "damaged"],
    ]);
    assertMatch(
      outcome.stderr,
      /^backy-extract: Checked [12] of 5 distinct .*: 1 chunk damaged, /m,
    );
  });
});

Deno.test("check is silent about a reader that has gone; its exit code says what it found", async () => {
  await store.withDamage(store.chunkFileAt(Seq.FIRST), () => {}, async () => {
    for (const json of [[], ["--json"]]) {
      const options = { shell: '"$@" | true; exit ${PIPESTATUS[0]}' };
      const { code, stderr } = await extract(["check", "-q", ...json, store.basedir], options);
      assertEquals(code, DATA, stderr);
      assert(!/standard output|EPIPE|Broken/.test(stderr), stderr);
    }
  });
});

Deno.test("check obeys a signal while it reads maps, and SIGUSR1 prints its progress", async () => {
  using many = new SampleStore();
  // 30 maps of 10 MB: some seconds of reading.
  const ids = Array.from({ length: 200_000 }, (_, seq) => seq.toString(16).padStart(32, "1"));
  many.add("M0", []);
  writeMap(many.basedir, "M0", { ids, size: ids.length * CHUNK_BYTES });
  const metadata = Deno.readTextFileSync(`${many.basedir}/M0.rev`);
  for (let at = 1; at < 30; at++) {
    Deno.linkSync(`${many.basedir}/M0`, `${many.basedir}/M${at}`);
    Deno.writeTextFileSync(`${many.basedir}/M${at}.rev`, metadata.replace("M0", `M${at}`));
  }
  await using tool = startExtract(["check", many.basedir]);
  await tool.untilSaid("Loading revision maps");
  await askUntilSaid(tool, /^Loading revision maps: \d+\.\d%, .* of 2\d\d MiB, /m);
  tool.signal("SIGTERM");
  const { code, stderr, stdout } = await tool.outcome();
  assertEquals([code, stdout.length], [143, 0]);
  // Without that the signal would have been heard when all was read.
  assert(!stderr.includes("Checking"), stderr);
  assertEquals(messagesOf(stderr), ["Interrupted by SIGTERM"]);
});
