import { RevisionError, StoreFormatError, UsageError } from "../../lib/errors.ts";
import { ExitCode } from "../../lib/cli/exit_code.ts";
import { list } from "../../lib/cli/list.ts";
import { renderRevisions } from "../../lib/cli/list_table.ts";
import {
  type ListedRevision,
  listRevision,
  MapFactsReader,
} from "../../lib/store/listed_revision.ts";
import { runSteps } from "../../lib/slices.ts";
import { formatLocalMinute } from "../../lib/cli/format.ts";
import { formatLocalIso, localZone } from "../../lib/store/dates.ts";
import { type CatalogEntry, readCatalog } from "../../lib/store/catalog.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "../assert.ts";
import { addRevision, makeStore, sampleBytes, writeMap } from "../support/store_builder.ts";
import { Scratch } from "../support/machine.ts";

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

async function run(
  dir: string,
  options: {
    json?: boolean;
    spec?: string;
    columns?: number;
    write?: (text: string) => Promise<boolean>;
  } = {},
) {
  const written: string[] = [];
  const warnings: string[] = [];
  const failures: string[] = [];
  const steps: string[] = [];
  const code = await list({ dir, spec: options.spec, json: options.json ?? false }, {
    write: options.write ?? ((text) => Promise.resolve(written.push(text) > 0)),
    reporter: {
      step: (text) => void steps.push(text),
      stop: () => {},
      warn: (text) => void warnings.push(text),
      fail: (text) => void failures.push(String(text)),
    },
    columns: options.columns,
  });
  const stdout = written.join("");
  return { code, lines: stdout.trimEnd().split("\n"), stdout, warnings, failures, steps };
}

function listed(entries: readonly CatalogEntry[]): ListedRevision[] {
  const reader = new MapFactsReader();
  return entries.map((entry) => runSteps(listRevision(entry, reader)));
}

