/**
 * Warnings of bad chunks or maps while a run goes on: the first few, so that a person sees what is
 * going on; all stand in the report at the end.
 *
 * @module
 */

import { formatQuantity } from "./format.ts";
import type { Reporter } from "./reporter.ts";

const TOLD_MAX = 10;

/** Tells a reporter of bad chunks. */
export class BadChunkWarnings {
  readonly #reporter: Reporter;
  readonly #noun: string;
  #count = 0;

  /** @param noun What is bad, such as "chunk". */
  constructor(reporter: Reporter, noun = "chunk") {
    this.#reporter = reporter;
    this.#noun = noun;
  }

  /** Takes what is wrong with one more chunk, in a line. */
  tell(detail: string): void {
    if (++this.#count <= TOLD_MAX) this.#reporter.warn(detail);
  }

  /** Says how many there were beyond those that were told. */
  end(): void {
    const more = this.#count - TOLD_MAX;
    if (more > 0) {
      this.#reporter.warn(`${formatQuantity(more, `more ${this.#noun}`)} missing or corrupt`);
    }
    this.#count = 0;
  }
}
