import {
  fromWireError,
  RevisionError,
  StoreFormatError,
  toWireError,
  UsageError,
} from "../../lib/errors.ts";
import {
  type SelectOptions,
  selectRevision,
  selectRevisions,
} from "../../lib/store/select_revision.ts";
import { locateRevision } from "../../lib/store/store.ts";
import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "../assert.ts";
import { addRevision, makeStore, type RevisionMetadata } from "../support/store_builder.ts";
import { cpuMs } from "../support/cpu_time.ts";

/** Makes a directory, runs the test in it as the current one and removes it. */
async function withDir(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "backy-select-" });
  const before = Deno.cwd();
  try {
    Deno.chdir(dir);
    await run(dir);
  } finally {
    Deno.chdir(before);
    Deno.removeSync(dir, { recursive: true });
  }
}

/** Makes a backup directory with small revisions. */
function makeVm(dir: string, revisions: Readonly<Record<string, RevisionMetadata>>): void {
  makeStore(dir);
  for (const [name, metadata] of Object.entries(revisions)) addRevision(dir, name, [], metadata);
}

function day(number: number): string {
  return `2026-01-${String(number).padStart(2, "0")} 12:00:00+00:00`;
}

/**
 * Runs a test in a directory with the backup directory "vm0", whose newest backup is on another
 * server.
 */
function withVm(run: (dir: string) => Promise<void>): Promise<void> {
  return withDir(async (dir) => {
    makeVm(`${dir}/vm0`, {
      old: { timestamp: day(1), tags: ["daily", "weekly"] },
      odd: { timestamp: day(2), tags: ["daily", "manual:a/b"], trust: "distrusted" },
      good: { timestamp: day(3), tags: ["daily"], trust: "verified" },
      part: { timestamp: day(4), tags: ["hourly"], isComplete: false },
      away: { timestamp: day(5), tags: ["remote"], server: "backup7" },
    });
    Deno.removeSync(`${dir}/vm0/away`);
    await run(dir);
  });
}

/** The next step after a revision was not found. */
const LIST_HINT = '; "backy-extract list vm0" shows what there is';

async function refusal(path: string, options?: SelectOptions): Promise<RevisionError> {
  const error = await assertRejects(() => selectRevision(path, options), RevisionError);
  assertEquals(error.message.split("\n").length, 1);
  return error;
}

async function assertRefused(path: string, state: string, options?: SelectOptions): Promise<void> {
  const { message } = await refusal(path, options);
  assert(message.endsWith(state), `${message} (expected: ${state})`);
}

async function selectedName(path: string, options?: SelectOptions): Promise<string> {
  return (await selectRevision(path, options)).name;
}

Deno.test("selectRevision() resolves a path like locateRevision(), without the list", async () => {
  await withVm(async (dir) => {
    Deno.symlinkSync("good", "vm0/last");
    Deno.symlinkSync("vm0/good", "shortcut");
    Deno.removeSync("vm0/old.rev");
    for (
      const path of [
        `${dir}/vm0/good`,
        "vm0/good",
        "./vm0//good",
        "vm0/last",
        "shortcut",
        "vm0/old",
      ]
    ) {
      assertEquals(await selectRevision(path), {
        ...locateRevision(path),
        entry: null,
        warnings: [],
      });
    }
    Deno.chdir("vm0");
    assertEquals((await selectRevision("good")).mapPath, "good");
  });
});

Deno.test("selectRevision() accepts a path outside of a backup directory", async () => {
  await withDir(async () => {
    Deno.writeTextFileSync("loose", "{}");
    assertEquals(await selectedName("loose"), "loose");
  });
});

Deno.test("selectRevision() lets a file win over a spec", async () => {
  await withVm(async () => {
    for (const name of ["0", "first", "tag:daily", "2026-01-03", "last(tag:daily)", "a,b"]) {
      Deno.writeTextFileSync(`vm0/${name}`, "{}");
      assertEquals((await selectRevision(`vm0/${name}`)).mapPath, `vm0/${name}`);
    }
    Deno.symlinkSync("old", "vm0/last");
    assertEquals(await selectedName("vm0/last"), "old");
    // As an explicit spec it is one.
    assertEquals(await selectedName("vm0", { spec: "first" }), "old");
    assertEquals(await selectedName("vm0", { spec: "last(clean & local)" }), "good");
  });
});

