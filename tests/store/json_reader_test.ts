import { END, JsonReader } from "../../lib/store/json_reader.ts";
import { runSteps } from "../../lib/slices.ts";
import { assertEquals, assertThrows } from "../assert.ts";
import { BLOCK_SIZES, sourceOf } from "./byte_source.ts";

function readerOf(text: string, blockBytes: number): JsonReader {
  return new JsonReader(sourceOf(text), {
    faultAt: (problem, offset) => new SyntaxError(`${offset}: ${problem}`),
    blockBytes,
  });
}

/** Skips one value and what follows; all block sizes must give the same result. */
function skipAll(text: string): void {
  const outcomes = BLOCK_SIZES.map((blockBytes) => {
    const reader = readerOf(text, blockBytes);
    try {
      runSteps(reader.skipValue());
      if (reader.skipSpace() !== END) reader.failUnexpected("the end");
      return "";
    } catch (error) {
      return (error as Error).message;
    }
  });
  for (const outcome of outcomes) assertEquals(outcome, outcomes[0]!, text);
  if (outcomes[0] !== "") throw new SyntaxError(outcomes[0]);
}

Deno.test("JsonReader.skipValue() accepts and refuses the same texts as JSON.parse", () => {
  const valid = [
    "0",
    "-0",
    "-12.5e+10",
    "1E3",
    "1e-3",
    "true",
    "false",
    "null",
    '""',
    '"é\u{1f600}"',
    '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D"',
    "[]",
    "{}",
    " [ 1 , [ ] , { } ] ",
    '{"a":1,"b":{"c":[null]}, "":"" }',
    "\t\n\r 1 \t\n\r",
    '"\x7f"',
  ];
  const invalid = [
    "",
    " ",
    "01",
    "-",
    "1.",
    ".5",
    "1e",
    "1e+",
    "+1",
    "0x1",
    "NaN",
    "tru",
    "nul",
    "truex",
    "True",
    '"',
    '"\\',
    '"\\x"',
    '"\\u12g4"',
    '"\\u12',
    '"\n"',
    '"\0"',
    "[",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "{",
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,}',
    "{a:1}",
    "{1:1}",
    '{"a" 1}',
    "]",
    "}",
    "[}",
    "1 2",
    "\x0b1",
    "'a'",
    "//",
    "\ufeff1",
    '{"a":1]',
    "\0",
  ];
  for (const text of valid) {
    JSON.parse(text);
    skipAll(text);
  }
  for (const text of invalid) {
    assertThrows(() => JSON.parse(text), SyntaxError);
    assertThrows(() => skipAll(text), SyntaxError);
  }
});

Deno.test("JsonReader.skipValue() limits the depth of nesting", () => {
  skipAll("[".repeat(64) + "]".repeat(64));
  assertThrows(
    () => skipAll("[".repeat(65) + "]".repeat(65)),
    SyntaxError,
    "64: values are nested",
  );
  assertThrows(() => skipAll('{"a":'.repeat(100_000)), SyntaxError, "nested more than 64 deep");
});

Deno.test("JsonReader.readString() resolves escapes and counts what it resolved", () => {
  for (const blockBytes of BLOCK_SIZES) {
    assertEquals(readerOf('"\\u0073\\n"', blockBytes).readString(2), "s\n");
    assertEquals(readerOf('"abc"', blockBytes).readString(2), undefined);
    assertEquals(readerOf('  ""', blockBytes).readString(0), "");
  }
});

Deno.test("JsonReader.readNumber() cuts a long number", () => {
  assertEquals(readerOf("1".repeat(1000), 16).readNumber(), `${"1".repeat(32)}…`);
});

Deno.test("JsonReader.offset is the byte of the source at any block size", () => {
  for (const blockBytes of BLOCK_SIZES) {
    const reader = readerOf(' "abc"   :', blockBytes);
    assertEquals(reader.offset, 0);
    reader.readString(9);
    assertEquals(reader.offset, 6);
    reader.skipSpace();
    assertEquals(reader.offset, 9);
  }
});
