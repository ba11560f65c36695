import { RevisionError } from "../../lib/errors.ts";
import { parseRevisionInfo, readRevisionInfo } from "../../lib/store/revision_info.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";

const PATH = "/srv/backy/vm0/VNzWKjnMqd6w58nzJwUZ98.rev";

function timestampOf(text: string): string | null {
  return parseRevisionInfo(`timestamp: ${text}\n`, PATH).timestamp?.toISOString() ?? null;
}

Deno.test("parseRevisionInfo() reads what backy 2.x writes", () => {
  const text = `# Please use backy_set to edit
backend_type: chunked
parent: ''
stats: {bytes_written: 16777216, duration: 0.08702921867370605}
tags: [daily, 'manual:before-upgrade']
timestamp: 2019-01-11 17:45:25.666942+00:00
trust: verified
uuid: VNzWKjnMqd6w58nzJwUZ98
`;
  assertEquals(parseRevisionInfo(text, PATH), {
    uuid: "VNzWKjnMqd6w58nzJwUZ98",
    timestamp: new Date("2019-01-11T17:45:25.666Z"),
    tags: ["daily", "manual:before-upgrade"],
    origTags: [],
    trust: "verified",
    server: "",
    backendType: "chunked",
    parent: null,
    stats: { bytesWritten: 16777216, durationSeconds: 0.08702921867370605 },
    isComplete: true,
  });
});

Deno.test("parseRevisionInfo() reads what backy 3.x writes", () => {
  const text = `orig_tags:
- daily
parent: 4hnV2hmTSEcHCXaTGSw6mP
server: backup7
stats:
  bytes_written: 1.0e+06
tags:
- daily
- '2024'
timestamp: '2024-05-06T07:08:09+02:00'
trust: distrusted
uuid: 12e03
`;
  assertEquals(parseRevisionInfo(text, PATH), {
    uuid: "12e03",
    timestamp: new Date("2024-05-06T05:08:09Z"),
    tags: ["daily", "2024"],
    origTags: ["daily"],
    trust: "distrusted",
    server: "backup7",
    backendType: null,
    parent: "4hnV2hmTSEcHCXaTGSw6mP",
    stats: { bytesWritten: 1000000 },
    isComplete: false,
  });
});

Deno.test("parseRevisionInfo() uses defaults for absent and odd fields", () => {
  const plain = {
    uuid: "VNzWKjnMqd6w58nzJwUZ98",
    timestamp: null,
    tags: [],
    origTags: [],
    trust: "trusted",
    server: "",
    backendType: null,
    parent: null,
    stats: {},
    isComplete: false,
  };
  assertEquals(parseRevisionInfo("uuid:", PATH), plain);
  const odd = "{timestamp: [1], tags: x, orig_tags: {a: b}, trust: , server: ~, parent: null, " +
    "stats: [duration, 1], uuid: [x], backend_type: {}, __proto__: {server: x}}";
  assertEquals(parseRevisionInfo(odd, PATH), plain);
  assertEquals(parseRevisionInfo("stats: {duration: .nan, bytes_written: -1}", PATH), plain);
});

Deno.test("parseRevisionInfo() reads all forms of a timestamp, without a zone as UTC", () => {
  assertEquals(timestampOf("2019-01-11 17:45:25.666942+00:00"), "2019-01-11T17:45:25.666Z");
  assertEquals(timestampOf("2019-01-11 17:45:25"), "2019-01-11T17:45:25.000Z");
  assertEquals(timestampOf("2019-01-11T17:45:25.5Z"), "2019-01-11T17:45:25.500Z");
  assertEquals(timestampOf("'2019-01-11T17:45:25-0130'"), "2019-01-11T19:15:25.000Z");
  assertEquals(timestampOf("2019-1-1t1:02:03 +5"), "2018-12-31T20:02:03.000Z");
  assertEquals(timestampOf("2019-01-11T17:45"), "2019-01-11T17:45:00.000Z");
  assertEquals(timestampOf("2019-01-11"), "2019-01-11T00:00:00.000Z");
  assertEquals(timestampOf("2020-02-29"), "2020-02-29T00:00:00.000Z");
});

Deno.test("parseRevisionInfo() returns null for what is not a point in time", () => {
  for (
    const text of [
      "2019-02-29",
      "2019-13-01",
      "2019-01-01 24:00:00",
      "yesterday",
      "1547228725",
      "2019-01-11 17",
    ]
  ) {
    assertEquals(timestampOf(text), null, text);
  }
});

Deno.test("parseRevisionInfo() refuses a uuid that leads out of the directory", () => {
  for (const uuid of ["../x", "/etc/passwd", '".."', ".", '"a\\0b"', '"a\\nb"', "x".repeat(256)]) {
    const error = assertThrows(() => parseRevisionInfo(`uuid: ${uuid}`, PATH), RevisionError);
    assertEquals(error.path, PATH);
    assert(error.message.length < 250);
  }
});

