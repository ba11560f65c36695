import { type DamagedRange, renderDamageTable } from "../../lib/cli/damage_table.ts";
import { assertEquals } from "../assert.ts";

const MIB = 2 ** 20;
const ID = "4db6e194fd398e8edb76e11054d73eb0";

const RANGES: readonly DamagedRange[] = [
  { offset: 0, length: 4 * MIB, chunkId: ID, reason: "missing" },
  { offset: 2 ** 45, length: 777, chunkId: ID, reason: "encoding" },
];

Deno.test("renderDamageTable() shows offset, length, chunk and reason within 80 columns", () => {
  const lines = [
    "        Offset   Length  Chunk                             Reason",
    `             0  4194304  ${ID}  missing`,
    `35184372088832      777  ${ID}  bad encoding`,
  ];
  assertEquals(renderDamageTable(RANGES), lines);
  assertEquals(renderDamageTable(RANGES, { maxCells: 80 }), lines);
});

Deno.test("renderDamageTable() shortens reasons for a narrow terminal, never numbers or ids", () => {
  const lines = renderDamageTable(RANGES, { maxCells: 67 });
  assertEquals(lines[2], `35184372088832      777  ${ID}  bad enc…`);
  assertEquals(renderDamageTable(RANGES, { maxCells: 20 })[2]?.includes(ID), true);
});

Deno.test("renderDamageTable() words every reason", () => {
  const reasons = ["missing", "header", "encoding", "size", "hash"] as const;
  const lines = renderDamageTable(reasons.map((reason) => ({ ...RANGES[0]!, reason })));
  assertEquals(lines.slice(1).map((line) => line.split(`${ID}  `)[1]), [
    "missing",
    "bad header",
    "bad encoding",
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
