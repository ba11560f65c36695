/**
 * What a person is told of an error: a line, and others below it.
 *
 * @module
 */

import { BackyError, RevisionError } from "../errors.ts";
import { quote } from "../wording.ts";
import { formatListedTime, formatQuantity } from "./format.ts";

const SHOWN_MAX = 20;

/** Says in one line what went wrong; an error that is not ours is a bug, and said to be one. */
export function describeFailure(error: unknown): string {
  if (error instanceof BackyError && error.code !== "worker") return error.message;
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return `Cannot go on: internal error, please report it: ${text}`;
}

/**
 * Lists the candidates of an error that has some, the last 20, as the newest are as a rule; no
 * lines for others.
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
