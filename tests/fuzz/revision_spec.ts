/**
 * Fuzzes revision specs: text is refused in one line, or selects a list of revisions that obeys the
 * language's laws.
 *
 * Input: a spec's text.
 *
 * @module
 */

import { RevisionError, UsageError } from "../../lib/errors.ts";
import { parseRevisionSpec, resolveRevisionSpec } from "../../lib/store/revision_spec.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import type { Random } from "../support/random.ts";
import { fakeEntry } from "../fuse/fake_entry.ts";
import { type FuzzTarget, inputOf, pick, requirePrintable, textOf } from "./fuzz_target.ts";

const UNDATED = "undated";

const ENTRIES = [UNDATED, "a", "b", "77", "2", "last", "c.d-e_f", "VNzWKjnMqd6w58nzJwUZ98"].map((
  name,
  index,
) => fakeEntry(name, 1 + index, name === UNDATED ? { time: null } : {}, index % 3 !== 1));

const WORDS = [
  ...["last", "latest", "first", "all", "clean", "local", "remote", "0", "1", "2", "6", "77"],
  ...["a", "b", UNDATED, "c.d-e_f", "VNzWKjnMqd6w58nzJwUZ98", "nobody", "tag:daily", "tag: none"],
  ...["tag:manual:before-upgrade", "trust:trusted", "trust:Distrusted", "server:", "server:x"],
  ...["2026-01-03", "2026-01-03 00:00", "2026-01-03T00:00:00.000Z", "2026-01-04 12:30+01:00"],
  ...["99999999999999999999", "-1", "tag:", "trust:x", "foo:bar", "2026-02-30", "\x1b[31m", ""],
];
const SIGNS = ["..", ",", "&", "(", ")", " ", "first(", "last(", "not(", "reverse(", ".", "\n"];

/** Usually a spec that follows the grammar. */
function makeSpec(random: Random, depth: number): string {
  if (depth === 0) return pick(random, WORDS);
  const inner = () => makeSpec(random, depth - 1 - random(2) > 0 ? depth - 1 : 0);
  switch (random(9)) {
    case 0:
      return `${inner()},${inner()}`;
    case 1:
      return `${inner()} & ${inner()}`;
    case 2:
      return `(${inner()})`;
    case 3:
    case 4:
      return `${pick(random, ["first", "last", "not", "reverse"])}(${inner()})`;
    case 5:
      return `${pick(random, WORDS)}..${random(3) ? pick(random, WORDS) : ""}`;
    case 6:
      return `..${pick(random, WORDS)}`;
    default:
      return pick(random, WORDS);
  }
}

function namesOf(text: string): string[] {
  const refuse = (state: string) => new RevisionError(state, { path: "" });
  const { entries } = resolveRevisionSpec(parseRevisionSpec(text), ENTRIES, refuse);
  return entries.map(({ name }) => name);
}

/**
 * Asserts that a spec is refused because it names something that does not exist or chooses from
 * nothing.
 */
function assertUnknown(text: string): void {
  assertThrows(() => namesOf(text), RevisionError, "there is no revision");
}

/** Revision specs. */
export const revisionSpec: FuzzTarget = {
  name: "revision-spec",
  promise: "refuses in one printable line, or obeys the laws of its functions and signs",
  leastTaken: 0.2,

  generate(random) {
    if (random(500) === 0) {
      return inputOf(pick(random, ["(", "not(", "a,", "a..", "&"]).repeat(random(5000)));
    }
    let text = makeSpec(random, random(5));
    for (let count = random(3) ? 0 : 1 + random(3); count > 0; count--) {
      const at = random(text.length + 1);
      const sign = random(4) ? pick(random, SIGNS) : String.fromCharCode(random(0x3000));
      text = text.slice(0, at) + (random(3) ? sign : "") + text.slice(at + random(2));
    }
    return inputOf(text);
  },

  check(input) {
    const text = textOf(input);
    let names: string[];
    try {
      names = namesOf(text);
    } catch (error) {
      if (!(error instanceof UsageError || error instanceof RevisionError)) throw error;
      requirePrintable(error.message);
      return false;
    }
    assertEquals(new Set(names).size, names.length, "a revision is there twice");
    // Room for the text around it.
    if (text.length > 1000 || text.split("(").length > 50) return true;
    const complement = ENTRIES.map(({ name }) => name).filter((name) => !names.includes(name));
    assertEquals(namesOf(`(${text})`), names);
    assertEquals(namesOf(` ${text}\t`), names);
    assertEquals(namesOf(`(${text}) & all`), names);
    assertEquals(namesOf(`${text},${text}`), names);
    for (const spec of [`${text},nobody`, `(${text}) & nobody`, `not((${text}) & 99)`]) {
      assertUnknown(spec);
    }
    assertEquals(namesOf(`not(${text})`), complement);
    assertEquals(namesOf(`(${text}) & not(${text})`), []);
    assertEquals(namesOf(`reverse(${text})`), names.toReversed());
    assertEquals(namesOf(`reverse(reverse(${text}))`), names);
    const dated = names.filter((name) => name !== UNDATED);
    for (const [spec, at] of [[`first(${text})`, 0], [`last(${text})`, -1]] as const) {
      if (dated.length === 0) assertUnknown(spec);
      else assertEquals(namesOf(spec), [dated.at(at)!]);
    }
    assert(namesOf(`all,${text}`).length === ENTRIES.length);
    return true;
  },
};
