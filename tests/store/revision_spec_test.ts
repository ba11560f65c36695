import { UsageError } from "../../lib/errors.ts";
import type { CatalogEntry } from "../../lib/store/catalog.ts";
import { parseRevisionInfo } from "../../lib/store/revision_info.ts";
import {
  parseRevisionSpec,
  type ResolvedSpec,
  resolveRevisionSpec,
} from "../../lib/store/revision_spec.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { cpuMs } from "../support/cpu_time.ts";

interface Row {
  readonly time: string;
  readonly tags?: readonly string[];
  readonly trust?: string;
  readonly server?: string;
  readonly isComplete?: boolean;
}

function entryOf(name: string, row: Row): CatalogEntry {
  const lines = [
    `uuid: '${name}'`,
    `timestamp: ${row.time}`,
    `tags: ${JSON.stringify(row.tags ?? [])}`,
    `server: '${row.server ?? ""}'`,
    `trust: ${row.trust ?? "trusted"}`,
    row.isComplete === false ? "stats: {}" : "stats: {duration: 1}",
  ];
  const info = parseRevisionInfo(lines.join("\n"), `${name}.rev`);
  const isLocal = info.server === "";
  const flags = { hasMap: isLocal, isLocal, isChunked: true };
  const paths = { mapPath: name, metadataPath: `${name}.rev`, metadataVersion: null };
  return { name, info, time: info.timestamp, ...paths, ...flags };
}

/** Oldest first, as in a catalog; the newest backup is running. */
const HISTORY: readonly CatalogEntry[] = Object.entries<Row>({
  a: { time: "2026-01-08 12:00:00+00:00", tags: ["daily", "weekly"] },
  b: { time: "2026-01-09 12:00:00+00:00", tags: ["daily"], trust: "distrusted" },
  c: { time: "2026-01-10 12:00:00+00:00", tags: ["daily"], server: "backup7" },
  d: {
    time: "2026-01-11 17:45:25.666942+00:00",
    tags: ["manual:before/upgrade 2"],
    trust: "verified",
  },
  e: { time: "2026-01-12 12:00:00+00:00", tags: ["daily"], isComplete: false },
}).map(([name, row]) => entryOf(name, row));

class Refusal extends Error {}

function resolve(spec: string, entries: readonly CatalogEntry[] = HISTORY): ResolvedSpec {
  return resolveRevisionSpec(parseRevisionSpec(spec), entries, (state) => new Refusal(state));
}

function namesOf(entries: readonly CatalogEntry[]): string {
  return entries.map(({ name }) => name).join(" ");
}

/**
 * Returns the names of what a spec means, as in "a b c", or why it means nothing, as in "!there is
 * no revision "x"".
 */
function named(spec: string, entries: readonly CatalogEntry[] = HISTORY): string {
  try {
    return namesOf(resolve(spec, entries).entries);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return `!${error.message}`;
  }
}

function assertMeans(specs: Record<string, string>, entries = HISTORY): void {
  for (const [spec, names] of Object.entries(specs)) {
    assertEquals(named(spec, entries), names, `of spec "${spec}"`);
  }
}

/** Why a name means nothing, and why nothing can be chosen, in the form of {@linkcode named}. */
const unknown = (name: string) => `!there is no revision "${name}"`;
const nothingFor = (purpose: string) => `!there is no revision that "${purpose}" could choose from`;
const TOO_OLD = "!there is no revision as old as that date";

/** Runs a test in another time zone. */
function inZone(zone: string, run: () => void): void {
  const before = Deno.env.get("TZ");
  Deno.env.set("TZ", zone);
  try {
    run();
  } finally {
    // If the variable were unset, the runtime would keep the zone.
    Deno.env.set("TZ", before ?? "");
    if (before === undefined) Deno.env.delete("TZ");
  }
}

Deno.test("resolveRevisionSpec() finds single revisions", () => {
  assertMeans({
    "last": "e",
    "latest": "e",
    "first": "a",
    "0": "e",
    "1": "d",
    "4": "a",
    "5": '!there is no revision "5", the oldest is 4',
    "99999999999999999999": '!there is no revision "99999999999999999999", the oldest is 4',
    "b": "b",
    "B": unknown("B"),
    "nobody": unknown("nobody"),
    "VNzWKjnMqd6w58nzJwUZ98": unknown("VNzWKjnMqd6w58nzJwUZ98"),
    "b3f1c2d4-0000-4000-8000-000000000000": unknown("b3f1c2d4-0000-4000-8000-000000000000"),
  });
});

