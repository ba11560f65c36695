/**
 * Sets rows in columns, for a terminal's width or in full. Pure.
 *
 * Widths are those of the package `string-width`: two cells for East Asian wide characters and
 * emoji, none for combining marks. (`unicodeWidth` of `@std/cli` would do, but its build for npm
 * lacks the table of widths that it imports.) Loading it takes a few milliseconds, so a command
 * imports this file only when a table is due.
 *
 * @module
 */

import stringWidth from "string-width";
import { runSteps, type Steps } from "../slices.ts";
import { printable } from "../wording.ts";

/** One column of a table. */
export interface TableColumn<Row> {
  readonly title: string;
  /** May return untrusted text: it is made {@linkcode printable}, and cut at 500 characters. */
  readonly cell: (row: Row) => string;
  /** Default "left". */
  readonly align?: "left" | "right";
  /**
   * How narrow the column may become; default: it keeps its width. Titles that are wider than the
   * cells below them give way first, then the columns, the last one first.
   */
  readonly minCells?: number;
  /** Leaves the column out if it is empty in all rows. */
  readonly isOptional?: boolean;
}

/** A column as text, with its width. */
export interface SetColumn {
  readonly title: string;
  /** The cells below the title. */
  readonly texts: readonly string[];
  readonly align: "left" | "right";
  readonly minCells: number;
  /** Width of the widest text below the title. */
  readonly bodyCells: number;
  /** Its width. */
  readonly cells: number;
}

const GAP = "  ";
const ELLIPSIS = "…";
/** One long text must not make the whole column wide. */
const CELL_MAX_CHARS = 500;

/** Rows between two pauses. */
const ROWS_PER_STEP = 1024;

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

/**
 * Sets a table.
 *
 * @param options.maxCells Width of the terminal; absent: as wide as needed. A table whose columns
 *   cannot be shortened that far stays wider, because a cut uuid would be useless.
 * @returns One line for the titles and one for each row, without line breaks or spaces at the end.
 */
export function renderTable<Row>(
  rows: readonly Row[],
  options: { columns: readonly TableColumn<Row>[]; maxCells?: number | undefined },
): string[] {
  const columns = runSteps(setColumns(rows, options.columns));
  return [...joinColumns(columns, options)];
}

/**
 * Renders the cells of rows, in steps, as there may be many. Optional columns that are empty are
 * left out.
 */
export function* setColumns<Row>(
  rows: readonly Row[],
  columns: readonly TableColumn<Row>[],
): Steps<SetColumn[]> {
  const set: SetColumn[] = [];
  for (const { title, cell, align = "left", minCells = Infinity, isOptional } of columns) {
    const texts: string[] = [];
    let bodyCells = 0;
    for (const [index, row] of rows.entries()) {
      if (index % ROWS_PER_STEP === 0) yield;
      const text = legible(cell(row));
      texts.push(text);
      bodyCells = Math.max(bodyCells, cellsOf(text));
    }
    if (isOptional && bodyCells === 0) continue;
    const cells = Math.max(bodyCells, cellsOf(title));
    set.push({ title, texts, align, minCells, bodyCells, cells });
  }
  return set;
}

/** The width of a table if only titles are shortened, of columns that allow it. */
export function wholeWidth(columns: readonly SetColumn[]): number {
  return columns.reduce(
    (sum, { cells, bodyCells, minCells }) =>
      sum + (minCells < cells ? Math.max(bodyCells, minCells) : cells),
    GAP.length * Math.max(0, columns.length - 1),
  );
}

/**
 * Yields the lines of a table: one for the titles and one for each row, without spaces at the end.
 *
 * @param options.maxCells As of {@linkcode renderTable}.
 */
export function* joinColumns(
  columns: readonly SetColumn[],
  options: { maxCells?: number | undefined },
): Generator<string, void> {
  const widths = columns.map(({ cells }) => cells);
  if (options.maxCells !== undefined) shorten(columns, widths, options.maxCells);
  const rows = columns[0]?.texts.length ?? 0;
  for (let at = -1; at < rows; at++) {
    const cells = columns.map(({ title, texts, align }, column) =>
      fill(at < 0 ? title : texts[at]!, align, widths[column]!)
    );
    yield cells.join(GAP).trimEnd();
  }
}

/**
 * Cuts text that is too wide and puts "…" at its end; never cuts inside a grapheme.
 */
export function truncate(text: string, cells: number): string {
  if (cellsOf(text) <= cells) return text;
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

/** Shortens columns, as far as they allow it, to make the table fit. */
function shorten(columns: readonly SetColumn[], widths: number[], maxCells: number): void {
  const gaps = GAP.length * Math.max(0, columns.length - 1);
  let surplus = widths.reduce((sum, cells) => sum + cells, gaps - maxCells);
  const take = (column: number, leastCells: number) => {
    const taken = Math.max(0, Math.min(surplus, widths[column]! - leastCells));
    widths[column]! -= taken;
    surplus -= taken;
  };
  for (const [index, { minCells, bodyCells }] of columns.entries()) {
    take(index, Math.max(minCells, bodyCells));
  }
  for (const [index, { minCells }] of [...columns.entries()].reverse()) take(index, minCells);
}

function fill(text: string, align: "left" | "right", cells: number): string {
  let cut = text;
  let width = cellsOf(text);
  if (width > cells) {
    cut = truncate(text, cells);
    width = cellsOf(cut);
  }
  const space = " ".repeat(Math.max(0, cells - width));
  return align === "right" ? space + cut : cut + space;
}

// Nearly all texts are plain, and the exact measure is a hundred times as slow.
const PLAIN = /^[ -~]*$/;

/** Makes text safe for a cell. */
function legible(text: string): string {
  return text.length <= CELL_MAX_CHARS && PLAIN.test(text) ? text : printable(text, CELL_MAX_CHARS);
}

/** Returns the number of cells that text takes on a terminal. */
function cellsOf(text: string): number {
  return PLAIN.test(text) ? text.length : stringWidth(text);
}
