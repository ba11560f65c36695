import { assert, assertEquals, assertMatch, assertNotEquals } from "../assert.ts";
import {
  formatBytes,
  formatClock,
  formatCount,
  formatDuration,
  formatPercent,
  formatQuantity,
  formatRate,
  shareOf,
} from "../../lib/cli/format.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const TIB = 1024 * GIB;

const UNSHOWABLE = [NaN, Infinity, -Infinity, -1];

Deno.test("formatBytes() chooses the binary unit and sensible digits", () => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [1, "1 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [1025, "1.0 KiB"],
    [1536, "1.5 KiB"],
    [4 * MIB, "4 MiB"],
    [7.3 * GIB, "7.3 GiB"],
    [99.9 * GIB, "99.9 GiB"],
    [99.96 * GIB, "100 GiB"],
    [100 * GIB, "100 GiB"],
    [812.4 * GIB, "812 GiB"],
    [16 * TIB, "16 TiB"],
    [Number.MAX_SAFE_INTEGER, "8.0 PiB"],
    [2 ** 70, "1024 EiB"],
  ];
  for (const [bytes, text] of cases) assertEquals(formatBytes(bytes), text);
});

Deno.test("formatBytes() carries to the next unit when rounding reaches it", () => {
  assertEquals(formatBytes(1023.7), "1.0 KiB");
  assertEquals(formatBytes(1023.4 * KIB), "1023 KiB");
  assertEquals(formatBytes(1023.6 * KIB), "1.0 MiB");
  assertEquals(formatBytes(1023.99 * MIB), "1.0 GiB");
  for (let bytes = 1; bytes < 2 ** 53; bytes = Math.ceil(bytes * 1.0007)) {
    assertMatch(
      formatBytes(bytes),
      /^(\d{1,2}(\.\d)?|100|[1-9]\d\d|10[01]\d|102[0-3]) ([KMGTP]i)?B$/,
    );
  }
});

Deno.test("the number formats show 0 for NaN, infinite and negative numbers", () => {
  for (const value of UNSHOWABLE) {
    assertEquals(formatBytes(value), "0 B");
    assertEquals(formatRate(value), "0 B/s");
    assertEquals(formatDuration(value), "0.00 s");
    assertEquals(formatClock(value), "0:00");
    assertEquals(formatCount(value), "0");
    assertEquals(formatPercent(value, 10), "0.0%");
  }
});

Deno.test("formatDuration() shows seconds below a minute and a clock above", () => {
  const cases: [number, string][] = [
    [0.071, "0.07 s"],
    [0.994, "0.99 s"],
    [0.996, "1.0 s"],
    [4.24, "4.2 s"],
    [59.94, "59.9 s"],
    [59.96, "1:00"],
    [62.4, "1:02"],
    [3723, "1:02:03"],
    [3599.7, "1:00:00"],
  ];
  for (const [seconds, text] of cases) assertEquals(formatDuration(seconds), text);
});

Deno.test("formatClock() shows elapsed whole seconds, hours and days", () => {
  const cases: [number, string][] = [
    [0, "0:00"],
    [7.99, "0:07"],
    [60, "1:00"],
    [3599, "59:59"],
    [3600, "1:00:00"],
    [86_399, "23:59:59"],
    [86_400, "1 d 0:00:00"],
    [2 * 86_400 + 3723, "2 d 1:02:03"],
  ];
  for (const [seconds, text] of cases) assertEquals(formatClock(seconds), text);
});

Deno.test("formatPercent() rounds down and shows 100 when all is done, not before", () => {
  assertEquals(formatPercent(0, 3), "0.0%");
  assertEquals(formatPercent(2, 3), "66.6%");
  assertEquals(formatPercent(2, 3, 0), "66%");
  assertEquals(formatPercent(1, 1), "100.0%");
  assertEquals(formatPercent(5, 1), "100.0%");
  assertEquals(formatPercent(0, 0), "100.0%");
  assertEquals(formatPercent(1, NaN), "0.0%");
  for (let total = 1; total < 2 ** 53; total = total * 3 + 1) {
    assertEquals(formatPercent(total, total, 0), "100%");
    if (total > 1000) {
      assertEquals(formatPercent(total - 1, total), "99.9%");
      assertEquals(formatPercent(total - 1, total, 0), "99%");
    }
  }
});

Deno.test("shareOf() stays within 0 and 1 and is 1 only when done", () => {
  for (const total of [0, 1, 3, 4 * MIB, 2 ** 53 - 1, ...UNSHOWABLE]) {
    for (const done of [0, 1, 2, total - 1, total, total + 1, ...UNSHOWABLE]) {
      const share = shareOf(done, total);
      assert(share >= 0 && share <= 1, `${done} of ${total}: ${share}`);
      if (total > 0 && done < total) assertNotEquals(share, 1);
    }
  }
});

Deno.test("formatCount() and formatQuantity() group thousands and use the singular for one", () => {
  assertEquals([0, 999, 1000, 12345, 1234567].map(formatCount), [
    "0",
    "999",
    "1,000",
    "12,345",
    "1,234,567",
  ]);
  assertEquals(formatQuantity(1, "chunk"), "1 chunk");
  assertEquals(formatQuantity(0, "chunk"), "0 chunks");
  assertEquals(formatQuantity(4_194_304, "chunk"), "4,194,304 chunks");
});
