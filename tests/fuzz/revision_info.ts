/**
 * Fuzzes the parser of revision metadata: it refuses in one line or returns harmless values, and
 * never takes long.
 *
 * Input: a metadata file's bytes.
 *
 * @module
 */

import { renderRevisions } from "../../lib/cli/list_table.ts";
import { renderJsonLine } from "../../lib/cli/json_line.ts";
import { RevisionError } from "../../lib/errors.ts";
import { runSteps } from "../../lib/slices.ts";
import { parseRevisionInfo } from "../../lib/store/revision_info.ts";
import { assert, assertEquals } from "../assert.ts";
import type { Random } from "../support/random.ts";
import { type FuzzTarget, inputOf, pick, requirePrintable, textOf } from "./fuzz_target.ts";

const SEEDS = [
  "# comment\nbackend_type: chunked\nparent: ''\nstats: {bytes_written: 16777216, duration: 0.087}\n" +
  "tags: [daily, 'manual:before-upgrade']\ntimestamp: 2019-01-11 17:45:25.666942+00:00\n" +
  "trust: trusted\nuuid: VNzWKjnMqd6w58nzJwUZ98\n",
  "orig_tags: &id001 [daily]\ntags: *id001\nserver: 'backup7'\nuuid: x\n" +
  "stats:\n  bytes_written: 1\n  duration: 1e3\ntimestamp: '2019-01-11T17:45:25'\n",
  "{uuid: a, tags: [a, b], stats: {}, trust: distrusted, parent: null}",
];
const SNIPPETS = [
  ..."{}[]\"':,&*!|>%@`#-? \n\t\r\0\x07\x1b\x7f\u0085\u009b\u202e\u2028\ufeff\ud800é😀~",
  "uuid: ",
  "uuid: ../../x\n",
  "tags: ",
  "- ",
  "\n  ",
  "&a ",
  "*a",
  "<<: ",
  "!!python/object/apply:os.system [id]",
  "!!binary ",
  "---\n",
  "...\n",
  "%YAML 1.1\n",
  '"\\x1b[2J\\u202e\\0"',
  "'\x1b]0;x\x07'",
  "|\n  text\n",
  "? ",
  "9".repeat(400),
  "-1",
  ".inf",
  "2024-02-30",
  "0000-00-00 99:99:99",
  "9999-12-31 23:59:60.999999999999+99:99",
  "__proto__: ",
  "constructor: ",
];

/** Small texts that are expensive to parse. */
const HEAVY = [
  "[",
  "{",
  "- ",
  "? ",
  "&a *a ",
  "a: ",
  "!",
  "'",
  '"\\',
  "[a,",
  "{a: ",
  "\n ",
  "*x ,",
];

function mutate(text: string, random: Random): string {
  const at = random(text.length + 1);
  const snippet = pick(random, SNIPPETS);
  switch (random(8)) {
    case 0:
    case 1:
      return text.slice(0, at) + snippet + text.slice(at);
    case 2:
      return text.slice(0, at) + snippet + text.slice(at + snippet.length);
    case 3:
      return text.slice(0, at) + text.slice(at + 1 + random(20));
    case 4:
      return text.slice(0, at);
    case 5: {
      // Another value for one of the fields.
      const fields = [...text.matchAll(/: ?([^\n,}]*)/g)];
      const field = fields[random(fields.length)];
      if (!field) return text;
      const start = field.index + field[0].length - field[1]!.length;
      return text.slice(0, start) + snippet + text.slice(field.index + field[0].length);
    }
    case 6:
      return text.slice(0, at) + text.slice(random(text.length + 1));
    default:
      return random(20) === 0
        ? text.slice(0, at) + pick(random, HEAVY).repeat(random(3000)) + text.slice(at)
        : text.slice(0, at) + String.fromCharCode(random(random(2) ? 128 : 0x10000)) +
          text.slice(at);
  }
}

/** The parser of revision metadata. */
export const revisionInfo: FuzzTarget = {
  name: "revision-info",
  promise: "refuses in one printable line, or gives a safe name, sane numbers and printable rows",
  leastTaken: 0.1,

  generate(random) {
    let text = pick(random, SEEDS);
    for (let count = 1 + random(4); count > 0; count--) text = mutate(text, random);
    return inputOf(text);
  },

  check(input) {
    let info;
    try {
      info = parseRevisionInfo(textOf(input), "/srv/backy/vm0/name.rev");
    } catch (error) {
      if (!(error instanceof RevisionError)) throw error;
      requirePrintable(error.message);
      assertEquals(error.path, "/srv/backy/vm0/name.rev");
      return false;
    }
    const { uuid, timestamp, tags, origTags, stats, isComplete } = info;
    // deno-lint-ignore no-control-regex
    const isSafe = !/[/\u0000-\u001f\u007f]/.test(uuid) && uuid !== "." && uuid !== "..";
    assert(isSafe && uuid.length > 0 && uuid.length <= 255, JSON.stringify(uuid));
    assert(timestamp === null || !Number.isNaN(timestamp.getTime()), "no time");
    for (const text of [...tags, ...origTags, info.trust, info.server]) {
      assert(typeof text === "string");
    }
    for (const number of [stats.bytesWritten, stats.durationSeconds]) {
      assert(number === undefined || (Number.isFinite(number) && number >= 0), `${number}`);
    }
    assertEquals(isComplete, stats.durationSeconds !== undefined);
    const time = timestamp ?? new Date(0);
    const flags = { hasMap: false, isLocal: info.server === "", isChunked: true };
    const paths = { mapPath: uuid, metadataPath: `${uuid}.rev`, metadataVersion: null };
    const entry = { name: uuid, info, time, ...paths, ...flags };
    const row = { entry, state: "no-map", reason: "its map is missing", facts: null } as const;
    const table = [...runSteps(renderRevisions([row], 100))];
    // What does not fit has a line of its own.
    assert(table.length === 3 || table.length === 4, table.join("\n"));
    for (const line of table) assert(!/[\p{C}\p{Zl}\p{Zp}]/u.test(line));
    const line = renderJsonLine({ ...info });
    assert(!/[\p{C}\p{Zl}\p{Zp}]/u.test(line.trimEnd()), JSON.stringify(line));
    assertEquals(JSON.parse(line).uuid, uuid);
    return true;
  },
};
