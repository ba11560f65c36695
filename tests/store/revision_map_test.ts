import { RevisionError } from "../../lib/errors.ts";
import type { ByteSource } from "../../lib/store/json_reader.ts";
import { CHUNK_BYTES, chunkIdToHex, MAX_IMAGE_BYTES } from "../../lib/store/layout.ts";
import {
  parseRevisionMap,
  parseRevisionSize,
  readRevisionMap,
  readRevisionSize,
  type RevisionMap,
} from "../../lib/store/revision_map.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { BLOCK_SIZES, sourceOf } from "./byte_source.ts";

const A = "4db6e194fd398e8edb76e11054d73eb0";
const B = "c72b4ba82d1f51b71c8a18195ad33fc8";
const ABSENT = "0".repeat(32);
const PATH = "/srv/backy/vm0/rev1";

/** Parses at every block size and checks that the outcome is the same. */
function parse(content: string | Uint8Array): RevisionMap {
  const outcomes = BLOCK_SIZES.map((blockBytes) => {
    try {
      return parseRevisionMap(sourceOf(content), { path: PATH, blockBytes });
    } catch (error) {
      return error as Error;
    }
  });
  const first = outcomes[0]!;
  for (const outcome of outcomes) {
    if (outcome instanceof Error) assertEquals(outcome.message, String((first as Error).message));
    else assertEquals(outcome, first as RevisionMap);
  }
  if (first instanceof Error) throw first;
  return first;
}

function idsOf(map: RevisionMap): string[] {
  return Array.from({ length: map.seqCount }, (_, seq) => chunkIdToHex(map.ids, seq * 16));
}

function assertRefused(content: string | Uint8Array, offset: number, problem: string): void {
  const error = assertThrows(() => parse(content), RevisionError);
  const expected = `Cannot read revision map "${PATH}": at byte ${offset}: ${problem}`;
  assertEquals(error.message.slice(0, expected.length), expected);
  assertEquals(error.path, PATH);
  // deno-lint-ignore no-control-regex
  assert(!/[\u0000-\u001f\u007f-\u009f]/.test(error.message), error.message);
  assert(error.message.length < 300, error.message);
}

Deno.test("parseRevisionMap() reads what backy writes", () => {
  const map = parse(`{"mapping": {"0": "${A}", "2": "${B}"}, "size": 16777216}`);
  assertEquals([map.imageBytes, map.seqCount, map.mappedCount], [16777216, 4, 2]);
  assertEquals(idsOf(map), [A, ABSENT, B, ABSENT]);
  assert(map.ids.buffer instanceof SharedArrayBuffer);
});

Deno.test("parseRevisionMap() accepts keys in any order and any white space", () => {
  const expected = parse(`{"mapping":{"0":"${A}","1":"${B}"},"size":8388608}`);
  const space = " \n\r\t".repeat(40);
  const texts = [
    `{"size":8388608,"mapping":{"1":"${B}","0":"${A}"}}`,
    `${space}{${space}"mapping"${space}:${space}{${space}"1"${space}:${space}"${B}"${space},${space}` +
    `"0"${space}:${space}"${A}"${space}}${space},${space}"size"${space}:${space}8388608${space}}${space}`,
    `{"\\u0073ize": 8388608, "mappin\\u0067": {"0": "${A}", "1": "${B}"}}`,
  ];
  for (const text of texts) assertEquals(parse(text), expected);
});

Deno.test("parseRevisionMap() skips unknown keys with any value", () => {
  const extra =
    `{"a": [1, -2.5e3, null, {"mapping": {"x": "y"}, "size": -1}], "size": "}", "": []}`;
  const map = parse(
    `{"a": "\\"size\\": 5}", "mappings": ${extra}, "mapping": {"0": "${A}"}, "x": true, ` +
      `"size": 4194304, "sizes": 3, "y": {"size": 7}}`,
  );
  assertEquals([map.imageBytes, ...idsOf(map)], [4194304, A]);
});

Deno.test("parseRevisionMap() accepts an empty image, an unmapped one and a partial last seq", () => {
  assertEquals(parse('{"mapping": {}, "size": 0}').ids.length, 0);
  const unmapped = parse('{"mapping": {}, "size": 12582912}');
  assertEquals([unmapped.seqCount, unmapped.mappedCount], [3, 0]);
  assertEquals(idsOf(parse(`{"mapping": {"1": "${A}"}, "size": 4194305}`)), [ABSENT, A]);
});

