/**
 * Time for tests of what happens now and then.
 *
 * @module
 */

import type { Clock } from "../../lib/cli/activity.ts";

/** A clock that is moved by hand, with the timers that hang on it. */
export class FakeClock implements Clock {
  #now = 1000;
  readonly timers = new Set<{ intervalMs: number; due: number; callback: () => void }>();

  /** Milliseconds since some start. */
  now(): number {
    return this.#now;
  }

  /** As {@linkcode Clock} has it. */
  every(intervalMs: number, callback: () => void): () => void {
    const timer = { intervalMs, due: this.#now + intervalMs, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  /** Lets time pass while the thread is busy: no timer fires. */
  block(ms: number): void {
    this.#now += ms;
  }

  /** Lets time pass, with the timers that fall due. */
  advance(ms: number): void {
    for (const end = this.#now + ms; this.#now < end;) {
      this.#now++;
      for (const timer of this.timers) {
        if (timer.due > this.#now) continue;
        timer.due += timer.intervalMs;
        timer.callback();
      }
    }
  }
}
