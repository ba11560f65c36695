/**
 * Shows which ranges of an image could not be restored or are damaged, and why. Pure.
 *
 * @module
 */

import type { BadRange } from "../restore/damage.ts";
import { formatBytes, formatQuantity } from "./format.ts";
import { renderTable, type TableColumn } from "./table.ts";

/** A range of the image that is not what it should be: one for each place of a bad chunk. */
export type DamagedRange = Omit<BadRange, "detail">;

const ROWS_MAX = 50;

const REASONS: Readonly<Record<DamagedRange["reason"], string>> = {
  missing: "missing",
  header: "bad header",
  encoding: "bad encoding",
  size: "wrong size",
  hash: "wrong content",
};

/** Says what is wrong with a chunk. */
export function describeReason(reason: DamagedRange["reason"]): string {
  return REASONS[reason];
}

// Plain digits: offset and length are for pasting into dd and qemu-img, not for reading.
const COLUMNS: readonly TableColumn<DamagedRange>[] = [
  { title: "Offset", align: "right", cell: ({ offset }) => String(offset) },
  { title: "Length", align: "right", cell: ({ length }) => String(length) },
  { title: "Chunk", cell: ({ chunkId }) => chunkId },
  { title: "Reason", cell: ({ reason }) => describeReason(reason), minCells: 7 },
];

/**
 * Renders the first 50 ranges, and says how many more there are.
 *
 * @param ranges In the order in which they are shown.
 * @param options.maxCells As {@linkcode renderTable} takes it.
 * @param options.badRangeCount Number of all ranges, if these are only the first.
 * @param options.badBytes Bytes in all of them.
 * @returns Lines; none for no ranges.
 */
export function renderDamageTable(
  ranges: readonly DamagedRange[],
  options: { maxCells?: number | undefined; badRangeCount?: number; badBytes?: number } = {},
): string[] {
  if (ranges.length === 0) return [];
  const lines = renderTable(ranges.slice(0, ROWS_MAX), { ...options, columns: COLUMNS });
  const { badRangeCount = ranges.length, badBytes = bytesOf(ranges) } = options;
  const more = badRangeCount - Math.min(ranges.length, ROWS_MAX);
  if (more > 0) {
    const bytes = badBytes - bytesOf(ranges.slice(0, ROWS_MAX));
    lines.push(`and ${formatQuantity(more, "more range")}, ${formatBytes(bytes)}`);
  }
  return lines;
}

function bytesOf(ranges: readonly DamagedRange[]): number {
  return ranges.reduce((sum, { length }) => sum + length, 0);
}