Deno.test("selectRevision() refuses a path as locateRevision() does", async () => {
  await withVm(async (dir) => {
    Deno.symlinkSync("gone", "vm0/last");
    Deno.writeTextFileSync("vm0/mapless.rev", "server: ''\n");
    for (
      const path of [
        "",
        "vm0/good.rev",
        "vm0/last",
        "vm0/away",
        "vm0/mapless",
        "/dev/null",
        `${dir}/vm0/nobody`,
        "vm0/nobody",
        "nobody",
        "nowhere/good",
        "nowhere/else/good",
        "vm0/good/x",
        "vm0/two words",
        "vm0/none\n\x1b[0m",
        "vm0/good\0",
        "vm0/good/",
        "nowhere/",
      ]
    ) {
      const expected = assertThrows(() => locateRevision(path), RevisionError);
      const error = await refusal(path);
      assertEquals(error.message, expected.message);
      assertEquals(error.path, path);
      assertEquals(error.candidates, []);
    }
    await assertRefused(
      "vm0/away",
      'it lives on server "backup7", only its metadata is here; restore it there',
    );
    // For a name that is too long the system has another error; a spec may be that long.
    await assertRefused(`vm0/${"x".repeat(300)}`, `there is no such revision${LIST_HINT}`);
    assertEquals(
      await selectedName(
        `vm0/${"(".repeat(60)}${"good,".repeat(50)}first${")".repeat(60)} & first`,
      ),
      "old",
    );
  });
});

Deno.test("selectRevision() asks for a revision where it is given a directory", async () => {
  await withVm(async (dir) => {
    const state = "it is a directory, name a revision in it (DIR/UUID or DIR/SPEC, or -r SPEC)";
    await assertRefused("vm0", state + LIST_HINT);
    await assertRefused("vm0/chunks", state + LIST_HINT);
    for (const [path, store] of [[dir, `${dir}/vm0`], [".", "vm0"], ["vm0/..", "vm0/../vm0"]]) {
      const hint = `there is a backup directory below "${path}": "${store}"`;
      await assertRefused(path!, `${state}; ${hint}`);
    }
  });
});

Deno.test("selectRevision() accepts DIR/SPEC, and SPEC in the current directory", async () => {
  await withVm(async (dir) => {
    const specs: [spec: string, name: string][] = [
      ["first", "old"],
      ["1", "part"],
      ["2", "good"],
      ["last(clean & local)", "good"],
      ["last(tag:daily)", "good"],
      ["tag:weekly", "old"],
      ["tag:manual:a/b", "odd"],
      ["last(tag:manual:a/b, first)", "old"],
      ["tag:daily & trust:verified", "good"],
      ["2026-01-02T12:00:00Z", "odd"],
      ["2026-01-03 12:00Z", "good"],
      ["first(odd..)", "odd"],
      ["good..good", "good"],
    ];
    for (const [spec, name] of specs) {
      for (const basedir of [`${dir}/vm0`, "vm0", "./vm0"]) {
        const { entry, warnings: _, ...location } = await selectRevision(`${basedir}/${spec}`);
        assertEquals(location, { basedir, name, mapPath: `${basedir}/${name}` });
        assertEquals(entry?.name, name);
      }
      assertEquals((await selectRevision(`vm0//${spec}`)).basedir, "vm0");
      assertEquals((await selectRevision("vm0", { spec })).mapPath, `vm0/${name}`);
    }
    Deno.chdir("vm0");
    for (const [spec, name] of specs) {
      const { basedir, mapPath } = await selectRevision(spec);
      assertEquals({ basedir, mapPath }, { basedir: ".", mapPath: `./${name}` });
    }
  });
});

