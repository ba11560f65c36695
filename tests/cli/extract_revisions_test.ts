import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { assertFailure, assertSuccess, extract } from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

const STORE = 10;

Deno.test("As backy calls it: --version, then DIR/UUID TARGET", async () => {
  const version = await extract(["--version"]);
  assertMatch(new TextDecoder().decode(version.stdout), /^backy-extract \d+\.\d+\.\d+\n$/);
  assertEquals([version.code, version.stderr], [0, ""]);
  const path = store.file("as-backy");
  assertSuccess(await extract([`${store.basedir}/SampleRevision`, path]));
  assertBytes(Deno.readFileSync(path), store.image);
});

Deno.test("A revision is named by DIR/UUID, by a link, or by its name in the current directory", async () => {
  Deno.symlinkSync(store.basedir, store.file("link-to-store"));
  Deno.symlinkSync(store.revision.path, store.file("link-to-revision"));
  Deno.mkdirSync(store.file("below"));
  const names: [revision: string, cwd?: string][] = [
    [`${store.basedir}/last`],
    [`${store.basedir}//SampleRevision`],
    [`${store.basedir}/chunks/../SampleRevision`],
    [store.file("link-to-store/last")],
    [store.file("link-to-revision")],
    ["SampleRevision", store.basedir],
    ["./last", store.basedir],
    ["../vm0/SampleRevision", store.file("below")],
  ];
  for (const [revision, cwd] of names) {
    const outcome = await extract(["-q", revision], cwd === undefined ? {} : { cwd });
    assertEquals([outcome.code, outcome.stderr], [0, ""], revision);
    assertBytes(outcome.stdout, store.image);
  }
});

Deno.test("The revision that `last` means is named, and chosen when the restore starts", async () => {
  const newer = store.add("NewerRevision", [sampleBytes(1)]);
  Deno.removeSync(`${store.basedir}/last`);
  Deno.symlinkSync("NewerRevision", `${store.basedir}/last`);
  try {
    const outcome = await extract([`${store.basedir}/last`]);
    assertSuccess(outcome);
    assert(outcome.stderr.includes("Restoring NewerRevision (4 MiB, 1 distinct chunk) to "));
    assertBytes(outcome.stdout, newer.image);
  } finally {
    Deno.removeSync(`${store.basedir}/last`);
    Deno.symlinkSync("SampleRevision", `${store.basedir}/last`);
  }
});

Deno.test("Metadata is not needed: none, garbage, distrusted or unfinished revisions restore", async () => {
  store.add("NoMetadata", [sampleBytes(1, 100)]);
  const unfinished =
    'warning: Revision "NoMetadata" is unfinished: its backup did not run to its end';
  const distrusted =
    'warning: Revision "NoMetadata" is distrusted: it may differ from what was backed up';
  const cases: [metadata: string | null, warnings: string[]][] = [
    [null, []],
    ["\0garbage: [", []],
    ["trust: distrusted\nstats: {}\n", [unfinished, distrusted]],
  ];
  for (const [metadata, says] of cases) {
    const path = `${store.basedir}/NoMetadata.rev`;
    if (metadata === null) Deno.removeSync(path);
    else Deno.writeTextFileSync(path, metadata);
    const outcome = await extract([`${store.basedir}/NoMetadata`]);
    assertSuccess(outcome, { says });
    assertBytes(outcome.stdout, sampleBytes(1, 100));
  }
});

