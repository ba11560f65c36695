/**
 * Runs one fuzzer in a worker, so that `fuzz.ts` can tell when it hangs.
 *
 * @module
 */

import { fuzz, type FuzzResult } from "./runner.ts";
import { FUZZ_TARGETS } from "./targets.ts";

/** What to run. */
export interface FuzzOrder {
  readonly name: string;
  readonly seed: number;
  readonly milliseconds: number;
  /** Receives the number of the current round. */
  readonly round: Int32Array<SharedArrayBuffer>;
}

declare const self: {
  onmessage: ((event: MessageEvent<FuzzOrder>) => void) | null;
  postMessage(result: FuzzResult): void;
};

self.onmessage = async ({ data: { name, seed, milliseconds, round } }) => {
  const target = FUZZ_TARGETS.find((target) => target.name === name)!;
  const onRound = (number: number) => void Atomics.store(round, 0, number);
  self.postMessage(await fuzz(target, { seed, milliseconds, onRound }));
};