Deno.test("parseRevisionMap() refuses chunk ids that are not 32 lower-case hex digits", () => {
  const wrong = [
    "",
    A.slice(1),
    `${A}0`,
    A.toUpperCase(),
    `${A.slice(0, 31)}g`,
    "../../../../../../../etc/passwd0",
    "../../etc/passwd",
    `\\u0034${A.slice(1)}`,
    `${A.slice(0, 31)}é`,
    "x".repeat(100_000),
  ];
  for (const id of wrong) {
    const text = `{"mapping": {"0": "${id}"}, "size": 4194304}`;
    const { message } = assertThrows(() => parse(text), RevisionError);
    // The text found there is not shown, because the file may be somebody's secret.
    const problem = "the chunk id of seq 0 is not 32 lower-case hex digits";
    assertEquals(message, `Cannot read revision map "${PATH}": at byte 18: ${problem}`);
  }
  assertRefused(
    '{"mapping": {"0": "\x1b[31m"}, "size": 4194304}',
    18,
    "the chunk id of seq 0 is not",
  );
  for (const value of ["null", "17", "[]", "{}"]) {
    const text = `{"mapping": {"0": ${value}}, "size": 4194304}`;
    assertRefused(text, 18, `"${value[0]}" stands where a quoted chunk id (seq 0) is expected`);
  }
});

Deno.test("parseRevisionMap() refuses an id of zeros, which would read as not mapped", () => {
  const text = `{"mapping": {"0": "${ABSENT}"}, "size": 4194304}`;
  assertRefused(text, 18, "the chunk id of seq 0 is all zeros");
});

Deno.test("parseRevisionMap() refuses a key that is not a chunk number", () => {
  for (
    const key of ["", "00", "01", "-1", "+1", "1.0", "1e0", " 1", "1 ", "0x1", "a", "\\u0031", "１"]
  ) {
    assertRefused(`{"mapping": {"${key}": "${A}"}, "size": 8388608}`, 13, "a key is not a seq");
  }
  assertRefused(`{"mapping": {1: "${A}"}, "size": 8388608}`, 13, '"1" stands where a quoted seq');
});

Deno.test("parseRevisionMap() refuses a seq at or beyond the image's end", () => {
  for (
    const [seq, size] of [[1, 4194304], [2, 4194305], [0, 0], [67108864, MAX_IMAGE_BYTES], [
      123456789012345,
      1,
    ]]
  ) {
    const text = `{"mapping": {"${seq}": "${A}"}, "size": ${size}}`;
    assertRefused(text, 13, `seq ${seq} is not before the image's end`);
  }
  const long = "9".repeat(5000);
  assertRefused(`{"mapping": {"${long}": "${A}"}, "size": 4194304}`, 13, "a key is not a seq");
});

Deno.test("parseRevisionMap() refuses duplicate keys", () => {
  assertRefused(
    `{"mapping": {"0": "${A}", "0": "${A}"}, "size": 4194304}`,
    59,
    "seq 0 appears twice",
  );
  assertRefused('{"mapping": {}, "mapping": {}, "size": 0}', 16, '"mapping" appears twice');
  assertRefused(
    '{"mapping": {}, "m\\u0061pping": {}, "size": 0}',
    16,
    '"mapping" appears twice',
  );
  assertRefused('{"size": 0, "mapping": {}, "size": 0}', 27, '"size" appears twice');
  assertRefused('{"mapping": {}, "size": 0, "\\u0073ize": 0}', 27, '"size" appears twice');
});

Deno.test("parseRevisionMap() refuses a size that is not a whole number of supported bytes", () => {
  const notWhole = ["-1", "-0", "1.5", "4194304.0", "1e6", "1E+6", `0.${"3".repeat(1000)}`];
  for (const size of notWhole) {
    assertRefused(`{"mapping": {}, "size": ${size}}`, 24, "the image's size is not a whole number");
  }
  for (const size of [`${MAX_IMAGE_BYTES + 1}`, "9007199254740993", "1".repeat(32)]) {
    assertRefused(
      `{"mapping": {}, "size": ${size}}`,
      24,
      `the image's size ${size} is beyond what`,
    );
  }
  assertRefused(`{"mapping": {}, "size": ${"1".repeat(5000)}}`, 24, "the image's size is not");
  for (const size of ['"4194304"', "null", "[1]", "{}", "true", "NaN", "Infinity"]) {
    assertRefused(
      `{"mapping": {}, "size": ${size}}`,
      24,
      `${size[0] === '"' ? "a quote" : `"${size[0]}"`} stands where the image's size`,
    );
  }
  assertRefused('{"mapping": {}, "size": 01}', 25, '"1" stands where "," or "}" is expected');
});

