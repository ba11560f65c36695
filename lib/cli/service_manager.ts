/**
 * Tells the service manager, systemd, how a mount in the foreground is doing: what a unit with
 * `Type=notify` is for. Source: sd_notify(3).
 *
 * @module
 */

import { startVariable } from "../linux/own_process.ts";
import { sendDatagram } from "../linux/unix_datagram.ts";
import { printable } from "../wording.ts";

/** Set by the service manager: the path of its socket, or "@" and its abstract name. */
export const NOTIFY_VARIABLE = "NOTIFY_SOCKET";

/** What can be told. */
export interface ServiceState {
  /** What it does, in a line. */
  readonly status?: string;
  /** The mount is ready for use. */
  readonly isReady?: true;
  /** The process that serves it from now on, instead of this one. */
  readonly mainPid?: number;
  /** It has begun to end. */
  readonly isStopping?: true;
}

/** Tells the service manager, if there is one that wants to know. */
export function notifyServiceManager(state: ServiceState): void {
  const socket = startVariable(NOTIFY_VARIABLE);
  if (socket === undefined || socket === "") return;
  const { status, isReady, mainPid, isStopping } = state;
  const lines = [
    ...mainPid === undefined ? [] : [`MAINPID=${mainPid}`],
    ...isReady ? ["READY=1"] : [],
    ...isStopping ? ["STOPPING=1"] : [],
    ...status === undefined ? [] : [`STATUS=${printable(status)}`],
  ];
  sendDatagram(socket, new TextEncoder().encode(lines.join("\n")));
}
