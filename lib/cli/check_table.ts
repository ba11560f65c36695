/**
 * What a check found, as tables or as JSON. Pure.
 *
 * @module
 */

import type { CheckedRevision, CheckedState } from "../check/check.ts";
import type { DamagedChunk } from "../check/damage_places.ts";
import { describeReason } from "./damage_table.ts";
import { formatBytes, formatCount, formatPercent, formatQuantity } from "./format.ts";
import { runSteps } from "../slices.ts";
import { renderJsonLine } from "./json_line.ts";
import { joinColumns, setColumns, type TableColumn, wholeWidth } from "./table.ts";

/** What a table shows of a check. */
export interface CheckFindings {
  readonly revisions: readonly CheckedRevision[];
  readonly damaged: readonly DamagedChunk[];
  /** Whether only a sample of the chunks was to be checked. */
  readonly isSample: boolean;
}

/** A damaged range of one revision. */
interface Row {
  readonly basedir: string;
  readonly revision: string;
  readonly offset: number;
  readonly length: number;
  readonly chunkId: string;
  readonly path: string;
  readonly reason: DamagedChunk["reason"];
  readonly detail: string;
}

// Paths are never cut, even on a narrow terminal: they are for pasting.
const RANGE_COLUMNS: readonly TableColumn<Row>[] = [
  { title: "Revision", cell: ({ revision }) => revision },
  { title: "Offset", align: "right", cell: ({ offset }) => String(offset) },
  { title: "Length", align: "right", cell: ({ length }) => String(length) },
  { title: "Reason", cell: ({ reason }) => describeReason(reason) },
  { title: "File", cell: ({ path }) => path },
];

/** Says what is known about a revision. */
function describeState(state: CheckedState, isSample: boolean): string {
  const words: Readonly<Record<CheckedState, string>> = {
    "intact": "intact",
    "damaged": "damaged",
    "bad-map": "map unreadable",
    "unknown": isSample ? "no damage found in the sample" : "not fully checked",
  };
  return words[state];
}

/**
 * Renders the damage for a person: the ranges, by revision and offset, then the state of each
 * revision.
 *
 * @returns Lines; none if nothing is damaged.
 */
export function renderFindings(
  findings: CheckFindings,
  options: { maxCells: number | undefined },
): string[] {
  const { revisions, damaged, isSample } = findings;
  if (revisions.every(({ state }) => state !== "damaged" && state !== "bad-map")) return [];
  const rows = rowsOf(damaged);
  const ranges = revisions.reduce((sum, { damage }) => sum + damage.ranges, 0);
  const columns: readonly TableColumn<CheckedRevision>[] = [
    { title: "Revision", cell: ({ name }) => name },
    { title: "State", cell: ({ state }) => describeState(state, isSample) },
    { title: "Damaged", align: "right", cell: ({ damage }) => formatBytes(damage.bytes) },
    {
      title: "of",
      align: "right",
      cell: ({ imageBytes }) => imageBytes === null ? "-" : formatBytes(imageBytes),
    },
    { title: "Share", align: "right", cell: shareOfDamage },
    { title: "Chunks", align: "right", cell: ({ damage }) => formatCount(damage.chunks) },
    { title: "Map", cell: ({ mapPath }) => mapPath },
  ];
  return [
    ...rows.length > 0 ? renderWithPaths(rows, RANGE_COLUMNS, options.maxCells) : [],
    ...ranges > rows.length ? [`and ${formatQuantity(ranges - rows.length, "more range")}`] : [],
    ...rows.length > 0 ? [""] : [],
    ...renderWithPaths(revisions, columns, options.maxCells),
  ];
}

/**
 * Renders a table whose last column, of paths, goes into lines of its own if it does not fit.
 */
function renderWithPaths<Row>(
  rows: readonly Row[],
  columns: readonly TableColumn<Row>[],
  maxCells = Infinity,
): string[] {
  const set = runSteps(setColumns(rows, columns));
  if (wholeWidth(set) <= maxCells) return [...joinColumns(set, {})];
  const paths = set.at(-1)!.texts;
  return [...joinColumns(set.slice(0, -1), {})].flatMap((line, at) =>
    at === 0 ? [line] : [line, `    ${paths[at - 1]}`]
  );
}

/** Writes the findings as lines of JSON: the ranges, then all revisions. */
export function* renderJsonFindings(
  { revisions, damaged }: Pick<CheckFindings, "revisions" | "damaged">,
): Generator<string, void> {
  for (const row of rowsOf(damaged)) yield renderJsonLine({ type: "damage", ...row });
  for (const { basedir, name, mapPath, state, imageBytes, reason, damage } of revisions) {
    yield renderJsonLine({
      type: "revision",
      basedir,
      revision: name,
      path: mapPath,
      state,
      reason,
      sizeBytes: imageBytes,
      damagedBytes: damage.bytes,
      damagedRanges: damage.ranges,
      damagedChunks: damage.chunks,
    });
  }
}

function rowsOf(damaged: readonly DamagedChunk[]): Row[] {
  const rows = damaged.flatMap(({ places, ...chunk }) =>
    places.map((place): Row => ({ ...chunk, ...place }))
  );
  rows.sort((a, b) =>
    compare(a.basedir, b.basedir) || compare(a.revision, b.revision) || a.offset - b.offset
  );
  return rows;
}

function shareOfDamage({ damage, imageBytes }: CheckedRevision): string {
  if (imageBytes === null) return "-";
  if (damage.bytes === 0) return "0%";
  const percent = formatPercent(damage.bytes, imageBytes);
  // Never show damage as none.
  return Number.parseFloat(percent) === 0 ? "<0.1%" : percent;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
