import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { EXIT_CODE_TABLE } from "../../lib/cli/exit_code.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { askUntilSaid, type Outcome, type RunOptions } from "../support/tool.ts";
import {
  assertPrintable,
  extract,
  type JsonLine,
  parseJsonLines,
  startExtract,
} from "./harness.ts";
import { SampleStore, Seq } from "./sample_store.ts";

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

type Test = (value: unknown) => boolean;
type Shape = Readonly<Record<string, Test>>;

const isText: Test = (value) => typeof value === "string" && value !== "";
const isFlag: Test = (value) => typeof value === "boolean";
const isNumber: Test = (value) => typeof value === "number" && value >= 0;
const isCount: Test = (value) => Number.isSafeInteger(value) && isNumber(value);
const isChunkId: Test = (value) => typeof value === "string" && /^[0-9a-f]{32}$/.test(value);
const orNull = (test: Test): Test => (value) => value === null || test(value);
const oneOf = (...values: unknown[]): Test => (value) => values.includes(value);
const arrayOf = (test: Test): Test => (value) => Array.isArray(value) && value.every(test);
const shaped = (shape: Shape): Test => (value) => faultOf(value, shape) === null;

/** Says what of an object is not as documented; `null` if all is. */
function faultOf(value: unknown, shape: Shape): string | null {
  if (typeof value !== "object" || value === null) return "it is no object";
  for (const [name, test] of Object.entries(shape)) {
    if (!(name in value)) return `"${name}" is missing`;
    const field = (value as Record<string, unknown>)[name];
    if (!test(field)) return `"${name}" is ${JSON.stringify(field)}`;
  }
  const unknown = Object.keys(value).find((name) => !(name in shape));
  return unknown === undefined ? null : `"${unknown}" is not documented`;
}

// As the head of lib/cli/json_reporter.ts says.
const REASON = oneOf("missing", "header", "encoding", "size", "hash");
const EXTENT = shaped({ start: isCount, end: isCount, targetStart: isCount });
const PLAN: Shape = {
  imageBytes: isCount,
  extent: EXTENT,
  dataSeqs: isCount,
  dataBytes: isCount,
  zeroSeqs: isCount,
  zeroBytes: isCount,
  keptSeqs: isCount,
  keptBytes: isCount,
  distinctChunks: isCount,
  distinctBytes: isCount,
};
const FOUND: Shape = {
  readBytes: isCount,
  elapsedMs: isNumber,
  badRanges: arrayOf(
    shaped({
      offset: isCount,
      length: isCount,
      chunkId: isChunkId,
      reason: REASON,
      detail: isText,
    }),
  ),
  badRangeCount: isCount,
  badBytes: isCount,
  badChunks: isCount,
  lentChunks: arrayOf(shaped({ dir: isText, chunks: isCount })),
};
const SUMMARIES: Readonly<Record<string, Shape>> = {
  restore: {
    ...PLAN,
    ...FOUND,
    decodedBytes: isCount,
    writtenBytes: isCount,
    sameBytes: isCount,
    rewrittenBytes: orNull(isCount),
    isVerified: isFlag,
    isSynced: isFlag,
  },
  dryRun: { ...PLAN, ...FOUND, mayWriteLess: isFlag },
  check: {
    revisions: isCount,
    intactRevisions: isCount,
    damagedRevisions: isCount,
    distinctChunks: isCount,
    checkedChunks: isCount,
    damagedChunks: isCount,
    readBytes: isCount,
    decodedBytes: isCount,
    elapsedMs: isNumber,
  },
};
const WORK: Shape = { revision: isText, threads: isCount, ...PLAN };
const STEPS: Readonly<Record<string, Shape>> = {
  "lock": { basedir: isText },
  "read-map": {},
  "plan": {},
  "find-places": {},
  "flush": {},
  "restore": { ...WORK, target: isText },
  "update": { ...WORK, target: isText },
  "read-back": { ...WORK, target: isText },
  "survey": WORK,
  "check": {
    basedir: isText,
    revisions: isCount,
    threads: isCount,
    distinctChunks: isCount,
    distinctBytes: isCount,
  },
};
const START: Shape = {
  tool: oneOf("backy-extract"),
  version: isText,
  command: oneOf("restore", "check"),
  arguments: (value) => typeof value === "object",
};
const PROGRESS: Shape = {
  step: orNull(isText),
  doneBytes: orNull(isNumber),
  totalBytes: orNull(isCount),
  rateBytesPerSecond: orNull(isCount),
  etaSeconds: orNull(isNumber),
  elapsedSeconds: orNull(isNumber),
};
const CHUNK_ERROR: Shape = {
  chunkId: isChunkId,
  seqs: arrayOf(isCount),
  seqCount: isCount,
  path: isText,
};
const CANDIDATE = shaped({ name: isText, time: isText, tags: arrayOf(isText) });
const ERRORS: Readonly<Record<string, Shape>> = {
  "usage": {},
  "lock": {},
  "chunk-missing": CHUNK_ERROR,
  "chunk-corrupt": { ...CHUNK_ERROR, reason: REASON },
  "target": { path: isText, offset: orNull(isCount), isDisplaced: isFlag },
  "revision": { path: isText, candidates: arrayOf(CANDIDATE), candidateCount: isCount },
  "store-format": { path: isText },
  "interrupted": { signal: oneOf("SIGINT", "SIGTERM") },
};