Deno.test("resolveRevisionSpec() takes a uuid of digits that cannot count back as a uuid", () => {
  const entries = [entryOf("1", { time: "2026-01-01" }), entryOf("77", { time: "2026-01-02" })];
  const noSuch = '!there is no revision "76", the oldest is 1';
  assertMeans({ "77": "77", "1": "1", "0": "77", "76": noSuch }, entries);
});

Deno.test("resolveRevisionSpec() finds revisions by their properties", () => {
  assertMeans({
    "all": "a b c d e",
    "clean": "a b c d",
    "local": "a b d e",
    "remote": "c",
    "server:": "a b d e",
    "server:backup7": "c",
    "server: backup7": "c",
    "server:other": "",
    "tag:daily": "a b c e",
    "tag:weekly": "a",
    "tag:none": "",
    "tag:dail": "",
    "tag:manual:before/upgrade 2": "d",
    "trust:trusted": "a c e",
    "trust:distrusted": "b",
    "trust:Verified": "d",
  });
});

Deno.test("resolveRevisionSpec() applies functions", () => {
  assertMeans({
    "first(tag:daily)": "a",
    "last(tag:daily)": "e",
    "last(tag:daily & clean & local)": "b",
    "last(tag:none)": nothingFor("last(...)"),
    "first(tag:none)": nothingFor("first(...)"),
    "not(tag:daily)": "d",
    "not(all)": "",
    "not(tag:none)": "a b c d e",
    "not(last)": "a b c d",
    "not(not(tag:daily))": "a b c e",
    "reverse(all)": "e d c b a",
    "first(reverse(all))": "e",
    "last(reverse(clean))": "a",
    "reverse(reverse(all))": "a b c d e",
    "not(reverse(tag:daily))": "d",
  });
});

Deno.test("resolveRevisionSpec() keeps the order of a list, and each revision once", () => {
  assertMeans({
    "a,c": "a c",
    "c,a": "c a",
    "last, first, last": "e a",
    "tag:weekly,tag:daily": "a b c e",
    "b,all": "b a c d e",
    "last(c,a)": "a",
    "reverse(a,b) & all": "b a",
    "all & reverse(a,b)": "a b",
  });
});

Deno.test("parseRevisionSpec() binds .. tighter than &, and that tighter than ,", () => {
  assertMeans({
    "a,tag:daily & trust:distrusted": "a b",
    "tag:daily & trust:distrusted,a": "b a",
    "(a,tag:daily) & trust:distrusted": "b",
    "tag:daily & a..b": "a b",
    "a..b & tag:weekly": "a",
    "b..c,e": "b c e",
    "a,b..c & remote,e": "a c e",
    "not(a) & tag:daily": "b c e",
    "local & clean & tag:daily": "a b",
  });
});

Deno.test("parseRevisionSpec() ignores white space around signs and words", () => {
  assertMeans({
    "  last  ": "e",
    " last ( tag:daily  &\tclean ) ": "c",
    "a .. c": "a b c",
    " .. b": "a b",
    "( ( a ) , ( b ) )": "a b",
    "\na\n": "a",
  });
});

Deno.test("resolveRevisionSpec() finds ranges, whichever end is older", () => {
  assertMeans({
    "b..d": "b c d",
    "d..b": "b c d",
    "b..b": "b",
    "1..3": "b c d",
    "3..1": "b c d",
    "first..last": "a b c d e",
    "c..": "c d e",
    "..c": "a b c",
    "..": "a b c d e",
    "last..": "e",
    "..first": "a",
    "first(trust:verified)..": "d e",
    "..last(remote)": "a b c",
    "(b)..(c)": "b c",
    "reverse(b..d)": "d c b",
  });
});

