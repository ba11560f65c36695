/**
 * Serves a backup directory's revisions as NBD exports, for those who have no FUSE: containers,
 * other hosts, virtual machines. Read this file first.
 *
 * Clients come in by `listen.ts`; `handshake.ts` has each choose an export of `exports.ts`, and
 * `transmission.ts` serves it; both speak in the messages of `protocol.ts` through `connection.ts`.
 * The bytes come from `lib/image_access/image_access.ts`, as those of a mount do: one cache and one
 * overlay for all clients.
 *
 * There is no encryption and no password: whoever can connect reads the images. It neither prints
 * nor exits.
 *
 * @module
 */

import { BackyError } from "../errors.ts";
import { FailureLog } from "../image_access/failure_log.ts";
import { ImageAccess } from "../image_access/image_access.ts";
import type { ImageEvent } from "../image_access/image_reader.ts";
import { reasonOf } from "../linux/errno.ts";
import { PurgeLock } from "../store/purge_lock.ts";
import { requireStore } from "../store/store.ts";
import { roomForWorkers } from "../work/worker_room.ts";
import { Budget } from "./budget.ts";
import { ClientError, ClosedError, Connection } from "./connection.ts";
import { type Exports, RevisionExports } from "./exports.ts";
import { negotiate } from "./handshake.ts";
import { type Entrance, type Incoming, listen, type NbdAddress } from "./listen.ts";
import { transmit } from "./transmission.ts";

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
  /** Hears of what goes on, such as a read that failed or a client that was dropped. */
  readonly onEvent: (event: ImageEvent) => void;
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

/** Most clients at once: `budget.ts` has a share for each. */
const CLIENTS_MAX = 64;

/**
 * So long a client may keep the server waiting before it has chosen an export. What the server
 * itself takes, to read a large map from a slow disk for example, does not count.
 */
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
  const budget = new Budget(cacheBytes / 2);
  const entrance = listen(options.address, () => budget.isIdle);
  return new Server(entrance, { exports, budget, cleanup: cleanup.move(), onWarning });
}

class Server implements NbdServer {
  readonly closed: Promise<void>;
  readonly #entrance: Entrance;
  readonly #exports: Exports;
  readonly #budget: Budget;
  /** Whoever connects causes lines: not more than can be read. */
  readonly #log: FailureLog;
  readonly #clients = new Map<Connection, Promise<void>>();
  /** Whether it takes no more clients. */
  #isEnding = false;
  /** Whether connections are being closed. */
  #isClosing = false;

  constructor(
    entrance: Entrance,
    options: {
      exports: Exports;
      budget: Budget;
      cleanup: DisposableStack;
      onWarning: (text: string) => void;
    },
  ) {
    this.#entrance = entrance;
    this.#exports = options.exports;
    this.#budget = options.budget;
    this.#log = new FailureLog(options.onWarning);
    this.closed = this.#run().finally(() => options.cleanup.dispose());
  }

  get uri(): string {
    return this.#entrance.uri;
  }

  get clientCount(): number {
    return this.#clients.size;
  }

  drain(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#entrance.close();
  }

  close(): void {
    this.drain();
    this.#isClosing = true;
    for (const connection of this.#clients.keys()) connection.close();
  }

  async #run(): Promise<void> {
    while (!this.#isEnding) {
      let client: Incoming;
      try {
        client = await this.#entrance.accept();
      } catch (error) {
        if (this.#isEnding) break;
        // No descriptors left, or a client that went before it was accepted.
        this.#log.report("Cannot accept a client", error);
        await new Promise((resolve) => setTimeout(resolve, 100));
        continue;
      }
      this.#admit(client);
    }
    await Promise.allSettled(this.#clients.values());
    await this.#entrance.ended;
  }

  #admit({ socket, name }: Incoming): void {
    if (this.#clients.size >= CLIENTS_MAX) {
      socket.close();
      this.#log.tell(`${name} was turned away: ${CLIENTS_MAX} are connected`);
      return;
    }
    const connection = new Connection(socket);
    const serving = serveClient(connection, this.#exports, this.#budget)
      .catch((error) => {
        if (error instanceof ClosedError || this.#isClosing) return;
        // What the client did, or what was found on its behalf; a bug must not end the others.
        const isExpected = error instanceof ClientError || error instanceof BackyError;
        const reason = isExpected ? error.message : `internal error: ${reasonOf(error)}`;
        this.#log.tell(`${name} was dropped: ${reason}`);
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
 * @param limits.handshakeMs How long it may keep the server waiting before it has chosen an export.
 * @throws {ClientError} If it does not speak the protocol, or is too slow to choose.
 * @throws {ClosedError} If it has gone without a word.
 */
export async function serveClient(
  connection: Connection,
  exports: Exports,
  budget: Budget,
  limits: { handshakeMs?: number } = {},
): Promise<void> {
  const { handshakeMs: ms = HANDSHAKE_MS } = limits;
  const error = () => new ClientError(`it did nothing for ${ms / 1000} s, and chose no export`);
  connection.patience = { ms, error };
  const session = await negotiate(connection, exports);
  if (session === null) return;
  // Whoever has chosen an export may have nothing to ask for a long time.
  connection.patience = null;
  try {
    await transmit(connection, session, budget);
  } finally {
    session.export.close();
  }
}