/** The shape that a line must have, besides type and time. */
function shapeOf(line: JsonLine, summary: Shape): Shape | undefined {
  switch (line.type) {
    case "start":
      return START;
    case "step":
      return STEPS[line.step] && { step: isText, text: isText, ...STEPS[line.step] };
    case "progress":
      return PROGRESS;
    case "warning":
      return { message: isText };
    case "summary":
      return summary;
    case "error": {
      const head = { message: isText, code: isText, exitCode: isCount, notes: arrayOf(isText) };
      // Of a restore that failed, and not of arguments that were not understood.
      const target: Shape = "incompleteTarget" in line ? { incompleteTarget: orNull(isText) } : {};
      return ERRORS[line.code] && { ...head, ...target, ...ERRORS[line.code] };
    }
  }
  return undefined;
}

/** Asserts that standard error is lines of JSON as documented, and returns them. */
function assertDocumented({ code, stderr }: Outcome, summary = SUMMARIES.restore!): JsonLine[] {
  const lines = parseJsonLines(stderr);
  for (const line of lines) {
    const shape = shapeOf(line, summary);
    assert(shape, `not documented: ${JSON.stringify(line)}`);
    const isTime: Test = (value) => new Date(String(value)).toISOString() === value;
    const fault = faultOf(line, { type: isText, time: isTime, ...shape });
    assertEquals(fault, null, JSON.stringify(line));
  }
  const last = lines.at(-1)!;
  assertEquals(
    lines.filter(({ type }) => type === "error" || type === "summary").length,
    1,
    stderr,
  );
  assertMatch(last.type, /^(error|summary)$/);
  if (last.type === "error") {
    assertEquals(last.exitCode, code, stderr);
    assert(EXIT_CODE_TABLE.some((row) => row.code === code), stderr);
  }
  return lines;
}

const typesOf = (lines: readonly JsonLine[]) =>
  lines.filter(({ type }) => type !== "progress").map(({ type, step }) => step ?? type);

async function json(args: readonly string[], options?: RunOptions): Promise<Outcome> {
  return await extract(["--json", ...args], options);
}