Deno.test("selectRevision() takes a name given as a spec as a file, regardless of its metadata", async () => {
  await withVm(async () => {
    Deno.writeTextFileSync("vm0/good.rev", "\0: [");
    Deno.removeSync("vm0/odd.rev");
    for (const spec of ["good", "odd", " good "]) {
      const { entry, warnings, mapPath } = await selectRevision("vm0", { spec });
      assertEquals({ entry, warnings, mapPath }, {
        entry: null,
        warnings: [],
        mapPath: `vm0/${spec.trim()}`,
      });
    }
    await assertRefused(
      "vm0",
      '"vm0/away": it lives on server "backup7", only its metadata is here; restore it there',
      {
        spec: "away",
      },
    );
    for (const spec of ["nobody", ".", "chunks"]) {
      const state = `revision "${spec}" in "vm0": there is no such revision${LIST_HINT}`;
      await assertRefused("vm0", state, { spec });
    }
  });
});

Deno.test("selectRevision() says when a spec means nothing", async () => {
  await withVm(async () => {
    for (
      const [spec, state] of [
        ["tag:none", "there is no such revision"],
        ["server:x", "there is no such revision"],
        ["17", 'there is no revision "17", the oldest is 4'],
        ["2026-01-01T00:00Z", "there is no revision as old as that date"],
        ["nobody..", 'there is no revision "nobody"'],
      ] as const
    ) {
      await assertRefused(`vm0/${spec}`, `"vm0/${spec}": ${state}${LIST_HINT}`);
      await assertRefused("vm0", `"${spec}" in "vm0": ${state}${LIST_HINT}`, { spec });
    }
    Deno.writeTextFileSync("vm0/bad\x1b.rev", "uuid: [");
    const { message } = await refusal("vm0/tag:none");
    assert(
      message.includes(
        'no such revision; 1 revision could not be read and was left out: "bad\\x1b" (',
      ),
    );
  });
});

Deno.test("selectRevision() shows what a spec means if that is more than one revision", async () => {
  await withVm(async () => {
    const error = await refusal("vm0/tag:daily");
    assertEquals(
      error.message,
      'Cannot open revision "vm0/tag:daily": it means 3 revisions, the last of them is "last(tag:daily)"',
    );
    assertEquals(error.path, "vm0/tag:daily");
    assertEquals(error.candidates, [
      { name: "old", time: "2026-01-01T12:00:00.000Z", tags: ["daily", "weekly"] },
      { name: "odd", time: "2026-01-02T12:00:00.000Z", tags: ["daily", "manual:a/b"] },
      { name: "good", time: "2026-01-03T12:00:00.000Z", tags: ["daily"] },
    ]);
    const rebuilt = fromWireError(structuredClone(toWireError(error)));
    assertInstanceOf(rebuilt, RevisionError);
    assertEquals(rebuilt.candidates, error.candidates);

    const byOption = await refusal("vm0", { spec: "reverse(first..odd)" });
    assertEquals(byOption.candidates.map(({ name }) => name), ["odd", "old"]);
    assertEquals(byOption.path, "vm0");
    // The hint is a spec that works.
    assertEquals(await selectedName("vm0/last(tag:daily)"), "good");
  });
});

Deno.test("selectRevision() refuses a revision that a spec means and that cannot be used", async () => {
  await withVm(async () => {
    const away = 'it is "away": it lives on server "backup7", only its metadata is here; ' +
      "restore it there; last(local) skips such revisions";
    await assertRefused("vm0/last", away);
    await assertRefused("vm0", away, { spec: "0" });
    await assertRefused("vm0/remote", away);
    Deno.removeSync("vm0/part");
    await assertRefused(
      "vm0/tag:hourly",
      'it is "part": its map is missing, there is only its metadata; ' +
        "its backup has not finished; last(clean) skips such revisions",
    );
    Deno.removeSync("vm0/good");
    new Deno.Command("mkfifo", { args: ["vm0/good"] }).outputSync();
    await assertRefused(
      "vm0/trust:verified",
      `it is "good": its map is not a regular file${LIST_HINT}`,
    );
    Deno.writeTextFileSync(
      "vm0/old.rev",
      `uuid: old\nbackend_type: cowfile\ntimestamp: ${day(1)}\n`,
    );
    await assertRefused(
      "vm0/first",
      `it is "old": its format is "cowfile", not "chunked"${LIST_HINT}`,
    );
  });
});

