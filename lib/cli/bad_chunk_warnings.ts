/**
 * Warnings of bad chunks while a run goes on: the first few, so that a person sees what is going on; all stand in the
 * report at the end.
 *
 * @module
 */

import { formatQuantity } from "./format.ts";
import type { Reporter } from "./reporter.ts";

const TOLD_MAX = 10;

/** Tells a reporter of bad chunks. */
export class BadChunkWarnings {
  readonly #reporter: Reporter;
  #count = 0;

  constructor(reporter: Reporter) {
    this.#reporter = reporter;
  }

  /** Takes what is wrong with one more chunk, in a line. */
  tell(detail: string): void {
    if (++this.#count <= TOLD_MAX) this.#reporter.warn(detail);
  }

  /** Says how many there were beyond those that were told. */
  end(): void {
    const more = this.#count - TOLD_MAX;
    if (more > 0) this.#reporter.warn(`${formatQuantity(more, "more chunk")} missing or corrupt`);
    this.#count = 0;
  }
}