Deno.test("parseRevisionMap() refuses a map without size or mapping", () => {
  assertRefused("{}", 2, '"size" is missing');
  assertRefused('{"mapping": {}}', 15, '"size" is missing');
  assertRefused('{"size": 4194304}', 17, '"mapping" is missing');
  assertRefused('{"mapping": {"size": 4194304}}', 30, '"size" is missing');
  for (const value of ["[]", "null", '"x"', "1"]) {
    assertRefused(
      `{"mapping": ${value}, "size": 0}`,
      12,
      `${value[0] === '"' ? "a quote" : `"${value[0]}"`} stands where "{" is expected`,
    );
  }
});

Deno.test("parseRevisionMap() refuses every truncation of a map", () => {
  const text = `{"mapping": {"0": "${A}", "1": "${B}"}, "size": 8388608, "x": [true, "\\u0041"]}`;
  parse(text);
  for (let length = 0; length < text.length; length++) {
    const error = assertThrows(() => parse(text.slice(0, length)), RevisionError);
    const where = length === 0 ? "is empty" : "(truncated)";
    // If cut inside of true, 8388608 or an escape, the text is wrong before it is too short.
    if (!error.message.includes("stands where")) {
      assert(error.message.includes(where), `${length}: ${error.message}`);
    }
  }
});

Deno.test("parseRevisionMap() refuses what is not the JSON of a map", () => {
  const other = "not a chunked revision map (another backup format?)";
  assertRefused("", 0, "the file is empty");
  assertRefused(" \n ", 3, "the file is empty");
  assertRefused("\0".repeat(5000), 0, other);
  assertRefused(new Uint8Array([0x1f, 0x8b, 8, 0]), 0, other);
  assertRefused("\ufeff{}", 0, other);
  assertRefused("[]", 0, other);
  assertRefused("QFI\xfb", 0, other);
  assertRefused("{'mapping': {}}", 1, `"'" stands where a quoted key is expected`);
  assertRefused(new Uint8Array([0x7b, 0xff]), 1, "byte 0xff stands where a quoted key");
  assertRefused('{"mapping": {}, "size": 0}}', 26, "there is more after the end");
  assertRefused('{"mapping": {}, "size": 0}\0', 26, "there is more after the end");
  assertRefused(
    '{"mapping": {}, "size": 0} {"mapping": {}, "size": 0}',
    27,
    "there is more after the end",
  );
  assertRefused('{"mapping": {}, "size": 0,}', 26, '"}" stands where a quoted key is expected');
  assertRefused(
    `{"mapping": {"0": "${A}",}, "size": 4194304}`,
    53,
    '"}" stands where a quoted seq',
  );
  assertRefused(
    `{"mapping": {"0": "${A}" "1": "${A}"}, "size": 8388608}`,
    53,
    "a quote stands where",
  );
  assertRefused(`{"mapping": {"0" "${A}"}, "size": 4194304}`, 17, "a quote stands where");
  assertRefused(
    `{"mapping": {}, "x": ${"[".repeat(1000)}`,
    85,
    "values are nested more than 64 deep",
  );
});

Deno.test("parseRevisionMap() says that a second size is one, whether or not the two are equal", () => {
  const twice = '"size" appears twice';
  assertRefused('{"size": 0, "mapping": {}, "size": 4194304}', 27, twice);
  assertRefused('{"size": 0, "size": 4194304, "mapping": {}}', 12, twice);
  assertRefused('{"mapping": {}, "size": 4194304, "size": 0}', 33, twice);
  assertRefused('{"mapping": {}, "size": 0, "size": 0}', 27, twice);
});

Deno.test("parseRevisionMap() refuses bytes that change between the passes", () => {
  const before = sourceOf('{"mapping": {}, "size": 4194304}');
  const after = sourceOf('{"mapping": {}, "size": 8388608}');
  const changing: ByteSource = {
    length: before.length,
    readAt(view, offset) {
      const source = reads++ === 0 ? before : after;
      return source.readAt(view, offset);
    },
  };
  let reads = 0;
  assertThrows(() => parseRevisionMap(changing, { path: PATH }), RevisionError, "the file changed");
});