Deno.test("selectRevision() refuses a spec where there is no backup directory", async () => {
  await withVm(async (dir) => {
    Deno.mkdirSync("empty");
    const refused: [path: string, options: SelectOptions, state: string][] = [
      ["empty/last", {}, 'backup directory "empty": there is no "chunks/store" in it'],
      ["last", {}, 'backup directory ".": there is no "chunks/store" in it'],
      [
        `${dir}/empty/tag:a/b`,
        {},
        `backup directory "${dir}/empty": there is no "chunks/store" in it`,
      ],
      ["nowhere/last", {}, 'backup directory "nowhere": there is no such directory'],
      ["nowhere/else/last", {}, 'backup directory "nowhere/else": there is no such directory'],
      ["nowhere/tag:a/b", {}, 'backup directory "nowhere": there is no such directory'],
      [`${dir}/nowhere/0`, {}, `backup directory "${dir}/nowhere": there is no such directory`],
      ["vm0/good/last", {}, 'backup directory "vm0/good": it is not a directory'],
      ["/last", {}, 'backup directory "/": there is no "chunks/store" in it'],
      ["empty", { spec: "last" }, 'backup directory "empty": there is no "chunks/store" in it'],
      ["empty", { spec: "good" }, 'backup directory "empty": there is no "chunks/store" in it'],
      ["nowhere", { spec: "last" }, 'backup directory "nowhere": there is no such directory'],
      ["", { spec: "last" }, 'backup directory "": there is no such directory'],
    ];
    for (const [path, options, state] of refused) {
      await assertRejects(() => selectRevision(path, options), StoreFormatError, state);
    }
    Deno.writeTextFileSync("vm0/chunks/store", "v1");
    await assertRejects(
      () => selectRevision("vm0/first"),
      StoreFormatError,
      'holds "v1"; only "v2" is',
    );
  });
});

Deno.test("selectRevision() says what is wrong with a spec, or with its directory", async () => {
  await withVm(async () => {
    const refused: [path: string, options: SelectOptions, state: string][] = [
      ["vm0/last(tag:daily", {}, 'spec "last(tag:daily": ")" or "," or "&" is expected at its end'],
      ["vm0/tags:daily", {}, "there is no such property"],
      ["vm0/2026-02-30", {}, 'there is no such date or time at "2026-02-30"'],
      ["vm0/tag:daily..", {}, "the end of a range must be one revision"],
      ["last,", {}, 'spec "last,": a revision is missing at its end'],
      ["vm0", { spec: "" }, "it is empty"],
      ["vm0", { spec: "two words" }, "this is not a revision's name"],
      ["vm0", { spec: "a/b" }, "this is not a revision's name"],
      [
        "vm0/good",
        { spec: "last" },
        'revision "last": "vm0/good" is not a directory; the backup directory is "vm0"',
      ],
    ];
    for (const [path, options, state] of refused) {
      const error = await assertRejects(() => selectRevision(path, options), UsageError, state);
      assertEquals(error.message.split("\n").length, 1);
    }
  });
});

Deno.test("selectRevision() warns of revisions that are unfinished or distrusted", async () => {
  await withVm(async () => {
    const unfinished = 'Revision "part" is unfinished: its backup did not run to its end';
    const distrusted = 'Revision "odd" is distrusted: it may differ from what was backed up';
    const warned: [path: string, warnings: string[]][] = [
      ["vm0/part", [unfinished]],
      ["vm0/1", [unfinished]],
      ["vm0/odd", [distrusted]],
      ["vm0/trust:distrusted", [distrusted]],
      ["vm0/good", []],
      ["vm0/2", []],
    ];
    for (const [path, warnings] of warned) {
      assertEquals((await selectRevision(path)).warnings, warnings, path);
    }
    Deno.symlinkSync("odd", "vm0/last");
    assertEquals((await selectRevision("vm0/last")).warnings, [distrusted]);
  });
});

