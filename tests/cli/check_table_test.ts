import { renderCheckedDamage } from "../../lib/cli/check_table.ts";
import type { DamagedChunk } from "../../lib/check/damage_places.ts";
import { assert, assertEquals } from "../assert.ts";

const MIB = 2 ** 20;
const [ID, OTHER_ID] = ["4db6e194fd398e8edb76e11054d73eb0", "0b6e194fd398e8edb76e11054d73eb04"];

function damaged(
  chunkId: string,
  places: [revision: string, offset: number][],
  basedir = "/srv/vm",
): DamagedChunk {
  return {
    ...{ basedir, chunkId, reason: "hash", detail: "Cannot use chunk" },
    places: places.map(([revision, offset]) => ({ revision, offset, length: 4 * MIB })),
  };
}

const DAMAGED = [
  damaged(ID, [["b", 9 * MIB], ["a", 20 * MIB], ["a", 3 * MIB]]),
  damaged(OTHER_ID, [["a", 4 * MIB]]),
  { ...damaged(ID, [["z", 0]], "/srv/aa"), reason: "missing" as const },
];

Deno.test("renderCheckedDamage() sorts ranges by directory, revision and offset", () => {
  assertEquals(renderCheckedDamage(DAMAGED, { json: false, maxCells: undefined }), [
    "Revision    Offset   Length  Chunk                             Reason",
    `z                0  4194304  ${ID}  missing`,
    `a          3145728  4194304  ${ID}  wrong content`,
    `a          4194304  4194304  ${OTHER_ID}  wrong content`,
    `a         20971520  4194304  ${ID}  wrong content`,
    `b          9437184  4194304  ${ID}  wrong content`,
  ]);
});

Deno.test("renderCheckedDamage() shortens the reason for a terminal, and nothing that is pasted", () => {
  const lines = renderCheckedDamage(DAMAGED, { json: false, maxCells: 72 });
  for (const line of lines) assert(line.length <= 72, line);
  assert(lines[2]!.endsWith(`${ID}  wrong c…`) || lines[2]!.includes(ID), lines[2]);
  assert(lines.slice(1).every((line) => / (4194304) {2}[0-9a-f]{32} /.test(line)));
});

Deno.test("renderCheckedDamage() with json gives an object a line, with all that is known", () => {
  const lines = renderCheckedDamage(DAMAGED, { json: true, maxCells: 10 });
  assertEquals(lines.length, 5);
  assertEquals(JSON.parse(lines[0]!), {
    ...{ type: "damage", basedir: "/srv/aa", revision: "z", offset: 0, length: 4 * MIB },
    ...{ chunkId: ID, reason: "missing", detail: "Cannot use chunk" },
  });
});

Deno.test("renderCheckedDamage() of nothing is no line of JSON", () => {
  assertEquals(renderCheckedDamage([], { json: true, maxCells: undefined }), []);
});

Deno.test("renderCheckedDamage() escapes hostile names", () => {
  const hostile = [damaged(ID, [["x\x1b[2J\n\u202e", 0]], "/srv\x9b")];
  for (const json of [true, false]) {
    const lines = renderCheckedDamage(hostile, { json, maxCells: undefined });
    assertEquals(lines.length, json ? 1 : 2);
    for (const line of lines) assert(!/[\p{C}\p{Zl}\p{Zp}]/u.test(line), line);
  }
});
