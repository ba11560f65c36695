/**
 * Where clients come in: a socket in the file system, which is its owner's alone, or a port.
 *
 * @module
 */

import { MountError } from "../errors.ts";
import { Errno, errnoOf, reasonOf } from "../linux/errno.ts";
import { statOrNull } from "../linux/file_status.ts";
import { releaseFd } from "../linux/files.ts";
import { Readiness } from "../linux/readiness.ts";
import {
  listenAtPath,
  listenAtPort,
  type ListeningSocket,
  SOCKET_PATH_MAX_BYTES,
  type TcpAddress,
  tryAccept,
} from "../linux/socket_address.ts";
import { StreamSocket } from "../linux/stream_socket.ts";
import { quote } from "../wording.ts";

/** Where the server listens: a socket's path, or an address and port; port 0: any free one. */
export type NbdAddress = { readonly path: string } | TcpAddress;

/**
 * How much of what is sent to a client by a socket in the file system may wait there. The kernel's
 * default of 208 KiB does not hold a reply of 256 KiB.
 */
const SEND_BUFFER_BYTES = 1_048_576;

/** A client that has come in. */
export interface Incoming {
  /** To be closed by whoever gets it. */
  readonly socket: StreamSocket;
  /** Names it in messages, at their beginning. */
  readonly name: string;
}

/** A place where clients come in, until it is closed. */
export interface Entrance {
  /** As `nbd:` URIs have it: what clients connect to. */
  readonly uri: string;
  /**
   * Waits for the next client.
   *
   * @throws {OsError} If there are no descriptors left, for example.
   * @throws {RemovedError} If it is closed meanwhile.
   */
  accept(): Promise<Incoming>;
  /** Closes it, and removes its socket unless it is another's by now. To be called once. */
  close(): void;
  /** Settles when no thread waits for it or sends. To be asked for when all sockets are closed. */
  readonly ended: Promise<void>;
}

/**
 * Begins to listen.
 *
 * @param isIdle Whether nothing is under way for any client, see {@linkcode Readiness}.
 * @throws {MountError} If that is not possible.
 */
export function listen(address: NbdAddress, isIdle?: () => boolean): Entrance {
  const readiness = new Readiness(isIdle);
  return "path" in address
    ? listenAtSocket(address.path, readiness)
    : listenByTcp(address, readiness);
}

function listenByTcp(address: TcpAddress, readiness: Readiness): Entrance {
  let listening: ListeningSocket<TcpAddress>;
  try {
    listening = listenAtPort(address);
  } catch (error) {
    const place = `${address.hostname}, port ${address.port}`;
    throw new MountError(`Cannot listen at ${place}: ${reasonOf(error)}`, { cause: error });
  }
  const { hostname, port } = listening.address;
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return entranceOf(listening.fd, { readiness, uri: `nbd://${host}:${port}` });
}

function listenAtSocket(path: string, readiness: Readiness): Entrance {
  let listening: ListeningSocket<string>;
  try {
    listening = listenAtPath(path);
  } catch (error) {
    const reason = socketFailure(path, error);
    throw new MountError(`Cannot listen at ${quote(path)}: ${reason}`, { cause: error });
  }
  const mark = markOf(path);
  return entranceOf(listening.fd, {
    readiness,
    uri: `nbd+unix:///?socket=${path.split("/").map(encodeURIComponent).join("/")}`,
    sendBufferBytes: SEND_BUFFER_BYTES,
    onClose: () => {
      // Somebody may have removed it, and another server have put its own there.
      if (mark !== null && markOf(path) === mark) Deno.removeSync(path);
    },
  });
}

/** @param fd Closed with the entrance. */
function entranceOf(
  fd: number,
  options: {
    readiness: Readiness;
    uri: string;
    sendBufferBytes?: number;
    onClose?: () => void;
  },
): Entrance {
  const { readiness, uri, sendBufferBytes, onClose = () => {} } = options;
  const watch = readiness.add(fd);
  /** Of each client's socket, when it is released. */
  const released = new Set<Promise<void>>();
  const takeIn = (client: number) => {
    const socket = new StreamSocket(client, readiness, sendBufferBytes);
    const end = socket.released.then(() => void released.delete(end));
    released.add(end);
    return socket;
  };
  return {
    uri,
    accept: async () => {
      for (;;) {
        const client = tryAccept(fd);
        if (client === null) {
          await watch.readable();
          continue;
        }
        const { peer } = client;
        const name = peer ? `The client at ${peer.hostname}, port ${peer.port},` : "A client";
        return { socket: takeIn(client.fd), name };
      }
    },
    close: () => {
      onClose();
      watch.remove();
      releaseFd(fd);
    },
    get ended() {
      return Promise.all([readiness.ended, ...released]).then(() => {});
    },
  };
}

/** What tells a file from any other that is put in its place, which may get its inode number. */
function markOf(path: string): string | null {
  try {
    const { dev, ino, mtime } = Deno.lstatSync(path);
    return [dev, ino, mtime?.getTime()].join(" ");
  } catch {
    return null;
  }
}

function socketFailure(path: string, error: unknown): string {
  const bytes = new TextEncoder().encode(path).length;
  if (bytes > SOCKET_PATH_MAX_BYTES) {
    return `its path has ${bytes} bytes, that of a socket at most ${SOCKET_PATH_MAX_BYTES}`;
  }
  if (errnoOf(error) !== Errno.EADDRINUSE) return reasonOf(error);
  return statOrNull(path)?.isSocket === false
    ? "something that is not a socket is there already; choose another path"
    : "a socket is there already; if no server uses it, remove it";
}