Deno.test("resolveRevisionSpec() treats dates at the ends of ranges as instants", () => {
  assertMeans({
    "2026-01-09T12:00Z..2026-01-10T12:00:00Z": "b c",
    "2026-01-09T12:00:00.001Z..2026-01-10T11:59:59.999Z": "",
    "2026-01-09T11:59Z..2026-01-10T12:01Z": "b c",
    "2026-01-10T12:01Z..2026-01-09T11:59Z": "b c",
    "2026-01-01T00:00Z..2026-01-02T00:00Z": "",
    "2027-01-01T00:00Z..2027-01-02T00:00Z": "",
    "2026-01-01T00:00Z..2027-01-02T00:00Z": "a b c d e",
    "..2026-01-09T12:00Z": "a b",
    "..2026-01-09T11:59Z": "a",
    "2026-01-11T17:45:25.666Z..": "d e",
    "2026-01-11T17:45:25.667Z..": "e",
    "..2026-01-11T17:45:25Z": "a b c",
    "..2026-01-11 17:45:25.666942 +00:00": "a b c d",
    "b..2026-01-11T00:00Z": "b c",
    "2026-01-11T00:00Z..b": "b c",
    "c..2026-01-10T13:00Z": "c",
    "2026-01-10T13:00Z..c": "c",
    "..2026-01-01T00:00Z": "",
    "2027-01-01T00:00Z..": "",
  });
  inZone("UTC", () => {
    // The midnight at which the day begins, as in backy.
    assertMeans({
      "2026-01-09..2026-01-11": "b c",
      "..2026-01-11": "a b c",
      "2026-01-11..": "d e",
      "2026-01-11..2026-01-11": "",
    });
  });
});

Deno.test("resolveRevisionSpec() takes a date by itself as the newest revision that is not later", () => {
  assertMeans({
    "2026-01-11T17:45:25.666Z": "d",
    "2026-01-11T17:45:25.665Z": "c",
    "2026-01-11T17:44Z": "c",
    "2026-01-11T17:46Z": "d",
    "2026-01-11T18:45+01:00": "d",
    "2026-01-11 17:45 +00": "d",
    "2026-01-11T16:46-0100": "d",
    "2026-01-11t17:46z": "d",
    "2026-01-08T11:59:59Z": TOO_OLD,
    "2026-01-08T12:00Z": "a",
    "2030-12-31T00:00Z": "e",
    "0001-01-01T00:00Z": TOO_OLD,
    "tag:daily & 2026-01-11T17:46Z": "",
    "last(tag:daily & ..2026-01-11T17:46Z)": "c",
  });
});

Deno.test("resolveRevisionSpec() lets a date by itself cover all that it names, as listings show it", () => {
  assertMeans({
    "2026-01-11T17:45:25Z": "d",
    "2026-01-11T17:45:24Z": "c",
    "2026-01-11T17:45Z": "d",
    "2026-01-11T17Z": "d",
    "2026-01-11T16Z": "c",
    "2026-01-11T17:45:25.6Z": "c",
  });
  inZone("UTC", () => {
    assertMeans({ "2026-01-11": "d", "2026-01-10": "c", "2026-01-12": "e", "2026-01-07": TOO_OLD });
  });
});

Deno.test("parseRevisionSpec() takes a date without a zone as one in the host's zone", () => {
  inZone("America/New_York", () => {
    assertMeans({
      "2026-01-11 12:45": "d",
      "2026-01-11 12:44": "c",
      "2026-01-11T12:45:25.666": "d",
      "2026-01-11T12:45:25.665": "c",
    });
  });
  const late = [entryOf("late", { time: "2026-01-11 23:30:00+00:00" })];
  inZone("Europe/Berlin", () => {
    assertMeans({ "2026-01-11": TOO_OLD, "2026-01-12": "late", "2026-01-12..": "late" }, late);
    assertMeans({ "2026-01-12 00:30..": "late", "2026-01-12 00:31..": "" }, late);
  });
  inZone("UTC", () => assertMeans({ "2026-01-11": "late", "2026-01-12..": "" }, late));
});

Deno.test("parseRevisionSpec() knows days of 23 and 25 hours", () => {
  inZone("Europe/Berlin", () => {
    for (
      const [day, start, hours] of [
        ["2026-03-29", "2026-03-28T23:00:00Z", 23],
        ["2026-10-25", "2026-10-24T22:00:00Z", 25],
        ["2026-12-31", "2026-12-30T23:00:00Z", 24],
      ] as const
    ) {
      const spec = parseRevisionSpec(day);
      assert(spec.kind === "date");
      assertEquals(new Date(spec.date.start), new Date(start));
      assertEquals(spec.date.end + 1 - spec.date.start, hours * 3_600_000);
    }
    const skipped = parseRevisionSpec("2026-03-29T02:30");
    assert(skipped.kind === "date");
    assertEquals(new Date(skipped.date.start), new Date("2026-03-29T01:30:00Z"));
  });
});

