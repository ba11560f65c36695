/**
 * The revisions that a specification left to choose from, as lines below the error.
 *
 * @module
 */

import { RevisionError } from "../errors.ts";
import { quote } from "../wording.ts";
import { formatCount } from "./format.ts";

const SHOWN_MAX = 20;

/** Lists the candidates of an error that has some; no lines for others. */
export function candidateLines(error: unknown): string[] {
  if (!(error instanceof RevisionError) || error.candidates.length === 0) return [];
  const { candidates } = error;
  const more = candidates.length - SHOWN_MAX;
  return [
    ...candidates.slice(0, SHOWN_MAX).map(({ name, time, tags }) =>
      ["candidate:", name, time, ...tags.map((tag) => quote(tag, 40))].join(" ")
    ),
    ...(more > 0 ? [`and ${formatCount(more)} more`] : []),
  ];
}
