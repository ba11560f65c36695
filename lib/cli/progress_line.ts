/**
 * Renders progress as text. Pure: `progress.ts` decides when and where it is shown.
 *
 * @module
 */

import { printable } from "../wording.ts";
import {
  formatBytes,
  formatClock,
  formatCount,
  formatPercent,
  formatQuantity,
  formatRate,
  shareOf,
} from "./format.ts";

/** What a progress line shows. */
export interface ProgressState {
  /** What is being done, such as "Restoring". */
  readonly step: string;
  /** What is counted, if not bytes. */
  readonly unit?: string;
  /** Bytes of the image that are in place. */
  readonly doneBytes: number;
  /** Bytes of the image; `null` for a step whose length is unknown. */
  readonly totalBytes: number | null;
  /** Time since the step began. */
  readonly elapsedMs: number;
  /** Speed of the current work, usually decoding; `null` if not known yet. */
  readonly rateBytesPerSecond: number | null;
  /** Time that the remaining work will take; `null` if unknown. */
  readonly etaSeconds: number | null;
}

/** Where a progress line is drawn. */
export interface DrawingArea {
  /** Cells the line may take. */
  readonly columns: number;
  /** Whether colour sequences may be used. */
  readonly color: boolean;
}

const BAR_MIN = 10;
const BAR_MAX = 50;
const SPINNER = "|/-\\";
const SPINNER_STEP_MS = 200;

const GREEN = "\x1b[32m";
const RESET = "\x1b[0m";

/**
 * Renders a progress line with as much in it as fits.
 *
 * All ASCII except the step's name, so that it looks right on a rescue console in the C locale.
 *
 * @returns One line without line break, at most `area.columns` cells wide: on a narrow terminal
 *   just the percentage, or "" if not even that fits.
 */
export function renderProgress(state: ProgressState, area: DrawingArea): string {
  const { columns } = area;
  const step = printable(state.step);
  const spinner = SPINNER[Math.floor(state.elapsedMs / SPINNER_STEP_MS) % SPINNER.length] ?? " ";
  const elapsed = formatClock(state.elapsedMs / 1000);
  if (state.totalBytes === null) {
    return firstFitting(
      [`${spinner} ${step} ${elapsed}`, `${spinner} ${elapsed}`, spinner],
      columns,
    );
  }

  const { doneBytes, totalBytes } = state;
  // Fixed widths, so that the line does not jump about when it is redrawn.
  const percent = formatPercent(doneBytes, totalBytes).padStart(6);
  const done = describeAmount(state, 8);
  const rate = describeRate(state).padStart(10);
  const eta = `ETA ${describeEta(state).padStart(5)}`;
  const head = `${spinner} ${step} ${percent}`;
  const tails = [
    `${done}  ${rate}  ${elapsed}  ${eta}`,
    `${done}  ${rate}  ${eta}`,
    `${rate}  ${eta}`,
    eta,
  ];
  for (const tail of tails) {
    const room = columns - widthBound(`${head} []  ${tail}`);
    if (room >= BAR_MIN) {
      const bar = renderBar(shareOf(doneBytes, totalBytes), Math.min(room, BAR_MAX), area.color);
      return `${head} [${bar}]  ${tail}`;
    }
  }
  const barePercent = formatPercent(doneBytes, totalBytes, 0);
  return firstFitting(
    [
      `${head}  ${eta}`,
      `${spinner} ${percent}  ${eta}`,
      head,
      `${spinner} ${percent}`,
      barePercent,
    ],
    columns,
  );
}

/**
 * Renders progress as a line of a log, such as "Restoring: 42.1%, 4.2 GiB of 10 GiB, 1.2 GiB/s,
 * 0:05 left".
 */
export function renderPlainProgress(state: ProgressState): string {
  const step = printable(state.step);
  const elapsed = formatClock(state.elapsedMs / 1000);
  if (state.totalBytes === null) return `${step}: ${elapsed} elapsed`;
  const { doneBytes, totalBytes } = state;
  return [
    `${step}: ${formatPercent(doneBytes, totalBytes)}`,
    describeAmount(state, 0),
    describeRate(state),
    `${elapsed} elapsed`,
    `${describeEta(state)} left`,
  ].join(", ");
}

function renderBar(share: number, width: number, color: boolean): string {
  const filled = Math.floor(share * width);
  const full = filled === width ? "=".repeat(width) : "=".repeat(filled) + ">";
  return (color ? `${GREEN}${full}${RESET}` : full) + " ".repeat(Math.max(0, width - filled - 1));
}

function describeAmount(state: ProgressState, width: number): string {
  const { unit, doneBytes: done } = state;
  const total = state.totalBytes ?? 0;
  return unit === undefined
    ? `${formatBytes(done).padStart(width)} of ${formatBytes(total)}`
    : `${formatCount(done).padStart(width)} of ${formatQuantity(total, unit)}`;
}

function describeRate({ unit, rateBytesPerSecond }: ProgressState): string {
  if (unit !== undefined) return `${formatCount(Math.round(rateBytesPerSecond ?? 0))}/s`;
  return rateBytesPerSecond === null ? "-- B/s" : formatRate(rateBytesPerSecond);
}

function describeEta({ etaSeconds }: ProgressState): string {
  // Rounded up, so that 0:00 is shown only when nothing is left.
  return etaSeconds === null ? "--:--" : formatClock(Math.ceil(etaSeconds));
}

function firstFitting(lines: readonly string[], columns: number): string {
  return lines.find((line) => widthBound(line) <= columns) ?? "";
}

/** An upper bound of the cells that text takes: 2 for every character that is not ASCII. */
function widthBound(text: string): number {
  let cells = 0;
  for (const character of text) cells += character < "\x80" ? 1 : 2;
  return cells;
}