Deno.test("resolveRevisionSpec() includes all revisions of the time at which a range ends", () => {
  const time = "2026-01-02 00:00:00+00:00";
  const entries = [
    entryOf("a", { time: "2026-01-01 00:00:00+00:00" }),
    ...["b", "c", "d"].map((name) => entryOf(name, { time })),
    entryOf("e", { time: "2026-01-03 00:00:00+00:00" }),
  ];
  assertMeans({
    "2026-01-02T00:00Z": "d",
    "2026-01-02T00:00Z..": "b c d e",
    "..2026-01-02T00:00Z": "a b c d",
    "2026-01-02T00:00Z..2026-01-02T00:00Z": "b c d",
    "c..": "c d e",
  }, entries);
});

Deno.test("resolveRevisionSpec() refuses a name that does not exist anywhere in the spec", () => {
  for (
    const spec of [
      "typo",
      "(typo)",
      "last(not(typo))",
      "not(typo)",
      "typo,first",
      "first,typo",
      "clean & typo",
      "typo & tag:none",
      "tag:none & typo",
      "first..typo",
      "typo..",
      "..typo",
      "2026-01-01..typo",
      "reverse(typo)",
      "first(typo,a)",
      "all,(a & not(typo))",
    ]
  ) {
    assertMeans({ [spec]: unknown("typo") });
    assertMeans({ [spec.replace("typo", "99")]: '!there is no revision "99", the oldest is 4' });
  }
  assertMeans({ "last(not(2026-01-01))": TOO_OLD, "first,2026-01-01": TOO_OLD });
  const long = "x".repeat(1000);
  assertMeans({ [long]: `!there is no revision "${"x".repeat(64)}…"` });
});

Deno.test("resolveRevisionSpec() refuses to choose from nothing anywhere in the spec", () => {
  for (
    const spec of [
      "last(tag:none)",
      "all,last(tag:none)",
      "not(last(tag:none))",
      "last(last(server:other))",
      "last(tag:none)..",
      "first..last(not(all))",
      "last(a & b)",
      "last(2026-01-01..2026-01-02)",
    ]
  ) {
    assertMeans({ [spec]: nothingFor("last(...)") });
  }
  assertMeans({ "first(trust:verified & remote)": nothingFor("first(...)") });
});

Deno.test("resolveRevisionSpec() accepts empty sets", () => {
  assertMeans({
    "tag:none": "",
    "server:other": "",
    "trust:verified & remote": "",
    "not(tag:none)": "a b c d e",
    "last(not(tag:none))": "e",
    "reverse(tag:none)": "",
    "tag:none,a": "a",
    "a,tag:none & all": "a",
    "not(all)": "",
    "a & b": "",
    "2020-01-01..2020-12-31": "",
  });
});

