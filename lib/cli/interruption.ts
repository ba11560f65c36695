/**
 * SIGINT and SIGTERM as something to react to.
 *
 * @module
 */

import { InterruptedError } from "../errors.ts";

/** The signals by which a person or a service manager asks a tool to end. */
export type EndSignal = "SIGINT" | "SIGTERM";

/** Calls back at each SIGINT and SIGTERM until it is disposed of. */
export class SignalWatch implements Disposable {
  readonly #listeners: readonly (readonly [Deno.Signal, () => void])[];

  /**
   * @param options.hangup Whether SIGHUP, the end of the terminal, counts as SIGTERM; otherwise it ends the process.
   * @param onSignal Called with the signal and how many there have been, from 1.
   */
  constructor(
    options: { hangup: boolean },
    onSignal: (signal: EndSignal, count: number) => void,
  ) {
    let count = 0;
    this.#listeners = [
      ["SIGINT", () => onSignal("SIGINT", ++count)],
      ["SIGTERM", () => onSignal("SIGTERM", ++count)],
      ...options.hangup ? [["SIGHUP", () => onSignal("SIGTERM", ++count)] as const] : [],
    ];
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
