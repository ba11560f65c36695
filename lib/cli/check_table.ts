/**
 * What a check found to be damaged, as a table or as JSON. Pure.
 *
 * @module
 */

import type { DamagedChunk } from "../check/damage_places.ts";
import { describeReason } from "./damage_table.ts";
import { renderJsonLine } from "./json_line.ts";
import { renderTable, type TableColumn } from "./table.ts";

/** A damaged range of one revision. */
interface Row {
  readonly basedir: string;
  readonly revision: string;
  readonly offset: number;
  readonly length: number;
  readonly chunkId: string;
  readonly reason: DamagedChunk["reason"];
  readonly detail: string;
}

const COLUMNS: readonly TableColumn<Row>[] = [
  { title: "Revision", cell: ({ revision }) => revision },
  { title: "Offset", align: "right", cell: ({ offset }) => String(offset) },
  { title: "Length", align: "right", cell: ({ length }) => String(length) },
  { title: "Chunk", cell: ({ chunkId }) => chunkId },
  { title: "Reason", cell: ({ reason }) => describeReason(reason), minCells: 7 },
];

/** Renders damage, by revision and offset, one line a range. */
export function renderCheckedDamage(
  damaged: readonly DamagedChunk[],
  options: { json: boolean; maxCells: number | undefined },
): string[] {
  const rows = damaged.flatMap(({ places, ...chunk }) =>
    places.map((place): Row => ({ ...chunk, ...place }))
  );
  rows.sort((a, b) =>
    compare(a.basedir, b.basedir) || compare(a.revision, b.revision) || a.offset - b.offset
  );
  if (!options.json) return renderTable(rows, { ...options, columns: COLUMNS });
  return rows.map((row) => renderJsonLine({ type: "damage", ...row }).trimEnd());
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