Deno.test("--json reports a restore as documented, and the image goes where it should", async () => {
  const path = store.file("told");
  const outcome = await json(["-t3", "--also", store.basedir, store.revision.path, path]);
  assertEquals([outcome.code, outcome.stdout.length], [0, 0]);
  const lines = assertDocumented(outcome);
  assertEquals(typesOf(lines), [
    "start",
    "lock",
    "lock",
    "read-map",
    "restore",
    "flush",
    "summary",
  ]);
  assertEquals(lines[0]!.arguments, {
    revision: store.revision.path,
    output: path,
    create: false,
    spec: null,
    threads: 3,
    sparse: "auto",
    direct: "auto",
    update: false,
    base: null,
    verifyTarget: false,
    range: null,
    partition: null,
    sectorBytes: null,
    format: "raw",
    onError: "abort",
    also: [store.basedir],
    reportFile: null,
    verify: true,
    sync: true,
    lockTimeoutMs: null,
    readBytesPerSecond: null,
    force: false,
    dryRun: false,
  });
  const step = lines.find((line) => line.step === "restore")!;
  assertEquals([step.revision, step.target, step.threads, step.imageBytes], [
    ...["SampleRevision", path, 3, store.image.length],
  ]);
  const { dataSeqs, zeroSeqs, distinctChunks, badRanges, isSynced } = lines.at(-1)!;
  assertEquals([dataSeqs, zeroSeqs, distinctChunks, badRanges, isSynced], [6, 3, 4, [], true]);

  const piped = await json([store.revision.path]);
  assertEquals(piped.stdout.length, store.image.length);
  assertEquals(typesOf(assertDocumented(piped)), [
    "start",
    "lock",
    "read-map",
    "restore",
    "summary",
  ]);
});

Deno.test("--json reports all kinds of runs as documented", async () => {
  const { path: revision } = store.revision;
  const target = store.file("kinds", store.image);
  const runs: [args: string[], steps: string[], summary?: string][] = [
    // What is compared with the revision is what the storage has, so an update flushes first.
    [["--update", revision, target], ["flush", "update", "flush"]],
    [["--update", "--verify-target", revision, target], ["flush", "update", "flush", "read-back"]],
    [["--base", revision, revision, target], ["read-map", "restore", "flush"]],
    [["--range=1:2", revision, target], ["restore", "flush"]],
    [["--no-sync", revision, target], ["restore"]],
    [["--format=rbd-diff", revision], ["restore"]],
    [["--dry-run", revision, target], ["survey"], "dryRun"],
  ];
  for (const [args, steps, summary = "restore"] of runs) {
    const outcome = await json(args);
    assertEquals(outcome.code, 0, outcome.stderr);
    const lines = assertDocumented(outcome, SUMMARIES[summary]);
    assertEquals(typesOf(lines), ["start", "lock", "read-map", ...steps, "summary"]);
  }
  const checked = await extract(["check", "--json", store.basedir]);
  const lines = assertDocumented(checked, SUMMARIES.check);
  const steps = ["lock", "read-map", "check", "find-places"];
  assertEquals(typesOf(lines), ["start", ...steps, "summary"]);
});

Deno.test("--json reports gaps in warnings and in the summary: exit 3", async () => {
  await store.withDamage(store.chunkFileAt(Seq.HOLES), () => {}, async () => {
    for (const dry of [[], ["-n"]]) {
      const args = [...dry, "--on-error=zero", store.revision.path, store.file("gaps")];
      const outcome = await json(args);
      const lines = assertDocumented(outcome, SUMMARIES[dry.length === 0 ? "restore" : "dryRun"]);
      assertEquals(outcome.code, 3);
      assertEquals(lines.filter(({ type }) => type === "warning").length, 1);
      assertEquals(
        // deno-lint-ignore no-explicit-any
        lines.at(-1)!.badRanges.map(({ offset, reason }: any) => [offset, reason]),
        [[Seq.HOLES * CHUNK_BYTES, "missing"], [Seq.HOLES_REPEATED * CHUNK_BYTES, "missing"]],
      );
    }
  });
});

