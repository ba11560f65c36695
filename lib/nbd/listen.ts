/**
 * Where clients come in: a socket in the file system, which is its owner's alone, or a port.
 *
 * @module
 */

import { MountError } from "../errors.ts";
import { reasonOf } from "../linux/errno.ts";
import { statOrNull } from "../linux/file_status.ts";
import { withUmask } from "../linux/files.ts";
import { quote } from "../wording.ts";

/** Where the server listens: a socket's path, or an address and port; port 0: any free one. */
export type NbdAddress =
  | { readonly path: string }
  | { readonly hostname: string; readonly port: number };

/** The longest path of a socket: `sun_path` of unix(7), and its NUL. */
const SOCKET_PATH_MAX_BYTES = 107;

/** A place where clients come in, until it is closed. */
export interface Entrance {
  /** As `nbd:` URIs have it: what clients connect to. */
  readonly uri: string;
  /** Waits for the next client. */
  accept(): Promise<Deno.Conn>;
  /** Closes it, and removes its socket. */
  close(): void;
}

/** Begins to listen. @throws {MountError} If that is not possible. */
export function listen(address: NbdAddress): Entrance {
  return "path" in address ? listenAtSocket(address.path) : listenAtPort(address);
}

function listenAtPort(address: { readonly hostname: string; readonly port: number }): Entrance {
  let listener: Deno.TcpListener;
  try {
    listener = Deno.listen(address);
  } catch (error) {
    const place = `${address.hostname}, port ${address.port}`;
    throw new MountError(`Cannot listen at ${place}: ${reasonOf(error)}`, { cause: error });
  }
  const { hostname, port } = listener.addr;
  return {
    uri: `nbd://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`,
    accept: async () => {
      const client = await listener.accept();
      client.setNoDelay();
      // Otherwise the place of a client whose host has lost its power is never free again.
      client.setKeepAlive();
      return client;
    },
    close: () => listener.close(),
  };
}

function listenAtSocket(path: string): Entrance {
  let listener: Deno.UnixListener;
  try {
    // Whoever may write to the socket reads the images.
    listener = withUmask(0o177, () => Deno.listen({ transport: "unix", path }));
  } catch (error) {
    const reason = socketFailure(path, error);
    throw new MountError(`Cannot listen at ${quote(path)}: ${reason}`, { cause: error });
  }
  return {
    uri: `nbd+unix:///?socket=${path.split("/").map(encodeURIComponent).join("/")}`,
    accept: () => listener.accept(),
    // The runtime removes the socket.
    close: () => listener.close(),
  };
}

function socketFailure(path: string, error: unknown): string {
  const bytes = new TextEncoder().encode(path).length;
  if (bytes > SOCKET_PATH_MAX_BYTES) {
    return `its path has ${bytes} bytes, that of a socket at most ${SOCKET_PATH_MAX_BYTES}`;
  }
  if (!(error instanceof Deno.errors.AddrInUse)) return reasonOf(error);
  return statOrNull(path)?.isSocket === false
    ? "something that is not a socket is there already; choose another path"
    : "a socket is there already; if no server uses it, remove it";
}