Deno.test("listRevision() gives size and distinct chunks, or why they are not known", () => {
  using store = new MixedStore();
  const { revisions } = readCatalog(store.dir);
  const all = listed(revisions);
  assertEquals(all.map(({ entry, state, facts }) => [entry.name, state, facts]), [
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
  for (const { state, reason } of all) assertEquals(reason === null, state === "usable");
});

Deno.test("listRevision() shows a map that was removed meanwhile as gone", () => {
  using store = new MixedStore();
  const { revisions } = readCatalog(store.dir);
  Deno.removeSync(`${store.dir}/usable`);
  const [first] = listed(revisions);
  assertEquals([first?.state, first?.facts], ["gone", null]);
  const [, row, total] = [...runSteps(renderRevisions([first!]))];
  assertMatch(row!, / gone /);
  assertEquals(total, "1 revision, 1 of them not usable here");
});

Deno.test("list() writes a table, oldest first, and warns of what cannot be used", async () => {
  using store = new MixedStore();
  const { code, stdout, warnings, failures } = await run(store.dir);
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

Deno.test("list() on a terminal never cuts time, name, size, trust and note", async () => {
  using store = new MixedStore();
  // As long as a uuid is.
  const name = "Nym6uacWoXGb8VnbksM3yH";
  addRevision(store.dir, name, [], {
    tags: ["daily", "weekly", "manual:before-upgrade"],
    isComplete: false,
    trust: "distrusted",
  });
  writeMap(store.dir, name, { ids: [], size: 16 * 2 ** 30 - 1 });
  const time = /\d{4}-\d\d-\d\d \d\d:\d\d/.source;
  const rows: Record<number, RegExp> = {
    200: new RegExp(
      `^${time} +${name} +16.0 GiB +0 +distrusted +unfinished +daily,weekly,manual:b\\S+$`,
    ),
    100: new RegExp(
      `^${time} +${name} +16.0 GiB +distrusted +unfinished\n {4}daily,weekly,manual:b\\S+$`,
    ),
    80: new RegExp(
      `^${time} +${name} +16.0 GiB +distrusted\\n {4}unfinished {2}daily,weekly,manual:b\\S+$`,
    ),
    70: new RegExp(
      `^${time} +${name} +16.0 GiB +distrusted\n {4}unfinished {2}daily,weekly,manual:b\\S+$`,
    ),
    56: new RegExp(
      `^${time} +${name} +16.0 GiB\n {4}distrusted {2}unfinished {2}daily,weekly,manual\\S+$`,
    ),
    42: new RegExp(`^${time} +${name}\n {4}16.0 GiB {2}distrusted {2}unfinished {2}\\S+…$`),
  };
  for (const [columns, row] of Object.entries(rows)) {
    const { lines } = await run(store.dir, { columns: Number(columns) });
    const at = lines.findIndex((line) => line.includes(name));
    const count = row.source.includes("\\n") || row.source.includes("\n") ? 2 : 1;
    assertMatch(lines.slice(at, at + count).join("\n"), row);
    if (Number(columns) >= 50) {
      for (const line of lines) assert(line.length <= Number(columns), `${columns}: ${line}`);
    }
    for (const other of ["usable", "remote", "mapless"]) {
      assert(lines.some((line) => line.startsWith("2026-01-") && line.includes(other)));
    }
    assert(lines.some((line) => line.includes('on server "other"')), `${columns}`);
  }
  const { stdout } = await run(store.dir, { columns: 200 });
  assertEquals(stdout, (await run(store.dir)).stdout);
});

Deno.test("list() with json writes one object per line, with stable names", async () => {
  using store = new MixedStore();
  const { code, stdout, lines, warnings } = await run(store.dir, { json: true });
  assertEquals([code, warnings.length], [ExitCode.COMPLETE, 2]);
  assert(stdout.endsWith("}\n"));
  const objects = lines.map((text) => JSON.parse(text));
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

Deno.test("list() says that there are no revisions, and succeeds", async () => {
  using scratch = new Scratch();
  makeStore(scratch.path);
  for (const json of [true, false]) {
    const { code, stdout, warnings } = await run(scratch.path, { json });
    assertEquals([code, stdout], [0, ""]);
    assertEquals(warnings, [`there are no revisions in "${scratch.path}"`]);
  }
});

Deno.test("list() refuses a path that is not a backup directory", async () => {
  using scratch = new Scratch();
  for (const dir of [scratch.path, scratch.file("absent"), scratch.file("file", "")]) {
    await assertRejects(() => run(dir), StoreFormatError);
  }
});

Deno.test("list() lists the revisions that match a spec, in its order", async () => {
  using store = new MixedStore();
  const uuids = async (spec: string) =>
    (await run(store.dir, { json: true, spec })).lines.map((text) => JSON.parse(text).uuid);
  assertEquals((await uuids("trust:verified")).slice(0, -1), ["remote"]);
  assertEquals((await uuids("mapless, usable")).slice(0, -1), ["mapless", "usable"]);
  await assertRejects(() => uuids("none"), RevisionError, 'there is no revision "none"');
  await assertRejects(() => uuids("last(("), UsageError);
});

Deno.test("list() fails when standard output cannot be written", async () => {
  using store = new MixedStore();
  for (const json of [true, false]) {
    const { code, failures, warnings } = await run(store.dir, {
      json,
      write: () => Promise.reject(new Error("No space left on device (os error 28)")),
    });
    assertEquals(code, ExitCode.FAILURE);
    assertEquals(failures, ["Cannot write standard output: No space left on device (ENOSPC)"]);
    assertEquals(warnings, []);
  }
});

Deno.test("list() ends silently when nobody reads any more", async () => {
  using store = new MixedStore();
  for (const json of [true, false]) {
    const { code, failures, warnings } = await run(store.dir, {
      json,
      write: () => Promise.resolve(false),
    });
    assertEquals([code, failures, warnings], [ExitCode.COMPLETE, [], []]);
  }
});

Deno.test("list() says what it does, and lets the event loop turn meanwhile", async () => {
  using scratch = new Scratch();
  const dir = scratch.path;
  makeStore(dir);
  const id = "4db6e194fd398e8edb76e11054d73eb0";
  const ids = Array.from({ length: 100_000 }, () => id);
  writeMap(dir, "big", { ids, size: ids.length * CHUNK_BYTES });
  const metadata = (uuid: string) => `stats: {duration: 1}\nuuid: ${uuid}\n`;
  Deno.writeTextFileSync(`${dir}/big.rev`, metadata("big"));
  for (let at = 0; at < 20; at++) {
    Deno.linkSync(`${dir}/big`, `${dir}/big${at}`);
    Deno.writeTextFileSync(`${dir}/big${at}.rev`, metadata(`big${at}`));
  }
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  try {
    const { lines, steps } = await run(dir);
    assertEquals(lines.at(-1), "21 revisions");
    assertEquals(steps, ["Reading metadata", "Reading revision maps"]);
    assert(turns > 0, `${turns} turns of the event loop`);
  } finally {
    clearInterval(timer);
  }
});

Deno.test("list() lets no name, tag or server send control sequences to a terminal", async () => {
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
    const { stdout, warnings } = await run(dir, { json });
    for (const line of [...stdout.trimEnd().split("\n"), ...warnings]) {
      assert(!/[\p{C}\p{Zl}\p{Zp}]/u.test(line), line);
    }
    assertEquals(stdout.trimEnd().split("\n").length, json ? 2 : 3);
  }
});