Deno.test("resolveRevisionSpec() skips revisions without a time unless they are named", () => {
  const entries = [
    entryOf("x", { time: "null", tags: ["daily", "odd"] }),
    entryOf("y", { time: "someday", isComplete: false }),
    ...HISTORY,
  ];
  const all = "x y a b c d e";
  // What each spec means, and what it skips.
  const cases: Record<string, [string, string]> = {
    "last": ["e", "x y"],
    "first": ["a", "x y"],
    "0": ["e", "x y"],
    "4": ["a", "x y"],
    "5": ['!there is no revision "5", the oldest is 4', ""],
    "2026-01-10T13:00Z": ["c", "x y"],
    "0001-01-01T00:00Z": [TOO_OLD, ""],
    "..": ["a b c d e", "x y"],
    "first..last": ["a b c d e", "x y"],
    "..2026-01-09T12:00Z": ["a b", "x y"],
    "2026-01-11T17:00Z..": ["d e", "x y"],
    "0001-01-01..9999-01-01": ["a b c d e", "x y"],
    "3..1": ["b c d", "x y"],
    "last(all)": ["e", "x y"],
    "first(all)": ["a", "x y"],
    "first(tag:daily)": ["a", "x"],
    "last(reverse(all))": ["a", "x y"],
    "first(clean)": ["a", "x"],
    "last(tag:weekly)": ["a", ""],
    "last(not(x))": ["e", "y"],
    "first(a..c)": ["a", "x y"],
    "last(tag:odd)": [
      '!there is no revision whose time is known that "last(...)" could choose from',
      "",
    ],
    "last(x)": ['!there is no revision whose time is known that "last(...)" could choose from', ""],
    "x..c": ['!the time of revision "x" is unknown, so no range can end there', ""],
    "c..x": ['!the time of revision "x" is unknown, so no range can end there', ""],
    // By name or by a property.
    "x": ["x", ""],
    "x,last": ["x e", "x y"],
    "all": [all, ""],
    "clean": ["x a b c d", ""],
    "tag:odd": ["x", ""],
    "tag:daily": ["x a b c e", ""],
    "local": ["x y a b d e", ""],
    "reverse(all)": ["e d c b a y x", ""],
    "not(last)": ["x y a b c d", "x y"],
    "not(tag:daily)": ["y d", ""],
  };
  for (const [spec, [names, passedOver]] of Object.entries(cases)) {
    assertMeans({ [spec]: names }, entries);
    if (!names.startsWith("!")) {
      assertEquals(namesOf(resolve(spec, entries).passedOver), passedOver, spec);
    }
  }
  const undated = entries.slice(0, 2);
  const nothing = '!there is no revision whose time is known that "last" could choose from';
  assertMeans({ "last": nothing, "0": '!there is no revision "0", none can be counted' }, undated);
  assertMeans({ "all": "x y", "..": "", "2026-01-01..": "" }, undated);
});

Deno.test("resolveRevisionSpec() finds sets empty and all else missing in an empty directory", () => {
  for (const spec of ["all", "clean", "reverse(all)", "remote", "..", "..2026-01-11"]) {
    assertEquals(named(spec, []), "", spec);
  }
  for (
    const spec of ["last", "first", "0", "not(a)", "first..", "2026-01-11", "last(all)", "a,b & c"]
  ) {
    assertEquals(named(spec, []).startsWith("!there is no revision"), true, spec);
  }
});

/** Asserts that a spec is refused with a text after the quoted spec. */
function assertRefused(spec: string, says: string): void {
  const { message } = assertThrows(() => parseRevisionSpec(spec), UsageError);
  assertEquals(message.split("\n").length, 1);
  assert(message.startsWith("Cannot understand revision spec "), message);
  assertEquals(message.slice(message.indexOf('": ') + 3), says, spec);
}

Deno.test("parseRevisionSpec() says what is wrong and where", () => {
  const missing = (place: string) => `a revision is missing ${place}`;
  assertRefused("", "it is empty");
  assertRefused(" \t\n", "it is empty");
  assertRefused(",a", missing('at ",a"'));
  assertRefused("a,", missing("at its end"));
  assertRefused("a,,b", missing('at ",b"'));
  assertRefused("a & & b", missing('at "& b"'));
  assertRefused("a &", missing("at its end"));
  assertRefused("()", missing('at ")"'));
  assertRefused("last()", missing('at ")"'));
  assertRefused("(", missing("at its end"));
  assertRefused("a & )", missing('at ")"'));
  assertRefused("last(tag:daily", '")" or "," or "&" is expected at its end');
  assertRefused(
    "(a (b)",
    'there is no such function (there are first, last, not, reverse) at "a (b)"',
  );
  assertRefused("a)", 'there is no "(" for the ")" at ")"');
  assertRefused("(a))", 'there is no "(" for the ")" at ")"');
  assertRefused("(a)(b)", '"," or "&" or nothing is expected at "(b)"');
  assertRefused("(a) b", '"," or "&" or nothing is expected at "b"');
  assertRefused("((a) b)", '")" or "," or "&" is expected at "b)"');
  assertRefused(
    "newest(tag:daily)",
    'there is no such function (there are first, last, not, reverse) at "newest(tag:daily)"',
  );
  assertRefused(
    "last(toString(a))",
    "there is no such function (there are first, last, not, reverse) at " +
      '"toString(a))"',
  );
});