Deno.test("parseRevisionSize() is not fooled by text that looks like the size", () => {
  const sizeOf = (text: string) => {
    JSON.parse(text);
    return parseRevisionSize(sourceOf(text), { path: PATH, blockBytes: 5 });
  };
  assertEquals(sizeOf('{"mapping": {}, "size": 7}'), 7);
  assertEquals(sizeOf('{"size":7}\n\n'), 7);
  assertEquals(sizeOf('{"size": 7, "mapping": {}, "x": {"size": 5}}'), 7);
  assertEquals(sizeOf('{"size": 7, "mapping": {}, "x": ",\\"size\\": 5}"}'), 7);
  assertEquals(sizeOf('{"x": ",\\"size\\": 5}  ", "size": 7, "y": "\\\\"}'), 7);
  assertEquals(sizeOf('{"x": "{", "size": 7, "y":"size", "z": 5}'), 7);
  assertEquals(sizeOf(`{"x": "{\\"size\\": 5}", "size": 7${" ".repeat(5000)}}`), 7);
});

Deno.test("parseRevisionSize() stops at a size before the mapping", () => {
  const content = sourceOf(`{"size": 7, "mapping": {${" ".repeat(100_000)}}}`);
  let last = 0;
  const counting: ByteSource = {
    length: content.length,
    readAt(view, offset) {
      if (view.length < 1000) last = Math.max(last, offset);
      return content.readAt(view, offset);
    },
  };
  assertEquals(parseRevisionSize(counting, { path: PATH, blockBytes: 10 }), 7);
  assert(last < 100);
});

/** Writes a map with a number of seqs. */
function bigMapText(seqCount: number): string {
  const entries = Array.from(
    { length: seqCount },
    (_, seq) => `"${seq}": "${seq.toString(16).padStart(31, "0")}f"`,
  );
  return `{"mapping": {${entries.join(", ")}}, "size": ${seqCount * CHUNK_BYTES}}`;
}

async function withFile(
  content: string,
  run: (path: string) => void | Promise<void>,
): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "backy-map-" });
  try {
    Deno.writeTextFileSync(`${dir}/map`, content);
    await run(`${dir}/map`);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

Deno.test("readRevisionMap() reads a file of several blocks and reports progress", async () => {
  const seqCount = 60_000;
  await withFile(bigMapText(seqCount), (path) => {
    const { size: length } = Deno.statSync(path);
    const calls: number[][] = [];
    const map = readRevisionMap(path, { onProgress: (...call) => calls.push(call) });
    assertEquals([map.seqCount, map.mappedCount], [seqCount, seqCount]);
    idsOf(map).forEach((id, seq) => assert(id === `${seq.toString(16).padStart(31, "0")}f`));
    assertEquals(calls.at(-1), [length, length]);
    assert(calls.length >= 3);
    assertEquals(readRevisionSize(path), seqCount * CHUNK_BYTES);
  });
});

Deno.test("readRevisionMap() refuses a file that changes while it is read", async () => {
  const text = bigMapText(60_000);
  const changes: Record<string, (path: string) => void> = {
    cut: (path) => Deno.truncateSync(path, 1_500_000),
    extended: (path) => Deno.writeTextFileSync(path, "x", { append: true }),
    overwritten: (path) => Deno.writeTextFileSync(path, text.replaceAll("f", "e")),
  };
  for (const change of Object.values(changes)) {
    await withFile(text, (path) => {
      let isChanged = false;
      const onProgress = () => {
        if (!isChanged) change(path);
        isChanged = true;
      };
      assertThrows(() => readRevisionMap(path, { onProgress }), RevisionError);
    });
  }
});

Deno.test("readRevisionMap() refuses what is not a readable file, and escapes its path", () => {
  assertThrows(
    () => readRevisionMap("/nonexistent\x1b"),
    RevisionError,
    '"/nonexistent\\x1b": No such file',
  );
  assertThrows(() => readRevisionMap("/"), RevisionError, "it is not a regular file");
  assertThrows(() => readRevisionSize("/dev/zero"), RevisionError, "it is not a regular file");
});