Deno.test("selectRevision() reads warnings from metadata in any form, but none from broken metadata", async () => {
  await withVm(async () => {
    const warningsOf = async (metadata: string) => {
      Deno.writeTextFileSync("vm0/good.rev", metadata);
      const { warnings } = await selectRevision("vm0/good");
      return warnings.map((text) => / is (\w+):/.exec(text)?.[1]).join();
    };
    const cases: [metadata: string, warned: string][] = [
      ["stats: {bytes_written: 1, duration: 0.087}\ntrust: trusted\n", ""],
      ["stats: {bytes_written: 1,\n  duration: 1.0e-05, x: 1}\n", ""],
      ["stats:\n  bytes_written: 1\n  duration: 3\n", ""],
      ["stats:\r\n  bytes_written: 1\r\n  duration: 3\r\n", ""],
      ["{stats: {duration: 1}, trust: distrusted}", "distrusted"],
      ["{stats: {duration: 1}}", ""],
      ["stats: {duration: 1}\ntrust: 'distrusted'\n", "distrusted"],
      ["stats: {duration: 1}\ntags: [distrusted]\n", ""],
      ["stats: {}\ntrust: distrusted\n", "unfinished,distrusted"],
      ["stats: {bytes_written: 1}\ntags: ['duration: 5']\n", "unfinished"],
      ["stats:\n  bytes_written: 1\ntags:\n- 'duration: 5'\n", "unfinished"],
      ["stats: {duration: null}\n", "unfinished"],
      ["uuid: good\n", "unfinished"],
      ["\0: [ distrusted", ""],
      ["", ""],
      [`stats: {}\n#${"x".repeat(70_000)}\n`, "unfinished"],
      [`#${"x".repeat(70_000)}\nstats: {duration: 1}\n`, ""],
      [`#${"x".repeat(300_000)}\n`, ""],
    ];
    for (const [metadata, warned] of cases) {
      assertEquals(await warningsOf(metadata), warned, metadata.slice(0, 100));
    }
    // A hostile text takes linear time.
    for (const unit of [" ", "stats: {", "stats:\n ", "\n duration:", "{duration:", "stats:\n  "]) {
      const startMs = cpuMs();
      Deno.writeTextFileSync("vm0/good.rev", `stats:\n${unit.repeat(60_000 / unit.length)}`);
      await selectRevision("vm0/good");
      const tookMs = cpuMs() - startMs;
      assert(tookMs < 2000, `${JSON.stringify(unit)}: ${tookMs} ms`);
    }
    Deno.removeSync("vm0/good.rev");
    Deno.mkdirSync("vm0/good.rev");
    assertEquals((await selectRevision("vm0/good")).warnings, []);
  });
});

Deno.test("selectRevision() warns of metadata that could not be read, if a spec was asked for", async () => {
  await withVm(async () => {
    for (let number = 0; number < 5; number++) {
      Deno.writeTextFileSync(`vm0/bad${number}.rev`, "uuid: [");
    }
    assertEquals((await selectRevision("vm0/good")).warnings, []);
    const [warning, ...others] = (await selectRevision("vm0/first")).warnings;
    assertEquals(others, []);
    assert(warning!.startsWith('5 revisions could not be read and were left out: "bad0" (Cannot '));
    assert(warning!.endsWith(") and 2 more"), warning);
    assert(warning!.length < 800 && !warning!.includes("\n"), warning);
  });
});

