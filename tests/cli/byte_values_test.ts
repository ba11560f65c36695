import {
  parseByteRange,
  parsePartitionNumber,
  parsePercent,
  parseRate,
} from "../../lib/cli/byte_values.ts";
import { valued } from "../../lib/cli/option.ts";
import { UsageError } from "../../lib/errors.ts";
import { assertEquals, assertThrows } from "../assert.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const TIB = 1024 * GIB;
const MAX = Number.MAX_SAFE_INTEGER;

/** Asserts that each text is refused by a line that names the option and quotes the text. */
function assertRefused(parse: (text: string) => unknown, option: string, texts: string[]): void {
  for (const text of texts) {
    const { read } = valued({ long: option, value: "VALUE", help: "", parse });
    const error = assertThrows(() => read([text]), UsageError);
    const start = `Cannot use option "--${option}": "${text}" is `;
    assertEquals(error.message.slice(0, start.length), start);
  }
}

Deno.test("parseByteRange() reads OFFSET:LENGTH, either of which may be missing", () => {
  const cases: [string, number, number | null][] = [
    ["0:1", 0, 1],
    ["512:4096", 512, 4096],
    [":1GiB", 0, GIB],
    ["1GiB:", GIB, null],
    ["0:", 0, null],
    ["007:010", 7, 10],
    [`0:${MAX}`, 0, MAX],
    [`${MAX - 1}:1`, MAX - 1, 1],
    [`${MAX}:`, MAX, null],
    ["8191T:1023G", 8191 * TIB, 1023 * GIB],
  ];
  for (const [text, offset, length] of cases) {
    assertEquals(parseByteRange(text), { offset, length });
  }
});

Deno.test("parseByteRange() and parseRate() know binary units in either case", () => {
  const units: [string, number][] = [["", 1], ["B", 1]];
  ([["K", KIB], ["M", MIB], ["G", GIB], ["T", TIB]] as const).forEach(([letter, bytes]) => {
    units.push([letter, bytes], [`${letter}iB`, bytes]);
  });
  for (const [unit, bytes] of units) {
    for (const text of [`3${unit}`, `3${unit.toLowerCase()}`, `3${unit.toUpperCase()}`]) {
      assertEquals(parseByteRange(`${text}:${text}`), { offset: 3 * bytes, length: 3 * bytes });
      assertEquals(parseRate(text), 3 * bytes);
      assertEquals(parseRate(`${text}/s`), 3 * bytes);
    }
  }
});

Deno.test("parseByteRange() refuses everything else", () => {
  assertRefused(parseByteRange, "range", [
    "",
    ":",
    "1",
    "1-2",
    "1:2:3",
    "::",
    "0:0",
    "5:0K",
    ":0",
    "1KB:",
    "1Ki:",
    "1PiB:",
    "K:",
    ":B",
    "1.5G:",
    "-1:1",
    "+1:1",
    "1:-1",
    " 1:1",
    "1: 1",
    "1 K:",
    "0x10:1",
    "1e3:1",
    "1_000:1",
    "１:1",
    "1:x",
    `${MAX}:1`,
    "0:9007199254740992",
    "9007199254740993:",
    "8192T:",
    "4096T:4096T",
    `${"9".repeat(400)}:`,
  ]);
});

Deno.test("parseRate() reads a rate above 0 and refuses everything else", () => {
  assertEquals(parseRate("1"), 1);
  assertEquals(parseRate("100MiB/S"), 100 * MIB);
  assertEquals(parseRate(String(MAX)), MAX);
  assertRefused(parseRate, "bwlimit", [
    ...["", "0", "0M", "0/s", "/s", "M", "1/m", "1/s/s", "1MB/s", "1.5M", "-1", "8192T", "1M /s"],
    ...["1Mbit", "auto", "Infinity", "NaN", "9".repeat(400)],
  ]);
});

Deno.test("parsePercent() reads a percentage above 0 and up to 100", () => {
  const cases: [string, number][] = [
    ["100", 100],
    ["100%", 100],
    ["1", 1],
    ["0.5%", 0.5],
    [".25", 0.25],
    ["5.", 5],
    ["0.0001", 0.0001],
    ["099.9", 99.9],
  ];
  for (const [text, percent] of cases) assertEquals(parsePercent(text), percent);
  assertRefused(parsePercent, "sample", [
    ...["", "%", ".", "0", "0%", "0.0", "100.1", "101%", "1e1", "-1", "+1", "1%%", "1 %", "0x1"],
    ...["NaN", "1,5", "1.2.3", `0.${"0".repeat(400)}1`, "100.00000000001"],
  ]);
});

Deno.test("parsePartitionNumber() reads a number that a partition may have", () => {
  assertEquals(parsePartitionNumber("1"), 1);
  assertEquals(parsePartitionNumber("32768"), 32_768);
  assertRefused(parsePartitionNumber, "partition", ["", "0", "32769", "-1", "1.0", "p1", "1 "]);
});
