/**
 * Words errors for people: a line, and the candidates below it.
 *
 * @module
 */

import { BackyError, RevisionError } from "../errors.ts";
import { quote } from "../wording.ts";
import { formatListedTime, formatQuantity } from "./format.ts";

const SHOWN_MAX = 20;

/** Says in one line what went wrong; an error that is not ours is reported as a bug. */
export function describeFailure(error: unknown): string {
  if (error instanceof BackyError && error.code !== "worker") return error.message;
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return `Cannot go on: internal error, please report it: ${text}`;
}

/**
 * Lists the revisions that an ambiguous specification left to choose from: the last 20, which are
 * usually the newest. No lines for other errors.
 */
export function candidateLines(error: unknown): string[] {
  if (!(error instanceof RevisionError) || error.candidates.length === 0) return [];
  const { candidates } = error;
  const more = candidates.length - SHOWN_MAX;
  return [
    ...(more > 0 ? [`${formatQuantity(more, "candidate")} before these, not shown`] : []),
    ...candidates.slice(-SHOWN_MAX).map(({ name, time, tags }) =>
      [
        "candidate:",
        formatListedTime(time === null ? null : new Date(time)),
        name,
        ...tags.map((tag) => quote(tag, 40)),
      ].join(" ")
    ),
  ];
}