Deno.test("selectRevision() looks for a name without a slash in relativeTo first", async () => {
  await withVm(async (dir) => {
    makeVm(`${dir}/vm1`, { other: {}, good: {} });
    const relativeTo = `${dir}/vm0`;
    const select = async (path: string) => (await selectRevision(path, { relativeTo })).mapPath;
    assertEquals(await select("good"), `${dir}/vm0/good`);
    assertEquals(await select("first"), `${dir}/vm0/old`);
    assertEquals(await select("last(clean & local)"), `${dir}/vm0/good`);
    assertEquals(await select("tag:manual:a/b"), `${dir}/vm0/odd`);
    assertEquals(await select("vm1/good"), "vm1/good");
    assertEquals(await select("vm1/first"), "vm1/good");
    assertEquals((await selectRevision("good", { relativeTo: "vm0/" })).basedir, "vm0");

    Deno.chdir("vm1");
    assertEquals(await select("good"), `${dir}/vm0/good`);
    assertEquals(await select("./good"), "./good");
    // Not in that directory, but in this one.
    assertEquals(await select("other"), "other");
    Deno.writeTextFileSync("last,", "{}");
    assertEquals(await select("last,"), "last,");
    const hint = `"backy-extract list ${relativeTo}" shows what there is`;
    for (
      const [name, state] of [
        ["nobody", `"nobody" in "${relativeTo}": there is no such revision; ${hint}`],
        ["away", 'it lives on server "backup7", only its metadata is here; restore it there'],
        [
          "chunks",
          "it is a directory, name a revision in it (DIR/UUID or DIR/SPEC, or -r SPEC); " +
          '"backy-extract list ." shows what there is',
        ],
      ] as const
    ) {
      await assertRefused(name, state, { relativeTo });
    }
    await assertRefused("", "the path is empty", { relativeTo });
  });
});

Deno.test("selectRevisions() returns all that a spec means, and warns of what it leaves out", async () => {
  await withVm(async () => {
    const { basedir, revisions, leftOut, warnings } = await selectRevisions("vm0");
    assertEquals(basedir, "vm0");
    assertEquals(revisions.map(({ entry: _, ...location }) => location)[0], {
      basedir: "vm0",
      name: "old",
      mapPath: "vm0/old",
    });
    assertEquals(revisions.map(({ entry }) => entry?.name), ["old", "odd", "good", "part"]);
    const reason = 'it lives on server "backup7", only its metadata is here';
    assertEquals(leftOut, [{ name: "away", reason }]);
    assertEquals(warnings, [
      'Revision "part" is unfinished: its backup did not run to its end',
      'Revision "odd" is distrusted: it may differ from what was backed up',
      `1 revision cannot be used and was left out: "away" (${reason})`,
    ]);

    const names = async (path: string, spec?: string) =>
      (await selectRevisions(path, { spec })).revisions.map(({ name }) => name);
    assertEquals(await names("vm0", "reverse(clean & local)"), ["good", "odd", "old"]);
    assertEquals(await names("vm0/tag:daily"), ["old", "odd", "good"]);
    assertEquals(await names("vm0/first,2"), ["old", "good"]);
    assertEquals(await names("vm0/"), ["old", "odd", "good", "part"]);
    Deno.chdir("vm0");
    assertEquals(await names("tag:weekly"), ["old"]);
    assertEquals(await names("."), ["old", "odd", "good", "part"]);
  });
});

Deno.test("selectRevisions() accepts the path of one revision", async () => {
  await withVm(async () => {
    assertEquals(await selectRevisions("vm0/odd"), {
      basedir: "vm0",
      revisions: [{ basedir: "vm0", name: "odd", mapPath: "vm0/odd", entry: null }],
      leftOut: [],
      warnings: ['Revision "odd" is distrusted: it may differ from what was backed up'],
    });
    assertEquals((await selectRevisions("vm0", { spec: "odd" })).revisions.length, 1);
  });
});

Deno.test("selectRevisions() puts many revisions into one line of warning", async () => {
  await withDir(async () => {
    makeVm(
      "vm0",
      Object.fromEntries(
        [1, 2, 3, 4, 5].flatMap((number): [string, RevisionMetadata][] => [
          [`u${number}`, { timestamp: day(number), isComplete: false, trust: "distrusted" }],
          [`r${number}`, { timestamp: day(number), server: "two words" }],
        ]),
      ),
    );
    const { warnings } = await selectRevisions("vm0");
    const reason = "(it lives on another server, only its metadata is here)";
    assertEquals(warnings, [
      '5 revisions are unfinished, their backups did not run to their ends: "u1", "u2", "u3" and 2 more',
      '5 revisions are distrusted, they may differ from what was backed up: "u1", "u2", "u3" and 2 more',
      `5 revisions cannot be used and were left out: "r1" ${reason}, "r2" ${reason}, "r3" ${reason} and 2 more`,
    ]);
  });
});

