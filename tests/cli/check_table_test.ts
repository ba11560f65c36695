import { renderFindings, renderJsonFindings } from "../../lib/cli/check_table.ts";
import type { CheckedRevision } from "../../lib/check/check.ts";
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
    basedir,
    chunkId,
    reason: "hash",
    detail: "Cannot use chunk",
    path: `${basedir}/${chunkId}`,
    places: places.map(([revision, offset]) => ({ revision, offset, length: 4 * MIB })),
  };
}

function revision(name: string, fields: Partial<CheckedRevision> = {}): CheckedRevision {
  const basedir = fields.basedir ?? "/srv/vm";
  return {
    basedir,
    name,
    mapPath: `${basedir}/${name}`,
    state: "intact",
    imageBytes: 64 * MIB,
    reason: null,
    damage: { chunks: 0, bytes: 0, ranges: 0 },
    ...fields,
  };
}

const hit = (chunks: number, bytes: number, ranges: number): Partial<CheckedRevision> => ({
  state: "damaged",
  damage: { chunks, bytes, ranges },
});

const DAMAGED = [
  damaged(ID, [["b", 9 * MIB], ["a", 20 * MIB], ["a", 3 * MIB]]),
  damaged(OTHER_ID, [["a", 4 * MIB]]),
  { ...damaged(ID, [["z", 0]], "/srv/aa"), reason: "missing" as const },
];
const REVISIONS = [
  revision("z", { ...hit(1, 4 * MIB, 1), basedir: "/srv/aa" }),
  revision("a", hit(2, 12 * MIB, 3)),
  revision("b", { ...hit(1, 4 * MIB, 1), imageBytes: 2 ** 40 }),
  revision("good"),
  revision("cut", { state: "bad-map", imageBytes: null, reason: "no map" }),
];
const FINDINGS = { revisions: REVISIONS, damaged: DAMAGED, isSample: false };

Deno.test("renderFindings() sorts ranges by directory, revision and offset, and lists all revisions", () => {
  assertEquals(renderFindings(FINDINGS, { maxCells: undefined }), [
    "Revision    Offset   Length  Reason         File",
    `z                0  4194304  missing        /srv/aa/${ID}`,
    `a          3145728  4194304  wrong content  /srv/vm/${ID}`,
    `a          4194304  4194304  wrong content  /srv/vm/${OTHER_ID}`,
    `a         20971520  4194304  wrong content  /srv/vm/${ID}`,
    `b          9437184  4194304  wrong content  /srv/vm/${ID}`,
    "",
    "Revision  State           Damaged      of  Share  Chunks  Map",
    "z         damaged           4 MiB  64 MiB   6.2%       1  /srv/aa/z",
    "a         damaged          12 MiB  64 MiB  18.7%       2  /srv/vm/a",
    "b         damaged           4 MiB   1 TiB  <0.1%       1  /srv/vm/b",
    "good      intact              0 B  64 MiB     0%       0  /srv/vm/good",
    "cut       map unreadable      0 B       -      -       0  /srv/vm/cut",
  ]);
});

Deno.test("renderFindings() says of how many ranges nothing is shown", () => {
  const revisions = [revision("a", hit(2, 12 * MIB, 1_000_004))];
  const lines = renderFindings({ ...FINDINGS, revisions }, { maxCells: undefined });
  assert(lines.includes("and 999,999 more ranges"), lines.join("\n"));
});

Deno.test("renderFindings() calls no revision intact that was checked in part", () => {
  const revisions = [revision("a", hit(1, 4 * MIB, 1)), revision("b", { state: "unknown" })];
  for (const isSample of [true, false]) {
    const [line = ""] = renderFindings({ ...FINDINGS, revisions, isSample }, {
      maxCells: undefined,
    })
      .slice(-1);
    const state = isSample ? "no damage found in the sample" : "not fully checked";
    assert(line.startsWith(`b         ${state}  `), line);
  }
});

Deno.test("renderFindings() of no damage is nothing", () => {
  const revisions = [revision("good")];
  assertEquals(renderFindings({ revisions, damaged: [], isSample: false }, { maxCells: 80 }), []);
});

Deno.test("renderFindings() leaves whole what is pasted, however narrow the terminal is", () => {
  const whole = renderFindings(FINDINGS, { maxCells: undefined });
  const narrow = renderFindings(FINDINGS, { maxCells: 60 });
  // Paths have lines of their own.
  assertEquals(narrow.slice(0, 3), [
    "Revision    Offset   Length  Reason",
    "z                0  4194304  missing",
    `    /srv/aa/${ID}`,
  ]);
  for (const line of narrow) assert(line.length <= 60, line);
  assertEquals(renderFindings(FINDINGS, { maxCells: 90 }), whole);
  assertEquals(renderFindings(FINDINGS, { maxCells: 10 }).slice(0, 11), narrow.slice(0, 11));
});

Deno.test("renderJsonFindings() gives an object a line, with all that is known", () => {
  const lines = [...renderJsonFindings(FINDINGS)].map((line) => JSON.parse(line));
  assertEquals(lines.map(({ type, revision }) => `${type} ${revision}`), [
    ...["damage z", "damage a", "damage a", "damage a", "damage b"],
    ...["revision z", "revision a", "revision b", "revision good", "revision cut"],
  ]);
  assertEquals(lines[0], {
    type: "damage",
    basedir: "/srv/aa",
    revision: "z",
    offset: 0,
    length: 4 * MIB,
    chunkId: ID,
    path: `/srv/aa/${ID}`,
    reason: "missing",
    detail: "Cannot use chunk",
  });
  assertEquals(lines[6], {
    type: "revision",
    basedir: "/srv/vm",
    revision: "a",
    path: "/srv/vm/a",
    reason: null,
    state: "damaged",
    sizeBytes: 64 * MIB,
    damagedBytes: 12 * MIB,
    damagedRanges: 3,
    damagedChunks: 2,
  });
  assertEquals([lines[9].state, lines[9].reason, lines[9].sizeBytes], ["bad-map", "no map", null]);
});

Deno.test("Findings escape hostile names", () => {
  const name = "x\x1b[2J\n\u202e";
  const damagedChunks = [damaged(ID, [[name, 0]], "/srv\x9b")];
  const revisions = [revision(name, { ...hit(1, 4 * MIB, 1), basedir: "/srv\x9b" })];
  const findings = { revisions, damaged: damagedChunks, isSample: false };
  const lines = renderFindings(findings, { maxCells: undefined });
  assertEquals(lines.length, 5);
  for (const line of [...lines, ...renderJsonFindings(findings)]) {
    assert(!/[\p{C}\p{Zl}\p{Zp}]/u.test(line.trimEnd()), line);
  }
});
