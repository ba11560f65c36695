/**
 * Sets rows in columns, for a terminal's width or in full. Pure.
 *
 * Widths are those of the package `string-width`: two cells for East Asian wide characters and emoji, none for
 * combining marks. Loading it takes a few milliseconds, so whoever needs this file imports it when a table is due.
 *
 * @module
 */

import stringWidth from "string-width";
import { printable } from "../wording.ts";

/** One column of a table. */
export interface TableColumn<Row> {
  readonly title: string;
  /** Untrusted text is welcome: it is made {@linkcode printable}, and cut at 500 characters. */
  readonly cell: (row: Row) => string;
  /** Default "left". */
  readonly align?: "left" | "right";
  /**
   * Cells down to which the column may be shortened; default: it may not. First give way titles of such columns
   * that are wider than all cells below them, then the columns, the last one first.
   */
  readonly minCells?: number;
  /** Leaves the column out where it is empty in all rows. */
  readonly isOptional?: boolean;
}

/** A column as text, with the width it gets. */
interface SetColumn {
  readonly texts: readonly string[];
  readonly align: "left" | "right";
  readonly minCells: number;
  cells: number;
}

const GAP = "  ";
const ELLIPSIS = "…";
/** No cell may blow up all the others of its column. */
const CELL_MAX_CHARS = 500;

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

/**
 * Sets a table.
 *
 * @param options.maxCells Width of the terminal; absent: as wide as it takes. A table whose columns cannot be
 *   shortened so far stays wider, for what is cut (a uuid) could not be used.
 * @returns One line for the titles and one for each row, without line breaks or spaces at the end.
 */
export function renderTable<Row>(
  rows: readonly Row[],
  options: { columns: readonly TableColumn<Row>[]; maxCells?: number | undefined },
): string[] {
  const columns: SetColumn[] = [];
  for (const { title, cell, align = "left", minCells = Infinity, isOptional } of options.columns) {
    const texts = rows.map((row) => printable(cell(row), CELL_MAX_CHARS));
    if (isOptional && texts.every((text) => text === "")) continue;
    texts.unshift(title);
    columns.push({ texts, align, minCells, cells: widest(texts) });
  }
  if (options.maxCells !== undefined) shorten(columns, options.maxCells);

  const lines: string[] = [];
  for (let at = 0; at <= rows.length; at++) {
    const cells = columns.map(({ texts, align, cells }) => fill(texts[at]!, align, cells));
    lines.push(cells.join(GAP).trimEnd());
  }
  return lines;
}

/** Cuts text that takes more cells than there are and puts "…" at its end; never inside a grapheme. */
export function truncate(text: string, cells: number): string {
  if (stringWidth(text) <= cells) return text;
  let kept = "";
  let left = cells - stringWidth(ELLIPSIS);
  if (left < 0) return "";
  for (const { segment } of graphemes.segment(text)) {
    left -= stringWidth(segment);
    if (left < 0) break;
    kept += segment;
  }
  return kept + ELLIPSIS;
}

/** Takes what is too much from the columns that can be shortened. */
function shorten(columns: readonly SetColumn[], maxCells: number): void {
  const gaps = GAP.length * Math.max(0, columns.length - 1);
  let surplus = columns.reduce((sum, { cells }) => sum + cells, gaps - maxCells);
  const take = (column: SetColumn, leastCells: number) => {
    const taken = Math.max(0, Math.min(surplus, column.cells - leastCells));
    column.cells -= taken;
    surplus -= taken;
  };
  for (const column of columns) {
    take(column, Math.max(column.minCells, widest(column.texts.slice(1))));
  }
  for (const column of columns.toReversed()) take(column, column.minCells);
}

function fill(text: string, align: "left" | "right", cells: number): string {
  const cut = truncate(text, cells);
  const space = " ".repeat(Math.max(0, cells - stringWidth(cut)));
  return align === "right" ? space + cut : cut + space;
}

function widest(texts: readonly string[]): number {
  return texts.reduce((most, text) => Math.max(most, stringWidth(text)), 0);
}
