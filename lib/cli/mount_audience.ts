/**
 * Who is told what becomes of a mount: a person at a terminal, or the process that has started the
 * mount in the background.
 *
 * @module
 */

import type { MountEvent } from "../fuse/mount.ts";
import { isRoot } from "../linux/processes.ts";
import { quote } from "../wording.ts";
import type { ReadyMount } from "./background.ts";
import { type Front, leaveStandardError } from "./background_server.ts";
import { describeFailure } from "./failure.ts";
import { formatQuantity } from "./format.ts";
import { listOf } from "./mount_ending.ts";
import { reportCommonEvent, type Reporter } from "./reporter.ts";
import { type Log, Severity } from "./system_log.ts";

/** Is told what becomes of a mount. No method throws. */
export interface MountAudience {
  event(event: MountEvent): void;
  /**
   * The mount is ready.
   *
   * @returns `false` if nobody waits for it any more. A promise resolves when that is known; it
   *   never rejects.
   */
  ready(mount: ReadyMount): boolean | Promise<boolean>;
  /** Something about the end is not as it should be: a line. */
  warn(text: string): void;
  /** The mount ended in order. */
  ended(): void;
  /** The mount failed, or did not come to be. */
  failed(error: unknown): void;
}

/** A person who sees standard error. */
export class TerminalAudience implements MountAudience {
  readonly #reporter: Reporter;
  readonly #basedir: string;
  readonly #isForeground: boolean;

  /** @param about.isForeground Whether this process serves the mount. */
  constructor(reporter: Reporter, about: { basedir: string; isForeground: boolean }) {
    this.#reporter = reporter;
    this.#basedir = about.basedir;
    this.#isForeground = about.isForeground;
  }

  event(event: MountEvent): void {
    switch (event.type) {
      case "mounting":
        return this.#reporter.step("Mounting");
      case "lingering":
        return this.warn(describeLingering(event.keepers));
      default:
        return reportCommonEvent(this.#reporter, event);
    }
  }

  ready(mount: ReadyMount): boolean {
    this.#reporter.stop();
    this.#reporter.message(describeMount(this.#basedir, mount));
    // Root may do without fusermount3, which a rescue system may lack.
    const program = isRoot() ? "umount" : "fusermount3 -u";
    const command = `${program} ${quote(mount.mountpoint)}`;
    this.#reporter.message(`To unmount: ${command}${this.#isForeground ? ", or Ctrl-C" : ""}`);
    return true;
  }

  warn(text: string): void {
    this.#reporter.warn(text);
  }

  ended(): void {
    this.#reporter.message("Unmounted");
  }

  failed(error: unknown): void {
    this.#reporter.fail(describeFailure(error));
  }
}

/** The process that has started this one and stays in touch with it. */
export class FrontAudience implements MountAudience {
  readonly #front: Front;

  constructor(front: Front) {
    this.#front = front;
  }

  event(event: MountEvent): void {
    this.#front.tell(event);
  }

  ready(mount: ReadyMount): Promise<boolean> {
    return this.#front.tellReady(mount);
  }

  warn(text: string): void {
    this.#front.tell({ type: "warning", text });
  }

  ended(): void {}

  failed(error: unknown): void {
    this.#front.tellFailure(error);
  }
}

/**
 * The process that has started this one waits until the mount is ready. What happens then goes to a
 * log, and nothing is kept of what this process was started with.
 */
export class DaemonAudience implements MountAudience {
  readonly #front: Front;
  readonly #log: Log;
  readonly #basedir: string;
  #isReady = false;

  constructor(front: Front, { log, basedir }: { log: Log; basedir: string }) {
    this.#front = front;
    this.#log = log;
    this.#basedir = basedir;
  }

  event(event: MountEvent): void {
    if (!this.#isReady) this.#front.tell(event);
    else if (event.type === "lingering") this.warn(describeLingering(event.keepers));
    else if (event.type === "warning") this.warn(event.text);
  }

  async ready(mount: ReadyMount): Promise<boolean> {
    this.#isReady = true;
    leaveStandardError(this.#log.fd);
    this.#log.write(Severity.INFO, describeMount(this.#basedir, mount));
    // Last, so that nothing of a terminal or connection is in use when the front ends.
    const isHeard = await this.#front.tellReady(mount);
    this.#front.leave();
    return isHeard;
  }

  warn(text: string): void {
    this.#log.write(Severity.WARNING, text);
  }

  ended(): void {
    this.#log.write(Severity.INFO, "Unmounted");
  }

  failed(error: unknown): void {
    if (this.#isReady) this.#log.write(Severity.ERROR, describeFailure(error));
    else this.#front.tellFailure(error);
  }
}

/** Says what is mounted where. */
export function describeMount(basedir: string, { mountpoint, revisionCount }: ReadyMount): string {
  const amount = formatQuantity(revisionCount, "revision");
  return `${amount} of ${quote(basedir)} mounted at ${quote(mountpoint)}`;
}

function describeLingering(keepers: readonly string[]): string {
  return `unmounted here, but still in use by ${listOf(keepers)}: it is served, and the purge ` +
    "lock is held, until they end; a signal ends it all the same";
}
