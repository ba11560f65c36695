import { RevisionError, StoreFormatError, UsageError } from "../../lib/errors.ts";
import { ExitCode } from "../../lib/cli/exit_code.ts";
import { listRevisions, renderRevisions, runList } from "../../lib/cli/list.ts";
import { formatLocalIso, formatLocalMinute, localZone } from "../../lib/cli/local_time.ts";
import { readCatalog } from "../../lib/store/catalog.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "../assert.ts";
import { addRevision, makeStore, sampleBytes, writeMap } from "../fixtures/store_builder.ts";
import { Scratch } from "../target/machine.ts";

const CHUNK = sampleBytes(1, CHUNK_BYTES);

/** A backup directory with a revision of each kind, by their names. */
class MixedStore implements Disposable {
  readonly #scratch = new Scratch();
  readonly dir = this.#scratch.file("vm0");

  constructor() {
    const { dir } = this;
    makeStore(dir);
    const at = (day: number, hour = 12) => ({
      timestamp: `2026-01-${String(day).padStart(2, "0")} ${hour}:00:00+00:00`,
    });
    addRevision(dir, "usable", [CHUNK, "zero", CHUNK, "absent", CHUNK.subarray(0, 777)], {
      ...at(1),
      tags: ["daily", "manual:x"],
    });
    addRevision(dir, "unfinished", ["zero"], { ...at(2), tags: [], isComplete: false });
    addRevision(dir, "remote", [], { ...at(3), server: "other", trust: "verified" });
    addRevision(dir, "bad", [], { ...at(4), trust: "distrusted" });
    Deno.writeTextFileSync(`${dir}/bad`, '{"mapping": {"0": "x"}, "size": 4194304}');
    addRevision(dir, "mapless", [], at(5));
    Deno.removeSync(`${dir}/mapless`);
    addRevision(dir, "cow", [], at(6));
    const cow = Deno.readTextFileSync(`${dir}/cow.rev`).replace("chunked", "cowfile");
    Deno.writeTextFileSync(`${dir}/cow.rev`, cow);
    Deno.writeTextFileSync(`${dir}/broken.rev`, "uuid: [\x1b");
  }

  [Symbol.dispose](): void {
    this.#scratch[Symbol.dispose]();
  }
}

function run(
  dir: string,
  options: {
    json?: boolean;
    spec?: string;
    columns?: number;
    write?: (text: string) => void;
  } = {},
) {
  const written: string[] = [];
  const warnings: string[] = [];
  const failures: string[] = [];
  const code = runList({ dir, spec: options.spec, json: options.json ?? false }, {
    write: options.write ?? ((text) => void written.push(text)),
    warn: (text) => void warnings.push(text),
    fail: (text) => void failures.push(text),
    isTerminal: options.columns !== undefined,
    columns: options.columns ?? 10,
  });
  return { code, written, stdout: written.join(""), warnings, failures };
}

Deno.test("listRevisions() tells size and distinct chunks, and why they are not known", () => {
  using store = new MixedStore();
  const { revisions } = readCatalog(store.dir);
  const listed = [...listRevisions(revisions)];
  assertEquals(listed.map(({ entry, state, facts }) => [entry.name, state, facts]), [
    ["usable", "usable", {
      sizeBytes: 4 * CHUNK_BYTES + 777,
      distinctChunks: 2,
      distinctBytes: CHUNK_BYTES + 777,
    }],
    ["unfinished", "usable", { sizeBytes: CHUNK_BYTES, distinctChunks: 0, distinctBytes: 0 }],
    ["remote", "remote", null],
    ["bad", "bad-map", null],
    ["mapless", "no-map", null],
    ["cow", "other-format", null],
  ]);
  for (const { state, reason } of listed) assertEquals(reason === null, state === "usable");
});

Deno.test("listRevisions() shows a map that was removed meanwhile as gone", () => {
  using store = new MixedStore();
  const { revisions } = readCatalog(store.dir);
  Deno.removeSync(`${store.dir}/usable`);
  const [first] = [...listRevisions(revisions)];
  assertEquals([first?.state, first?.facts], ["gone", null]);
  const text = renderRevisions([first!]);
  assertMatch(text, / gone .*\n1 revision, 1 of them not usable here\n$/);
});

Deno.test("runList() writes a table, oldest first, and warns of what cannot be used", () => {
  using store = new MixedStore();
  const { code, stdout, warnings, failures } = run(store.dir);
  assertEquals([code, failures], [ExitCode.COMPLETE, []]);
  const lines = stdout.split("\n");
  const cells = lines.map((line) => line.split(/ {2,}/));
  const day = (number: number) => formatLocalMinute(new Date(Date.UTC(2026, 0, number, 12)));
  assertEquals(cells, [
    [`Date (${localZone()})`, "Revision", "Size", "Chunks", "Trust", "Note", "Tags"],
    [day(1), "usable", "16.0 MiB", "2", "trusted", "daily,manual:x"],
    [day(2), "unfinished", "4 MiB", "0", "trusted", "unfinished"],
    [day(3), "remote", "-", "-", "verified", 'on server "other"', "daily"],
    [day(4), "bad", "-", "-", "distrusted", "map unreadable", "daily"],
    [day(5), "mapless", "-", "-", "trusted", "map missing", "daily"],
    [day(6), "cow", "-", "-", "trusted", 'format "cowfile"', "daily"],
    ["6 revisions, 4 of them not usable here"],
    [""],
  ]);
  assertEquals(warnings.length, 2);
  assertStringIncludes(warnings[0]!, `Cannot read revision map "${store.dir}/bad": at byte`);
  assertStringIncludes(warnings[1]!, 'skipped "broken": Cannot parse revision metadata');
});