Deno.test("parseRevisionInfo() refuses what is not a YAML mapping, in one short line", () => {
  const long = "x".repeat(10_000);
  const wrong = [
    "",
    "text",
    "- a",
    "a: b: c",
    "[",
    "{a: [}",
    `"${long}`,
    `*${long}`,
    "a: 1\n---\nb: 2",
    "\0\0",
    "a: \x1b[31m: [",
  ];
  for (const text of wrong) {
    const error = assertThrows(() => parseRevisionInfo(text, PATH), RevisionError);
    // deno-lint-ignore no-control-regex
    assert(!/[\u0000-\u001f\u007f]/.test(error.message), error.message);
    assert(error.message.length < 300, error.message);
  }
});

Deno.test("parseRevisionInfo() survives alias bombs and deep nesting", () => {
  const names = [..."abcdefgh"];
  const bomb = names.map((name, level) => {
    const content = level === 0 ? "x" : `*${names[level - 1]}`;
    return `${name}: &${name} [${Array(9).fill(content).join(", ")}]`;
  }).join("\n");
  assertThrows(() => parseRevisionInfo(bomb, PATH), RevisionError, "not plain YAML");
  assertThrows(() => parseRevisionInfo("[".repeat(20_000), PATH), RevisionError);
});

Deno.test("parseRevisionInfo() accepts a list that is an alias", () => {
  const info = parseRevisionInfo("orig_tags: &id001 [daily]\nstats:\ntags: *id001\n", PATH);
  assertEquals(info.tags, ["daily"]);
});

Deno.test("readRevisionInfo() reads a file and refuses absent, large and special ones", () => {
  const dir = Deno.makeTempDirSync({ prefix: "backy-store-" });
  try {
    Deno.writeTextFileSync(`${dir}/a.rev`, "stats: {}\n");
    assertEquals(readRevisionInfo(`${dir}/a.rev`).uuid, "a");
    Deno.writeTextFileSync(`${dir}/b.rev`, `server: s\n#${"x".repeat(256 * 1024)}`);
    assertThrows(() => readRevisionInfo(`${dir}/b.rev`), RevisionError, "larger than 256 KiB");
    assertThrows(() => readRevisionInfo(`${dir}/c.rev`), RevisionError, "No such file");
    assertThrows(() => readRevisionInfo(dir), RevisionError, "not a regular file");
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

// Words that must never be shown: in files that are not metadata, or in fields that cannot have
// them.
const SECRET = "correct-horse";

Deno.test("parseRevisionInfo() shows no text of a file that is not a revision's metadata", () => {
  for (
    const text of [
      `password: ${SECRET}`,
      `server: ${SECRET}\nbackend_type: ${SECRET}\ntrust: ${SECRET}\ntags: [${SECRET}]`,
      `root:${SECRET}:19000:0:99999:7:::`,
      `- ${SECRET}`,
      `${SECRET}`,
      `{"auths": {"host": {"auth": "${SECRET}"}}}`,
      // The parser's messages for these would quote the text.
      `a: &b 1\nc: *${SECRET}`,
      `*${SECRET}`,
      `!${SECRET}!x y`,
      `%${SECRET} 1\n---\na: 1`,
      `a: "\\${SECRET}"`,
      `a: ${SECRET}: b`,
      `? ${SECRET}\n? ${SECRET}\n: [`,
      `uuid: ../${SECRET}`,
      `uuid: "${SECRET}\\0"`,
      `--- |\n${SECRET}\n`,
    ]
  ) {
    const error = assertThrows(() => parseRevisionInfo(text, PATH), RevisionError);
    const shown = [error.message, String(error.cause ?? ""), error.stack ?? ""].join("\n");
    assertEquals(shown.includes(SECRET), false, shown);
  }
});

Deno.test("parseRevisionInfo() withholds what does not look like a word or a host's name", () => {
  const info = (value: string) => {
    const fields = ["server", "trust", "backend_type", "parent"].map((name) => `${name}: ${value}`);
    const { server, trust, backendType, parent } = parseRevisionInfo(
      ["uuid: a", ...fields].join("\n"),
      "a.rev",
    );
    return [server, trust, backendType, parent];
  };
  for (const word of ["backup7", "backup7.example.org", "a-b_c.d"]) {
    assertEquals(info(word), [word, word, word, word]);
  }
  for (
    const text of ["two words", "a/b", '"\\e[31m"', "pa$$word", "ä", `'${"x".repeat(300)}'`, "a:b"]
  ) {
    assertEquals(info(text), ["?", "?", "?", "?"], text);
  }
  assertEquals(info("x".repeat(60)), ["x".repeat(60), "?", "?", "?"]);
  assertEquals(info("-rf")[0], "?");
});