Deno.test("A path that is not a revision is refused with the reason: exit 10, nothing is created", async () => {
  const { basedir } = store;
  const path = store.file("not-made");
  Deno.writeTextFileSync(`${basedir}/OnlyMetadata.rev`, "server: ''\nuuid: OnlyMetadata\n");
  Deno.writeTextFileSync(`${basedir}/Remote.rev`, "server: backup02\nuuid: Remote\n");
  Deno.symlinkSync("nothing", `${basedir}/dangling`);
  Deno.mkdirSync(store.file("no-store"));
  Deno.writeTextFileSync(store.file("no-store/Revision"), '{"mapping": {}, "size": 0}');
  const refused: [revision: string, message: string | RegExp][] = [
    [
      `${basedir}/Missing`,
      `Cannot open revision "${basedir}/Missing": there is no such revision; ` +
      `"backy-extract list ${basedir}" shows what there is`,
    ],
    [
      `${basedir}/OnlyMetadata`,
      /^Cannot open revision ".*": its map is missing, there is only its metadata; "backy-extract list /,
    ],
    [
      `${basedir}/Remote`,
      /^Cannot open revision ".*": it lives on server "backup02", only its metadata is here; restore it there$/,
    ],
    [`${basedir}/SampleRevision.rev`, /it is a revision's metadata, name the revision without/],
    [`${basedir}/dangling`, /it is a symbolic link to nothing; "backy-extract list /],
    [
      basedir,
      /it is a directory, name a revision in it \(DIR\/UUID or DIR\/SPEC, or -r SPEC\); "backy/,
    ],
    ["/dev/null", /it is not a regular file$/],
    [
      store.file("no-store/Revision"),
      /^Cannot open backup directory ".*no-store": there is no "chunks\/store" in it/,
    ],
    [
      store.file("nowhere/Revision"),
      `Cannot open revision "${store.file("nowhere/Revision")}": there is no such revision; ` +
      `there is no directory "${store.file("nowhere")}"; ` +
      `there are backup directories beside it: "${store.file("link-to-store")}", "${basedir}"`,
    ],
  ];
  for (const [revision, message] of refused) {
    assertFailure(await extract([revision, path]), { code: STORE, says: [message] });
  }
  assert(![...Deno.readDirSync(store.file("."))].some(({ name }) => name === "not-made"));
});

Deno.test("A store in another format is refused by its tag: exit 10", async () => {
  const tag = `${store.basedir}/chunks/store`;
  for (
    const [text, said] of [
      ["v1", '"v1"'],
      ["v2x\n", "something else"],
      ["hunter2", "something else"],
      ["", "nothing"],
    ] as const
  ) {
    await store.withDamage(tag, (path) => Deno.writeTextFileSync(path, text), async () => {
      assertFailure(await extract([store.revision.path]), {
        code: STORE,
        says: [
          `Cannot open backup directory "${store.basedir}": "chunks/store" in it, which names ` +
          `the format, holds ${said}; only "v2" is understood`,
        ],
      });
    });
  }
  await store.withDamage(tag, () => {}, async () => {
    assertFailure(await extract([store.revision.path]), {
      code: STORE,
      says: [
        /^Cannot open backup directory ".*": there are revisions, but no "chunks\/store", .* write that/,
      ],
    });
  });
  await store.withDamage(tag, (path) => Deno.writeTextFileSync(path, " v2 \n"), async () => {
    assertSuccess(await extract([store.revision.path]));
  });
});

const ID = "4db6e194fd398e8edb76e11054d73eb0";
const BAD_MAPS: readonly [name: string, text: string][] = [
  ["empty", ""],
  ["no JSON", "backend_type: chunked\n"],
  ["truncated", `{"mapping": {"0": "${ID.slice(0, 20)}`],
  ["without a size", `{"mapping": {"0": "${ID}"}}`],
  ["without a mapping", '{"size": 4194304}'],
  ["with a negative size", '{"mapping": {}, "size": -1}'],
  ["with a fractional size", '{"mapping": {}, "size": 1.5}'],
  ["with a huge size", '{"mapping": {}, "size": 1e300}'],
  ["with a size as text", '{"mapping": {}, "size": "4194304"}'],
  [
    "with a path for an id",
    '{"mapping": {"0": "../../../../../../../etc/passwd"}, "size": 4194304}',
  ],
  ["with an id in capitals", `{"mapping": {"0": "${ID.toUpperCase()}"}, "size": 4194304}`],
  ["with a short id", `{"mapping": {"0": "${ID.slice(1)}"}, "size": 4194304}`],
  ["with a key that is no seq", `{"mapping": {"x": "${ID}"}, "size": 4194304}`],
  ["with a key that is not canonical", `{"mapping": {"00": "${ID}"}, "size": 4194304}`],
  ["with a seq behind the end", `{"mapping": {"1": "${ID}"}, "size": 4194304}`],
  ["with a seq twice", `{"mapping": {"0": "${ID}", "0": "${ID}"}, "size": 4194304}`],
  ["with something behind it", `{"mapping": {}, "size": 4194304}]`],
  ["in a list", `[{"mapping": {}, "size": 4194304}]`],
];

Deno.test("A map that is not valid is refused: exit 10, one line, target untouched", async (t) => {
  const target = store.file("untouched", "old");
  const revision = `${store.basedir}/BadMap`;
  for (const [name, text] of BAD_MAPS) {
    await t.step(`A map ${name}`, async () => {
      Deno.writeTextFileSync(revision, text);
      assertFailure(await extract([revision, target]), {
        code: STORE,
        says: [new RegExp(`^Cannot read revision map "${revision}": .*$`)],
      });
      assertEquals(Deno.readTextFileSync(target), "old");
    });
  }
});

Deno.test("A map in any order, with unknown members and spaces, is restored", async () => {
  const [id] = store.revision.ids;
  const revision = `${store.basedir}/OddMap`;
  const size = 2 * CHUNK_BYTES + 10;
  Deno.writeTextFileSync(
    revision,
    `\n{ "size":${size} ,"x":{"mapping":[1,{"size":3}]}, "mapping" : {"2":"${id}",\t"0": "${id}"}}\n`,
  );
  const outcome = await extract([revision]);
  assertSuccess(outcome);
  const expected = new Uint8Array(size);
  expected.set(store.image.subarray(0, CHUNK_BYTES));
  expected.set(store.image.subarray(0, 10), 2 * CHUNK_BYTES);
  assertBytes(outcome.stdout, expected);
});
