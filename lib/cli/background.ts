/**
 * Starts a mount in another process, which goes on when this one ends or is interrupted. There is
 * no fork in the runtime, so the program starts itself once more, in a session of its own, and
 * reads what becomes of the mount from a pipe. Next: `background_server.ts`, the other end of it.
 *
 * @module
 */

import {
  type BackyError,
  type EndSignal,
  fromWireError,
  MountError,
  type WireError,
} from "../errors.ts";
import type { MountEvent } from "../fuse/mount.ts";
import { waitReadable } from "../linux/descriptors.ts";
import { OWN_PROGRAM, ownWords } from "../linux/own_process.ts";
import { openFd, OpenFlag, releaseFd } from "../linux/files.ts";
import { openPipe, tryRead } from "../linux/pipes.ts";
import { type ExitStatus, spawn } from "../linux/spawn.ts";
import { NOTIFY_VARIABLE } from "./service_manager.ts";
import { openSink } from "./terminal.ts";

/** A mount that is ready for use. */
export interface ReadyMount {
  /** Absolute path. */
  readonly mountpoint: string;
  readonly revisionCount: number;
}

/** What the server tells, as lines of JSON. */
export type ServerMessage =
  | { readonly type: "event"; readonly event: MountEvent }
  | { readonly type: "ready"; readonly mount: ReadyMount }
  | { readonly type: "failed"; readonly error: WireError };

/**
 * Set for the server, to a word that says whether somebody sees that it waits for the purge lock.
 */
export const FRONT_VARIABLE = "BACKY_FUSE_FRONT";

/** Its values. */
export const Attendance = { ATTENDED: "attended", UNATTENDED: "unattended" } as const;

/** The server's descriptor of the pipe that it writes messages to. */
export const FRONT_FD = 3;

/** A mount that another process serves. */
export interface BackgroundMount {
  /** Id of the server process, which leads a session of its own. */
  readonly pid: number;
  /**
   * Resolves when the mount is ready for use. Rejects with what the server failed with, in its own
   * class, so that `describeFailure` and `exitCodeFor` say what they say of a mount in the
   * foreground; with a {@linkcode MountError} if the server ended without a word. After a failure
   * nothing is mounted, and the server ends by itself.
   */
  readonly ready: Promise<ReadyMount>;
  /** Resolves when the server has ended, and with it the mount; never rejects. */
  readonly ended: Promise<ExitStatus>;
  /**
   * Sends the server a signal; does nothing if it has ended. As in the foreground, the first one
   * unmounts unless the mount is in use, of which there is a "warning" event; a second one ends it
   * all the same. Before the mount is ready, `ready` rejects with an `InterruptedError`.
   */
  signal(signal: EndSignal | "SIGKILL"): void;
}

/**
 * Starts a mount in the background.
 *
 * The server gets no descriptor of this process. Its standard error is a pipe as well, as the
 * runtime keeps copies of what it finds there; if the runtime breaks down, what it writes is
 * printed here. With `--background` among the arguments the server closes the first pipe when the
 * mount is ready: what it has to say then goes to the system log. Without, events are told as long
 * as this process lives. When this process ends before the mount is ready, the server ends without
 * a mount; afterwards it serves until it is unmounted.
 *
 * @param args Command line of `backy-fuse` for a mount, without the program's name.
 * @param onEvent Gets what happens until the mount is ready, or without `--background` until the
 *   server ends; "lingering" and warnings come later, too. Must not throw.
 * @throws {OsError} If the program cannot be started once more.
 */
export function startBackground(
  args: readonly string[],
  onEvent: (event: MountEvent) => void,
): BackgroundMount {
  using ends = new DisposableStack();
  const mine = (fd: number) => ends.adopt(fd, releaseFd);
  const nothing = mine(openFd("/dev/null", OpenFlag.O_RDWR));
  const [messages, errors] = [openPipe(), openPipe()];
  mine(messages.writeFd), mine(errors.writeFd);
  const isAttended = Deno.stderr.isTerminal();
  const server = spawn(OWN_PROGRAM, {
    words: [...ownWords(Deno.args.length), ...args],
    descriptors: [nothing, nothing, errors.writeFd, messages.writeFd],
    closesOthers: true,
    ownSession: true,
    environment: {
      [FRONT_VARIABLE]: isAttended ? Attendance.ATTENDED : Attendance.UNATTENDED,
      [NOTIFY_VARIABLE]: null,
    },
  });
  const { promise: ready, resolve, reject } = Promise.withResolvers<ReadyMount>();
  // Whoever only waits for the end need not look at it.
  ready.catch(() => {});
  const listening = Promise.all([
    readPieces(
      messages.readFd,
      byLine((line) => {
        const message: ServerMessage = JSON.parse(line);
        if (message.type === "event") onEvent(message.event);
        else if (message.type === "ready") resolve(message.mount);
        else reject(fromWireError(message.error));
      }),
    ),
    readPieces(errors.readFd, openSink()),
  ]);
  // What it has said last may still be in the pipes when it ends.
  const ended = server.ended.then(async (status) => {
    await listening;
    reject(endedEarly(server.pid, status));
    return status;
  });
  return { pid: server.pid, ready, ended, signal: (signal) => void server.signal(signal) };
}

/** The error if a server has ended without a word. */
function endedEarly(pid: number, { code, signal }: ExitStatus): BackyError {
  const how = signal === null ? `with exit code ${code}` : `by signal ${signal}`;
  return new MountError(
    `Cannot mount: the process that was to serve the mount (pid ${pid}) ended ${how}`,
  );
}

const BLOCK_BYTES = 16_384;

/** Reads text until the other end is closed; never rejects. Closes the descriptor. */
async function readPieces(fd: number, onPiece: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  const block = new Uint8Array(BLOCK_BYTES);
  for (;;) {
    await waitReadable(fd);
    const count = tryRead(fd, block);
    if (count === 0) break;
    if (count > 0) onPiece(decoder.decode(block.subarray(0, count), { stream: true }));
  }
  releaseFd(fd);
}

/** Puts pieces of text together to lines. */
function byLine(onLine: (line: string) => void): (piece: string) => void {
  let text = "";
  return (piece) => {
    const lines = `${text}${piece}`.split("\n");
    text = lines.pop()!;
    lines.forEach(onLine);
  };
}
