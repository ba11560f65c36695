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

/** The process that has started this one, and waits for the mount. */
export class Front {
  #fd = FRONT_FD;
  /** Whether the last line was cut off. */
  #isLineOpen = false;

  /** Whether somebody sees that this process waits. */
  readonly isAttended: boolean;

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

  /** Tells what happens. @returns `false` if the front has ended. */
  tell(event: MountEvent): boolean {
    return this.#send({ type: "event", event });
  }

  /** Tells that the mount is ready. @returns `false` if the front has ended. */
  tellReady({ mountpoint, revisionCount }: ReadyMount): boolean {
    return this.#send({ type: "ready", mount: { mountpoint, revisionCount } });
  }

  /** Tells what made the mount fail. */
  tellFailure(error: unknown): void {
    this.#send({ type: "failed", error: toWireError(error) });
  }

  /** Gives up the pipe; nothing is told from now on. */
  leave(): void {
    if (this.#fd >= 0) releaseFd(this.#fd);
    this.#fd = -1;
  }

  /**
   * A front that does not read must not hold up the mount, so what finds no room in the pipe is
   * dropped. What comes first, up to the end of the start, always finds some.
   */
  #send(message: ServerMessage): boolean {
    if (this.#fd < 0) return false;
    const line = this.#isLineOpen ? `\n${renderJsonLine(message)}` : renderJsonLine(message);
    const bytes = new TextEncoder().encode(line);
    const count = tryWrite(this.#fd, bytes);
    if (count > 0) this.#isLineOpen = count < bytes.length;
    return count !== -Errno.EPIPE;
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
