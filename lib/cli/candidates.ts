/**
 * The revisions that a specification left to choose from, as lines below the error.
 *
 * @module
 */

import { RevisionError } from "../errors.ts";
import { quote } from "../wording.ts";
import { formatQuantity } from "./format.ts";
import { formatListedTime } from "./local_time.ts";

const SHOWN_MAX = 20;

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