Deno.test("runList() fits the table to a terminal and leaves dates and names whole", () => {
  using store = new MixedStore();
  // As long as a uuid is.
  const name = "Nym6uacWoXGb8VnbksM3yH";
  addRevision(store.dir, name, [], { tags: ["daily"], isComplete: false });
  writeMap(store.dir, name, { ids: [], size: 16 * 2 ** 30 - 1 });
  for (const columns of [80, 100, 200]) {
    const lines = run(store.dir, { columns }).stdout.split("\n");
    for (const line of lines) assert(line.length <= columns, `${columns}: ${line}`);
    assertMatch(lines.find((line) => line.includes(name))!, / {2}unfinis(hed|…) {2}/);
    for (const line of lines.slice(1, 8)) assertMatch(line, /^2026-01-\d\d \d\d:\d\d {2,}\w/);
  }
  assertEquals(run(store.dir, { columns: 200 }).stdout, run(store.dir).stdout);
});

Deno.test("runList() with json writes one object a line, with stable names", () => {
  using store = new MixedStore();
  const { code, written, warnings } = run(store.dir, { json: true });
  assertEquals([code, warnings.length], [ExitCode.COMPLETE, 2]);
  for (const text of written) assertEquals(text.indexOf("\n"), text.length - 1);
  const objects = written.map((text) => JSON.parse(text));
  assertEquals(objects[0], {
    type: "revision",
    uuid: "usable",
    time: formatLocalIso(new Date(Date.UTC(2026, 0, 1, 12))),
    tags: ["daily", "manual:x"],
    trust: "trusted",
    isComplete: true,
    server: null,
    parent: null,
    state: "usable",
    reason: null,
    bytesWritten: 16_777_216,
    durationSeconds: 0.087,
    sizeBytes: 4 * CHUNK_BYTES + 777,
    distinctChunks: 2,
    distinctBytes: CHUNK_BYTES + 777,
  });
  const { isComplete, durationSeconds, bytesWritten } = objects[1];
  assertEquals([isComplete, durationSeconds, bytesWritten], [false, null, 0]);
  const { server, sizeBytes, distinctChunks, distinctBytes, reason, trust } = objects[2];
  assertEquals([server, sizeBytes, distinctChunks, distinctBytes], ["other", null, null, null]);
  assertEquals(trust, "verified");
  assertEquals(reason, 'it lives on server "other", only its metadata is here');
  assertEquals(objects.map(({ type, state }) => state ?? type), [
    ...["usable", "usable", "remote", "bad-map", "no-map", "other-format"],
    "skipped",
  ]);
  assertEquals(objects[6].name, "broken");
  for (const object of objects.slice(0, 6)) {
    assertEquals(Object.keys(object).sort(), Object.keys(objects[0]).sort());
  }
});

Deno.test("runList() says that there are no revisions, and succeeds", () => {
  using scratch = new Scratch();
  makeStore(scratch.path);
  for (const json of [true, false]) {
    const { code, stdout, warnings } = run(scratch.path, { json });
    assertEquals([code, stdout], [0, ""]);
    assertEquals(warnings, [`there are no revisions in "${scratch.path}"`]);
  }
});

Deno.test("runList() refuses what is no backup directory", () => {
  using scratch = new Scratch();
  for (const dir of [scratch.path, scratch.file("absent"), scratch.file("file", "")]) {
    assertThrows(() => run(dir), StoreFormatError);
  }
});

Deno.test("runList() lists the revisions that a spec means, in its order", () => {
  using store = new MixedStore();
  const uuids = (spec: string) =>
    run(store.dir, { json: true, spec }).written.map((text) => JSON.parse(text).uuid);
  assertEquals(uuids("trust:verified").slice(0, -1), ["remote"]);
  assertEquals(uuids("mapless, usable").slice(0, -1), ["mapless", "usable"]);
  assertThrows(() => uuids("none"), RevisionError, 'there is no revision "none"');
  assertThrows(() => uuids("last(("), UsageError);
});

Deno.test("runList() fails when standard output cannot be written", () => {
  using store = new MixedStore();
  for (const json of [true, false]) {
    const { code, failures } = run(store.dir, {
      json,
      write() {
        throw new Deno.errors.BrokenPipe("Broken pipe (os error 32)");
      },
    });
    assertEquals(code, ExitCode.FAILURE);
    assertEquals(failures, ["Cannot write standard output: Broken pipe (EPIPE)"]);
  }
});

Deno.test("runList() lets no name, tag or server send control sequences to a terminal", () => {
  using scratch = new Scratch();
  const dir = scratch.path;
  makeStore(dir);
  writeMap(dir, "a\u202eb", { ids: [], size: 0 });
  const evil = '"\\e[2J\\u2028\\u0085"';
  Deno.writeTextFileSync(
    `${dir}/a\u202eb.rev`,
    `uuid: "a\\u202eb"\nserver: ${evil}\ntrust: ${evil}\ntags: [${evil}]\n`,
  );
  Deno.writeTextFileSync(`${dir}/x\x1by.rev`, "[");
  for (const json of [true, false]) {
    const { stdout, warnings } = run(dir, { json });
    for (const line of [...stdout.trimEnd().split("\n"), ...warnings]) {
      assert(!/[\p{C}\p{Zl}\p{Zp}]/u.test(line), line);
    }
    assertEquals(stdout.trimEnd().split("\n").length, json ? 2 : 3);
  }
});