Deno.test("selectRevisions() refuses what leaves nothing", async () => {
  await withVm(async () => {
    const refused = async (path: string, spec?: string) => {
      const error = await assertRejects(() => selectRevisions(path, { spec }), RevisionError);
      return error.message;
    };
    assertEquals(
      await refused("vm0/tag:none"),
      `Cannot open revision "vm0/tag:none": there is no such revision${LIST_HINT}`,
    );
    assertEquals(
      await refused("vm0", "remote"),
      'Cannot open revision "remote" in "vm0": it is "away": ' +
        'it lives on server "backup7", only its metadata is here; ' +
        "restore it there; last(local) skips such revisions",
    );
    Deno.removeSync("vm0/good");
    assertEquals(
      await refused("vm0", "good..good,remote"),
      'Cannot open revision "good..good,remote" in "vm0": none of 2 revisions can be used: ' +
        '"good" (its map is missing, there is only its metadata), ' +
        `"away" (it lives on server "backup7", only its metadata is here)${LIST_HINT}`,
    );
    makeVm("vm1", {});
    assertEquals(
      await refused("vm1/last"),
      'Cannot open revision "vm1/last": there is no revision in "vm1"',
    );
    assertEquals(await refused("vm1"), 'Cannot open revision "vm1": there is no revision in "vm1"');
    await assertRejects(
      () => selectRevisions("."),
      StoreFormatError,
      'there is no "chunks/store" in it',
    );
    await assertRejects(() => selectRevisions("vm0/all,"), UsageError, "is missing at its end");
  });
});

Deno.test("selectRevision() warns of revisions that could be meant as well, or are of the future", async () => {
  await withDir(async () => {
    makeVm("vm0", {
      old: { timestamp: day(1) },
      a: { timestamp: day(2), tags: ["weekly"] },
      b: { timestamp: day(2) },
    });
    const warningsOf = async (spec: string) => (await selectRevision("vm0", { spec })).warnings;
    const tie = (name: string) => [
      `1 revision has the same time as the one that was chosen: "${name}"`,
    ];
    assertEquals(await selectedName("vm0/last"), "b");
    assertEquals(await warningsOf("last"), tie("a"));
    assertEquals(await warningsOf("1"), tie("b"));
    assertEquals(await warningsOf("2026-01-05T00:00Z"), tie("a"));
    assertEquals(await warningsOf("last(tag:daily)"), []);
    assertEquals(await warningsOf("last(all)"), tie("a"));
    assertEquals(await warningsOf("first"), []);
    assertEquals(await warningsOf("b"), []);

    const soon = new Date(Date.now() + 600_000).toISOString();
    addRevision("vm0", "soon", [], { timestamp: soon });
    assertEquals(await warningsOf("last"), []);
    addRevision("vm0", "late", [], { timestamp: "2999-01-01 00:00:00+00:00" });
    assertEquals(await selectedName("vm0/last"), "late");
    assertEquals(await warningsOf("last"), [
      'Revision "late" is dated 2999-01-01T00:00:00.000Z, which is in the future: ' +
      "a clock is or was wrong, and others may be newer",
    ]);
  });
});

Deno.test("selectRevisions() lets the event loop turn in a directory of many revisions, and can be ended", async () => {
  await withDir(async (dir) => {
    const names = Array.from({ length: 2000 }, (_, at) => `r${at}`);
    makeStore(`${dir}/vm0`);
    for (const name of names) {
      Deno.writeTextFileSync(`vm0/${name}`, '{"mapping": {}, "size": 0}');
      Deno.writeTextFileSync(`vm0/${name}.rev`, `stats: {duration: 1}\nuuid: ${name}\n`);
    }
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const { revisions } = await selectRevisions("vm0");
    clearInterval(timer);
    assertEquals(revisions.length, names.length);
    assert(turns > 0);
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    assert(await assertRejects(() => selectRevisions("vm0", { signal })) === reason);
  });
});