Deno.test("--json reports every kind of failure with its exit code, including usage errors", async () => {
  const target = store.file("failed");
  const { path: revision } = store.revision;
  const failures: [args: string[], code: string, exitCode: number][] = [
    [["--frob"], "usage", 2],
    [[], "usage", 2],
    [["--update", "--base=x", revision, target], "usage", 2],
    [["--range=1T:", revision, target], "usage", 2],
    [[`${store.basedir}/Nobody`, target], "revision", 10],
    [["-r", "last", store.file("."), target], "store-format", 10],
    [[revision, "/"], "target", 4],
    [[revision, "/dev/full"], "target", 4],
  ];
  for (const [args, code, exitCode] of failures) {
    const outcome = await json(args);
    const last = assertDocumented(outcome).at(-1)!;
    assertEquals([last.type, last.code, outcome.code], ["error", code, exitCode], outcome.stderr);
  }
  const ofCheck = assertDocumented(await extract(["check", "--json"])).at(-1)!;
  assertEquals([ofCheck.code, ofCheck.exitCode], ["usage", 2]);
  const { incompleteTarget } = assertDocumented(await json([revision, "/dev/full"])).at(-1)!;
  assertEquals(incompleteTarget, "/dev/full");
  assertEquals(assertDocumented(await json([revision, "/"])).at(-1)!.incompleteTarget, null);
});

Deno.test("--json says which chunk is bad and where it belongs: exit 3", async () => {
  const cases: [string, (path: string) => void][] = [
    ["chunk-missing", () => {}],
    ["chunk-corrupt", (path) => Deno.writeTextFileSync(path, "x")],
  ];
  for (const [code, damage] of cases) {
    await store.withDamage(store.chunkFileAt(Seq.HOLES), damage, async () => {
      const path = store.file("bad");
      const outcome = await json([store.revision.path, path]);
      assertEquals(outcome.code, 3);
      const last = assertDocumented(outcome).at(-1)!;
      assertEquals([last.code, last.seqs, last.seqCount], [
        code,
        [Seq.HOLES, Seq.HOLES_REPEATED],
        2,
      ]);
      assertEquals([last.chunkId, last.notes], [store.idAt(Seq.HOLES), [
        `"${path}" is incomplete`,
        "To go on, add --update, and --also DIR for a good copy of the chunk elsewhere, or " +
        "--on-error=zero for zeros in its place",
      ]]);
    });
  }
});

Deno.test("--json reports progress, answers SIGUSR1, and ends with an error when interrupted", async () => {
  for (const quiet of [[], ["-q"]]) {
    const args = ["--json", ...quiet, "-t1", "--bwlimit=700KiB", store.revision.path, "/dev/null"];
    await using tool = startExtract(args);
    await askUntilSaid(tool, /"progress",.*"step":"restore","doneBytes":[1-9]/);
    tool.signal("SIGTERM");
    const outcome = await tool.outcome();
    assertEquals(outcome.code, 143, outcome.stderr);
    const lines = assertDocumented(outcome);
    assertEquals(lines.at(-1)!.signal, "SIGTERM");
    const types = new Set(lines.map(({ type }) => type));
    assertEquals(types, new Set(["start", ...quiet.length ? [] : ["step"], "progress", "error"]));
  }
});

Deno.test("--json with --quiet leaves start, warnings and the end", async () => {
  const outcome = await json(["-q", store.revision.path, "/dev/null"]);
  assertEquals(assertDocumented(outcome).map(({ type }) => type), ["start", "summary"]);
});

Deno.test("--json escapes names and tags", async () => {
  const evil = "x\x1b[2J\n\u202e\u0085y";
  const tags = ['"\\e[31m\\u2028"'];
  for (const name of ["Hostile1", "Hostile2"]) {
    store.add(name, [sampleBytes(5, 10)], { tags, trust: "distrusted" });
  }
  const target = store.file(evil);
  const outcome = await json([`${store.basedir}/Hostile1`, target]);
  const lines = assertDocumented(outcome);
  assertEquals([outcome.code, lines[0]!.arguments.output], [0, target]);
  assertEquals(typesOf(lines)[1], "warning");
  const ambiguous = await json(["-r", "trust:distrusted", store.basedir, target]);
  const [candidate] = assertDocumented(ambiguous).at(-1)!.candidates;
  assertEquals([ambiguous.code, candidate.tags], [10, ["\x1b[31m\u2028"]]);
  assertEquals(Deno.statSync(target).size, 10);
  for (const { stderr } of [outcome, ambiguous]) {
    stderr.trimEnd().split("\n").forEach(assertPrintable);
  }
});
