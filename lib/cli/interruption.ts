/**
 * The signals that end a tool, as something to react to.
 *
 * @module
 */

import { type EndSignal, InterruptedError } from "../errors.ts";
import { processStart } from "./process_start.ts";

const END_SIGNALS: readonly EndSignal[] = ["SIGHUP", "SIGINT", "SIGTERM"];

/**
 * Calls back at each SIGHUP, SIGINT and SIGTERM until it is disposed of. What was ignored when the
 * process was started (nohup, background jobs of scripts) stays ignored.
 */
export class SignalWatch implements Disposable {
  readonly #listeners: readonly (readonly [Deno.Signal, () => void])[];

  /**
   * @param onSignal Called with the signal and how many there have been, from 1. All SIGHUPs
   *   together are one: when a terminal ends, the kernel sends one to the foreground jobs, and the
   *   shell another.
   */
  constructor(onSignal: (signal: EndSignal, count: number) => void) {
    let count = 0;
    let hasHungUp = false;
    const { ignoredSignals } = processStart();
    const listened = END_SIGNALS.filter((signal) => !ignoredSignals.has(signal));
    this.#listeners = listened.map((signal) => [signal, () => {
      if (signal === "SIGHUP" && hasHungUp) return;
      hasHungUp ||= signal === "SIGHUP";
      onSignal(signal, ++count);
    }]);
    for (const [signal, listener] of this.#listeners) Deno.addSignalListener(signal, listener);
  }

  [Symbol.dispose](): void {
    for (const [signal, listener] of this.#listeners) Deno.removeSignalListener(signal, listener);
  }
}

/** Builds the error that ends what a signal interrupted. */
export function interruptedBy(signal: EndSignal): InterruptedError {
  return new InterruptedError(`Interrupted by ${signal}`, { signal });
}
