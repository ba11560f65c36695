/**
 * Runs a fuzzer round after round. A round's input depends only on the seed and the round's number,
 * so these two are enough to repeat it.
 *
 * @module
 */

import { cpuMs } from "../support/cpu_time.ts";
import { randomFrom } from "../support/random.ts";
import type { FuzzTarget } from "./fuzz_target.ts";

/** Processor time; an input of a megabyte takes a tenth of it. */
const SLOW_MS = 10_000;

/** What was found. */
export interface Finding {
  readonly round: number;
  readonly input: Uint8Array<ArrayBuffer>;
  readonly problem: string;
}

/** The outcome of a run. */
export interface FuzzResult {
  readonly rounds: number;
  /** Number of inputs that were accepted. */
  readonly taken: number;
  readonly elapsedMs: number;
  readonly finding: Finding | null;
}

/** How long to run, and where to start. */
export interface FuzzOptions {
  readonly seed: number;
  readonly milliseconds: number;
  /** Rounds that are run however long they take. */
  readonly leastRounds?: number;
  /** Called with each round's number before it begins. */
  readonly onRound?: (round: number) => void;
}

/** Makes the input of a round. */
export function inputOfRound(
  target: FuzzTarget,
  seed: number,
  round: number,
): Uint8Array<ArrayBuffer> {
  return target.generate(randomFrom(Math.imul(round + 1, 0x9e3779b1) ^ seed));
}

/** Runs a fuzzer until the time is over or something is found. */
export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzResult> {
  const { seed, milliseconds, leastRounds = 1, onRound } = options;
  const start = performance.now();
  const elapsed = () => performance.now() - start;
  let taken = 0;
  let round = 0;
  for (; round < leastRounds || elapsed() < milliseconds; round++) {
    onRound?.(round);
    const input = inputOfRound(target, seed, round);
    const problem = await tryInput(target, input, () => taken++);
    if (problem === null) continue;
    const finding = { round, input, problem };
    return { rounds: round + 1, taken, elapsedMs: elapsed(), finding };
  }
  return { rounds: round, taken, elapsedMs: elapsed(), finding: null };
}

/** Tries one input. @returns What is wrong; `null` if nothing is. */
export async function tryInput(
  target: FuzzTarget,
  input: Uint8Array<ArrayBuffer>,
  onTaken: () => void = () => {},
): Promise<string | null> {
  const beforeMs = cpuMs();
  try {
    // A copy, because the part may change its input.
    if (await target.check(input.slice())) onTaken();
  } catch (error) {
    return error instanceof Error ? error.stack ?? error.message : String(error);
  }
  const tookMs = cpuMs() - beforeMs;
  return tookMs > SLOW_MS ? `it took ${Math.round(tookMs)} ms` : null;
}
