/**
 * Notices, while a tool waits, that the process which started it has ended: nobody would expect it
 * to go on then.
 *
 * @module
 */

import { LockError } from "../errors.ts";

const WATCH_MS = 250;

/** Watches the parent process between {@linkcode begin} and {@linkcode end}. */
export class ParentWatch implements Disposable {
  readonly #onEnd: (error: LockError) => void;
  #timer: ReturnType<typeof setInterval> | undefined;
  #look = () => {};

  /** @param onEnd Called, once, when the parent has ended. */
  constructor(onEnd: (error: LockError) => void) {
    this.#onEnd = onEnd;
  }

  /**
   * Begins to watch the current parent. (A program started as a daemon already has a new one.)
   *
   * @param action What will not be done, for the message.
   */
  begin(action: string): void {
    const { ppid } = Deno;
    this.#look = () => {
      if (Deno.ppid === ppid) return;
      this[Symbol.dispose]();
      this.#onEnd(
        new LockError(
          `Cannot ${action}: the process that started this (pid ${ppid}) ended while it waited ` +
            "for the purge lock",
        ),
      );
    };
    this.#timer = setInterval(this.#look, WATCH_MS);
  }

  /** Checks once more, and stops watching. */
  end(): void {
    this.#look();
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#look = () => {};
  }
}
