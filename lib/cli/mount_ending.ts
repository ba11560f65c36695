/**
 * What ends a mount that nobody has unmounted.
 *
 * The first signal leaves a mount that is in use alone, the second takes it away. Later ones do
 * nothing, because they would leave a dead mount behind. While a mount waits for the purge lock,
 * the end of the process that started it ends it too: nobody would expect it to go on then.
 *
 * @module
 */

import { type EndSignal, LockError } from "../errors.ts";
import type { BackupMount } from "../fuse/mount.ts";
import { describeFailure } from "./failure.ts";
import type { Reporter } from "./reporter.ts";

/**
 * How long a forced end may take; then the process ends whether the kernel has answered or not.
 */
export const FORCE_MS = 2000;

/** Ends a mount. */
export class MountEnding {
  readonly #mounted: BackupMount;
  readonly #reporter: Pick<Reporter, "warn">;
  readonly #forced = Promise.withResolvers<EndSignal>();
  #isForcing = false;

  constructor(mounted: BackupMount, reporter: Pick<Reporter, "warn">) {
    this.#mounted = mounted;
    this.#reporter = reporter;
  }

  /** Resolves when the process must end although the mount has not. */
  get forced(): Promise<EndSignal> {
    return this.#forced.promise;
  }

  /** Handles a signal. @param count How many there have been, from 1. */
  heed(signal: EndSignal, count: number): void {
    if (this.#isForcing) return;
    if (count > 1 || this.#mounted.isLingering) void this.#force(signal);
    else void this.#ask();
  }

  /** Unmounts; if the mount is in use, says by whom. */
  async #ask(): Promise<void> {
    try {
      const users = await this.#mounted.unmount();
      // A second signal may have come meanwhile.
      if (users === null || this.#isForcing) return;
      const list = listOf(users);
      this.#reporter.warn(`the mount is in use by ${list}; a second signal ends it all the same`);
    } catch (error) {
      this.#reporter.warn(describeFailure(error));
    }
  }

  /**
   * Takes the mount away even if it is in use, and makes the process end, so that whatever its
   * users do next fails.
   */
  async #force(signal: EndSignal): Promise<void> {
    this.#isForcing = true;
    const timeUp = new Promise<void>((resolve) => setTimeout(resolve, FORCE_MS));
    await Promise.race([this.#takeAway(), timeUp]);
    this.#forced.resolve(signal);
  }

  async #takeAway(): Promise<void> {
    try {
      // Those who used it may have gone by now.
      if (!await this.#mounted.detach()) return await this.#mounted.closed;
      this.#reporter.warn("detached while in use: whoever still uses it gets errors from now on");
    } catch (error) {
      this.#reporter.warn(describeFailure(error));
    }
  }
}

/** Lists the users of a mount, for a message. */
export function listOf(users: readonly string[]): string {
  return users.length > 0 ? users.join(", ") : "processes that cannot be named";
}

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
