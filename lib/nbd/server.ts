/**
 * Serves a backup directory's revisions as NBD exports, for those who have no FUSE: containers,
 * other hosts, virtual machines. Read this file first.
 *
 * `handshake.ts` has a client choose an export of `exports.ts`, and `transmission.ts` serves it;
 * both speak in the messages of `protocol.ts` through `connection.ts`. The bytes come from
 * `lib/image_access/image_access.ts`, as those of a mount do: one cache and one overlay for all
 * clients.
 *
 * There is no encryption and no password: whoever can connect reads the images. It neither prints
 * nor exits.
 *
 * @module
 */

import { BackyError, MountError } from "../errors.ts";
import { ImageAccess } from "../image_access/image_access.ts";
import { reasonOf } from "../linux/errno.ts";
import { withUmask } from "../linux/files.ts";
import { type LockEvent, PurgeLock } from "../store/purge_lock.ts";
import { requireStore } from "../store/store.ts";
import { roomForWorkers } from "../work/worker_room.ts";
import { quote } from "../wording.ts";
import { ClientError, ClosedError, Connection } from "./connection.ts";
import { type Exports, RevisionExports } from "./exports.ts";
import { negotiate } from "./handshake.ts";
import { transmit } from "./transmission.ts";

/** Where the server listens: a socket's path, or an address and port; port 0: any free one. */
export type NbdAddress =
  | { readonly path: string }
  | { readonly hostname: string; readonly port: number };

/** Events of {@linkcode serveNbd} and of the server. */
export type NbdEvent =
  | LockEvent
  | { readonly type: "notice"; readonly text: string }
  /** A read failed, a revision is doubtful, a client was dropped: one line. */
  | { readonly type: "warning"; readonly text: string };

/** What to serve, where and how. */
export interface NbdOptions {
  /** The backup directory. */
  readonly basedir: string;
  /** The one revision that is exported; default: all, and "last" for clients that name none. */
  readonly spec?: string | undefined;
  readonly address: NbdAddress;
  /** Whether clients may write, into an overlay that is gone with the server; default false. */
  readonly writable?: boolean;
  /** Bound of the read cache, and of the changes in memory, in bytes each; at least 16 MiB. */
  readonly cacheBytes: number;
  /** Where changed chunks are stored when memory runs out. Default: the backup directory. */
  readonly spill?: string | undefined;
  /** Decoding workers; default: one per CPU, but 2 to 24. */
  readonly threads?: number | undefined;
  /** Whether each chunk's content is compared with its id; default true. */
  readonly verify?: boolean;
  /** How long to wait for the purge lock; default: for ever, 0: not at all. */
  readonly lockTimeoutMs?: number | undefined;
  /** Aborting it ends the wait for the lock; its reason is thrown. */
  readonly signal?: AbortSignal;
  readonly onEvent: (event: NbdEvent) => void;
}

/** A server that listens. */
export interface NbdServer {
  /** As `nbd:` URIs have it: what clients connect to. */
  readonly uri: string;
  /** Number of clients that are connected. */
  readonly clientCount: number;
  /** Settles when it has ended and everything is cleaned up. */
  readonly closed: Promise<void>;
  /** Takes no more clients, and ends when those that are connected have gone. */
  drain(): void;
  /** Ends it, and the connections of its clients. */
  close(): void;
}

/** Most clients at once: each may have 64 MiB under way. */
const CLIENTS_MAX = 64;

/** A client must have chosen an export by then. */
const HANDSHAKE_MS = 10_000;

/**
 * Starts a server.
 *
 * @returns When clients can connect. The purge lock is held until it is closed.
 * @throws {StoreFormatError} If it is not a backup directory of a known format.
 * @throws {RevisionError | UsageError} If the spec means no revision.
 * @throws {LockError} If the purge lock could not be taken.
 * @throws {ResourceError} If there is no room for one worker.
 * @throws {MountError} If it cannot listen there.
 */
export async function serveNbd(options: NbdOptions): Promise<NbdServer> {
  const { basedir, spec, cacheBytes, verify = true, writable: isWritable = false } = options;
  const { lockTimeoutMs: timeoutMs, signal, onEvent } = options;
  const spillDir = options.spill ?? basedir;
  const onWarning = (text: string) => onEvent({ type: "warning", text });
  requireStore(basedir);
  using cleanup = new DisposableStack();
  cleanup.use(await PurgeLock.acquire({ basedir, timeoutMs, signal, onEvent }));
  const { threads, notice } = roomForWorkers(options.threads);
  if (notice !== null) onEvent({ type: "notice", text: notice });
  const images = cleanup.use(
    new ImageAccess({ basedir, spillDir, cacheBytes, threads, verify, onFailure: onWarning }),
  );
  const exports = new RevisionExports(images, { basedir, spec, isWritable, onWarning });
  if (spec !== undefined) (await exports.open("")).close();
  await images.start(signal);
  const listener = listen(options.address);
  return new Server(listener, { exports, cleanup: cleanup.move(), onWarning });
}