Deno.test("parseRevisionSpec() refuses words that mean nothing", () => {
  const nothing = "this is not a revision's name, a date or a keyword";
  assertRefused("last, two words", `${nothing} at "two words"`);
  assertRefused("a/b", `${nothing} at "a/b"`);
  assertRefused("ä", `${nothing} at "ä"`);
  assertRefused("a\u202eb\x1b[0m", `${nothing} at "a\\u{202e}b\\x1b[0m"`);
  assertRefused(
    "tags:daily",
    'there is no such property (there are tag, trust, server) at "tags:daily"',
  );
  assertRefused("a, tag:", 'the tag\'s name is missing at "tag:"');
  assertRefused(
    "trust:good & a",
    'the state is not one of trusted, distrusted, verified at "trust:good & a"',
  );
  assertRefused("1, -1", 'a number counts back from the newest and has no sign at "-1"');
});

Deno.test("parseRevisionSpec() refuses dates that do not exist", () => {
  for (
    const date of [
      "2026-02-29",
      "2026-13-01",
      "2026-00-10",
      "2026-01-00",
      "2026-1-11",
      "2026-01-11T24:00",
      "2026-01-11T17:60",
      "2026-01-11T17:45:60",
      "2026-01-11T17:45+24:00",
      "2026-01-11T17:45+01:60",
      "2026-01-11 yesterday",
      "2026-01-11T1",
    ]
  ) {
    assertRefused(`${date}..`, `there is no such date or time at "${date}.."`);
  }
  assertMeans({ "2024-02-29": TOO_OLD });
  for (const name of ["2026-01-11-0", "2026-01-11x", "2026-01"]) {
    assertMeans({ [name]: unknown(name) });
  }
});

Deno.test("parseRevisionSpec() refuses ranges whose ends are more than one revision", () => {
  const single = "the end of a range must be one revision; last(...) or first(...) makes it one";
  for (
    const end of ["tag:daily", "all", "local", "not(a)", "reverse(a)", "(a,b)", "(a & b)", "(a..b)"]
  ) {
    assertRefused(`${end}..c`, `${single} at "${end}..c"`);
    assertRefused(`c..${end}`, `${single} at "${end}"`);
  }
  assertRefused("a..b..c", '"," or "&" or nothing is expected at "..c"');
  assertRefused("....", '"," or "&" or nothing is expected at ".."');
});

Deno.test("parseRevisionSpec() bounds length and nesting, and what it quotes", () => {
  const nested = (depth: number) => `${"(".repeat(depth)}a${")".repeat(depth)}`;
  assertEquals(named(nested(64)), "a");
  assertRefused(
    nested(65),
    `parentheses are nested more than 64 deep at "(a${")".repeat(38)}…"`,
  );
  assertEquals(named(`${"not(".repeat(64)}a${")".repeat(64)}`), "a");
  for (const hostile of ["(", "not(", "last(", "a,(", "..("]) {
    const spec = hostile.repeat(4000 / hostile.length);
    const { message } = assertThrows(() => parseRevisionSpec(spec), UsageError);
    assert(message.length < 400, message);
  }
  const list = `${"a,".repeat(2047)}a`;
  assertEquals(list.length, 4095);
  assertEquals(named(list), "a");
  const { message } = assertThrows(
    () => parseRevisionSpec("a".repeat(4097)),
    UsageError,
    "it has more than 4096 characters",
  );
  assert(message.length < 200);
});

Deno.test("parseRevisionSpec() refuses or accepts any text in bounded time", () => {
  const parts = [
    "a",
    "(",
    ")",
    ",",
    "&",
    "..",
    ".",
    " ",
    "last",
    "not(",
    "tag:x",
    "2026-01-11",
    "0",
  ];
  // A fixed sequence of all pairs and triples of parts.
  for (const first of parts) {
    for (const second of parts) {
      for (const third of parts) {
        const spec = first + second + third;
        try {
          named(spec);
        } catch (error) {
          assert(error instanceof UsageError, `${spec}: ${error}`);
        }
      }
    }
  }
  const startMs = cpuMs();
  const many = Array.from(
    { length: 1000 },
    (_, index) => entryOf(`r${index}`, { time: "2026-01-01" }),
  );
  assertEquals(named(`${"all,".repeat(1000)}all`, many).split(" ").length, 1000);
  const tookMs = cpuMs() - startMs;
  assert(tookMs < 5000, `${tookMs} ms`);
});
