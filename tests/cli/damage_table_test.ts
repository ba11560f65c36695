import { type DamagedRange, renderDamageTable } from "../../lib/cli/damage_table.ts";
import { assert, assertEquals } from "../assert.ts";

const MIB = 2 ** 20;
const ID = "4db6e194fd398e8edb76e11054d73eb0";

const RANGES: readonly DamagedRange[] = [
  { offset: 0, length: 4 * MIB, chunkId: ID, reason: "missing", detail: "" },
  { offset: 2 ** 45, length: 777, chunkId: ID, reason: "lzo", detail: "look-behind overrun" },
];

Deno.test("renderDamageTable() shows offset, length, chunk, reason and detail", () => {
  assertEquals(renderDamageTable(RANGES), [
    "        Offset   Length  Chunk                             Reason        Detail",
    `             0  4194304  ${ID}  missing`,
    `35184372088832      777  ${ID}  bad LZO data  look-behind overrun`,
  ]);
});

Deno.test("renderDamageTable() leaves the details out where there are none, shortens them for a terminal", () => {
  const [titles] = renderDamageTable(RANGES.slice(0, 1));
  assertEquals(titles?.trim().split(/ +/), ["Offset", "Length", "Chunk", "Reason"]);
  const lines = renderDamageTable(RANGES, { maxCells: 83 });
  assertEquals(Math.max(...lines.map((line) => line.length)), 83);
  assert(lines[2]!.endsWith("  look-behi…"), lines[2]);
});

Deno.test("renderDamageTable() words every reason", () => {
  const reasons = ["missing", "header", "lzo", "size", "hash"] as const;
  const lines = renderDamageTable(reasons.map((reason) => ({ ...RANGES[0]!, reason })));
  assertEquals(lines.slice(1).map((line) => line.split(`${ID}  `)[1]), [
    "missing",
    "bad header",
    "bad LZO data",
    "wrong size",
    "wrong content",
  ]);
});

Deno.test("renderDamageTable() shows 50 ranges and counts the others", () => {
  const ranges = (count: number) =>
    Array.from({ length: count }, (_, at) => ({ ...RANGES[0]!, offset: at * 4 * MIB }));
  assertEquals(renderDamageTable([]), []);
  assertEquals(renderDamageTable(ranges(50)).length, 51);
  assertEquals(renderDamageTable(ranges(51)).slice(51), ["and 1 more range, 4 MiB"]);
  assertEquals(renderDamageTable(ranges(2050)).slice(51), ["and 2,000 more ranges, 7.8 GiB"]);
});

Deno.test("renderDamageTable() escapes hostile details", () => {
  const lines = renderDamageTable([{ ...RANGES[0]!, detail: "\x1b[2J\n" }]);
  assertEquals(lines.length, 2);
  assert(lines[1]!.endsWith("\\x1b[2J\\n"));
});