function listen(address: NbdAddress): Deno.Listener<Deno.Conn> {
  const isSocket = "path" in address;
  try {
    if (!isSocket) return Deno.listen(address);
    const { path } = address;
    // Whoever may write to the socket reads the images.
    return withUmask(0o177, () => Deno.listen({ transport: "unix", path })) as Deno.Listener<
      Deno.Conn
    >;
  } catch (error) {
    const place = isSocket ? quote(address.path) : `${address.hostname}, port ${address.port}`;
    const help = isSocket && error instanceof Deno.errors.AddrInUse
      ? "; if no server uses it, remove it"
      : "";
    throw new MountError(`Cannot listen at ${place}: ${reasonOf(error)}${help}`, { cause: error });
  }
}

class Server implements NbdServer {
  readonly uri: string;
  readonly closed: Promise<void>;
  readonly #listener: Deno.Listener<Deno.Conn>;
  readonly #exports: Exports;
  readonly #onWarning: (text: string) => void;
  readonly #clients = new Map<Connection, Promise<void>>();
  /** Whether it takes no more clients. */
  #isEnding = false;
  /** Whether connections are being closed. */
  #isClosing = false;

  constructor(
    listener: Deno.Listener<Deno.Conn>,
    options: { exports: Exports; cleanup: DisposableStack; onWarning: (text: string) => void },
  ) {
    this.#listener = listener;
    this.#exports = options.exports;
    this.#onWarning = options.onWarning;
    this.uri = uriOf(listener.addr);
    this.closed = this.#run().finally(() => options.cleanup.dispose());
  }

  get clientCount(): number {
    return this.#clients.size;
  }

  drain(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    const { addr } = this.#listener;
    this.#listener.close();
    if (addr.transport !== "unix") return;
    try {
      Deno.removeSync(addr.path);
    } catch {
      // It was removed already.
    }
  }

  close(): void {
    this.drain();
    this.#isClosing = true;
    for (const connection of this.#clients.keys()) connection.close();
  }

  async #run(): Promise<void> {
    while (!this.#isEnding) {
      let channel: Deno.Conn;
      try {
        channel = await this.#listener.accept();
      } catch (error) {
        if (this.#isEnding) break;
        // No descriptors left, or a client that went before it was accepted.
        this.#onWarning(`Cannot accept a client: ${reasonOf(error)}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
        continue;
      }
      this.#admit(channel);
    }
    await Promise.allSettled(this.#clients.values());
  }

  #admit(channel: Deno.Conn): void {
    const name = nameOf(channel.remoteAddr);
    if (this.#clients.size >= CLIENTS_MAX) {
      channel.close();
      this.#onWarning(`${name} was turned away: ${CLIENTS_MAX} are connected`);
      return;
    }
    if ("setNoDelay" in channel) (channel as Deno.TcpConn).setNoDelay();
    const connection = new Connection(channel);
    const serving = serveClient(connection, this.#exports)
      .catch((error) => {
        if (error instanceof ClosedError || this.#isClosing) return;
        // What the client did, or what was found on its behalf; a bug must not end the others.
        const isExpected = error instanceof ClientError || error instanceof BackyError;
        const reason = isExpected ? error.message : `internal error: ${reasonOf(error)}`;
        this.#onWarning(`${name} was dropped: ${reason}`);
      })
      .finally(() => {
        connection.close();
        this.#clients.delete(connection);
      });
    this.#clients.set(connection, serving);
  }
}

/**
 * Serves a client until it goes.
 *
 * @param limits.handshakeMs How long it may take to choose an export.
 * @throws {ClientError} If it does not speak the protocol, or is too slow to choose.
 * @throws {ClosedError} If it has gone without a word.
 */
export async function serveClient(
  connection: Connection,
  exports: Exports,
  limits: { handshakeMs?: number } = {},
): Promise<void> {
  const { handshakeMs = HANDSHAKE_MS } = limits;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    connection.close();
  }, handshakeMs);
  let session;
  try {
    session = await negotiate(connection, exports);
  } catch (error) {
    if (!isLate) throw error;
    throw new ClientError(`it chose no export within ${handshakeMs / 1000} s`);
  } finally {
    clearTimeout(timer);
  }
  if (session === null) return;
  try {
    await transmit(connection, session);
  } finally {
    session.export.close();
  }
}

/** As https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md has it. */
function uriOf(addr: Deno.Addr): string {
  if (addr.transport === "unix") return `nbd+unix:///?socket=${encodeURI(addr.path)}`;
  const { hostname, port } = addr as Deno.NetAddr;
  return `nbd://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}

/** Names a client in messages. */
function nameOf(addr: Deno.Addr): string {
  if (addr.transport === "unix") return "A client";
  const { hostname, port } = addr as Deno.NetAddr;
  return `The client at ${hostname}, port ${port},`;
}
