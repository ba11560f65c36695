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
  readonly #onSigint: () => void;
  readonly #onSigterm: () => void;

  /** @param onSignal Called with the signal and how many there have been, from 1. */
  constructor(onSignal: (signal: EndSignal, count: number) => void) {
    let count = 0;
    this.#onSigint = () => onSignal("SIGINT", ++count);
    this.#onSigterm = () => onSignal("SIGTERM", ++count);
    Deno.addSignalListener("SIGINT", this.#onSigint);
    Deno.addSignalListener("SIGTERM", this.#onSigterm);
  }

  [Symbol.dispose](): void {
    Deno.removeSignalListener("SIGINT", this.#onSigint);
    Deno.removeSignalListener("SIGTERM", this.#onSigterm);
  }
}

/** Builds the error that ends what a signal interrupted. */
export function interruptedBy(signal: EndSignal): InterruptedError {
  return new InterruptedError(`Interrupted by ${signal}`, { signal });
}
