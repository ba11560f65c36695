/**
 * What the process that serves a mount in the background tells the one that started it, see
 * `background.ts`.
 *
 * @module
 */

import { OsError, toWireError } from "../errors.ts";
import type { MountEvent } from "../fuse/mount.ts";
import { isWritableFd, redirectFd, setCloseOnExec } from "../linux/descriptors.ts";
import { startVariable } from "../linux/own_process.ts";
import { openFd, OpenFlag, releaseFd } from "../linux/files.ts";
import { Errno } from "../linux/errno.ts";
import { tryWrite } from "../linux/pipes.ts";
import {
  Attendance,
  FRONT_FD,
  FRONT_VARIABLE,
  type ReadyMount,
  type ServerMessage,
} from "./background.ts";
import { renderJsonLine } from "./json_line.ts";

/** How often it is tried to send what has found no room in the pipe. */
const RETRY_MS = 20;

/** Events are dropped if this many bytes wait: the front may be stopped for long. */
const WAITING_MAX_BYTES = 1_048_576;

/**
 * The process that has started this one, and waits for the mount. It may not read for a while, as
 * whatever reads its own messages may not; that never holds up the mount.
 */
export class Front {
  /** Whether somebody sees that this process waits. */
  readonly isAttended: boolean;
  #waiting: Uint8Array<ArrayBuffer>[] = [];
  #isGone = false;
  #sending: Promise<void> = Promise.resolve();

  private constructor(isAttended: boolean) {
    this.isAttended = isAttended;
  }

  /** Finds it. @returns `null` if this process was not started by {@linkcode startBackground}. */
  static find(): Front | null {
    const attendance = startVariable(FRONT_VARIABLE);
    if (attendance === undefined) return null;
    try {
      if (!isWritableFd(FRONT_FD)) return null;
      setCloseOnExec(FRONT_FD);
      return new Front(attendance === Attendance.ATTENDED);
    } catch (error) {
      // Closed: the variable was inherited from a server.
      if (error instanceof OsError) return null;
      throw error;
    }
  }

  /** Tells what happens. */
  tell(event: MountEvent): void {
    const bytes = this.#waiting.reduce((sum, { length }) => sum + length, 0);
    if (bytes < WAITING_MAX_BYTES) this.#send({ type: "event", event });
  }

  /**
   * Tells that the mount is ready.
   *
   * @returns When the front has been told, or has ended: `false`.
   */
  async tellReady({ mountpoint, revisionCount }: ReadyMount): Promise<boolean> {
    this.#send({ type: "ready", mount: { mountpoint, revisionCount } });
    await this.settle();
    return !this.#isGone;
  }

  /** Tells what made the mount fail. */
  tellFailure(error: unknown): void {
    this.#send({ type: "failed", error: toWireError(error) });
  }

  /** Waits until all was sent, or the front has ended. */
  async settle(): Promise<void> {
    await this.#sending;
  }

  /** Gives up the pipe; nothing is told from now on. */
  leave(): void {
    if (!this.#isGone) releaseFd(FRONT_FD);
    this.#isGone = true;
  }

  #send(message: ServerMessage): void {
    if (this.#isGone) return;
    this.#waiting.push(new TextEncoder().encode(renderJsonLine(message)));
    if (this.#waiting.length === 1 && !this.#writeWaiting()) this.#sending = this.#keepWriting();
  }

  async #keepWriting(): Promise<void> {
    do await new Promise((resolve) => setTimeout(resolve, RETRY_MS)); while (!this.#writeWaiting());
  }

  /** @returns Whether nothing waits any more. */
  #writeWaiting(): boolean {
    for (let [bytes] = this.#waiting; bytes !== undefined; [bytes] = this.#waiting) {
      const count = tryWrite(FRONT_FD, bytes);
      if (count === -Errno.EAGAIN || count === -Errno.EINTR) return false;
      if (count < 0) {
        this.leave();
        this.#waiting = [];
      } else if (count < bytes.length) this.#waiting[0] = bytes.subarray(count);
      else this.#waiting.shift();
    }
    return true;
  }
}

/**
 * Gives up standard error, which leads to the process that has started this one.
 *
 * @param log Where it leads from now on; `null`: nowhere.
 */
export function leaveStandardError(log: number | null): void {
  const nowhere = openFd("/dev/null", OpenFlag.O_WRONLY);
  redirectFd(2, log ?? nowhere);
  releaseFd(nowhere);
}
