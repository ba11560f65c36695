/**
 * Images in a Ceph cluster as targets: checks, opens, flushes and closes them on the main thread.
 * `rbd_io.ts` writes them; `../linux/librbd.ts` has the libraries, which nothing else loads.
 *
 * @module
 */

import { OsError, TargetError } from "../errors.ts";
import { describeErrno, Errno, reasonOf } from "../linux/errno.ts";
import { cephVariable, LibrbdError, openLibrbd, restoreCephVariables } from "../linux/librbd.ts";
import { canWriteZeroes, CephClient, completed, type RbdImage } from "../linux/rbd.ts";
import { type RbdOperation, type RbdPool, waitFor } from "../linux/rbd.ts";
import { orAborted } from "../slices.ts";
import { quote } from "../wording.ts";
import type { ZeroPolicy } from "./descriptor_io.ts";
import type { RbdHandle } from "./rbd_io.ts";
import { parseRbdName, type RbdName, rbdSpecOf } from "./rbd_name.ts";
import type { CheckedTarget, OpenOptions, PreflightOptions, Target } from "./target.ts";
import { describeBytes, overriddenWarnings, refusal, requireHarmless } from "./wording.ts";

const ZERO_POLICIES = { auto: "deallocate", always: "trust", never: "write" } as const;
const NEW_ZERO_POLICIES = { auto: "skip", always: "skip", never: "write" } as const;

/** Options that are always set, each for a reason. */
const OPTIONS = {
  // Each write reports its own failure.
  rbd_cache: "false",
  rbd_persistent_cache_mode: "disabled",
  // A worker that stops takes its memory with it, also of writes in flight.
  rbd_disable_zero_copy_writes: "true",
  // What goes wrong is said once.
  err_to_stderr: "false",
  log_to_stderr: "false",
};

/** Seconds for options by which a dead cluster is waited for, and their defaults of Ceph. */
const TIMEOUTS = [
  { option: "client_mount_timeout", unset: 300, seconds: 60 },
  { option: "rados_mon_op_timeout", unset: 0, seconds: 60 },
  { option: "rados_osd_op_timeout", unset: 0, seconds: 300 },
];

/** How long to wait for an exclusive lock: a client that was killed keeps it for half a minute. */
const LOCK_MS = 90_000;

/** How long closing may take after a failure. Whoever is killed leaves a lock for half a minute. */
const CLOSE_MS = 3000;

/**
 * Checks an image, or that there is none if one is to be created. It is opened, but not changed.
 *
 * @throws {TargetError} If it must not or cannot be written.
 */
export async function checkRbdImage(
  path: string,
  options: PreflightOptions,
): Promise<CheckedTarget> {
  const name = parseRbdName(path);
  if (name === null) {
    throw refusal(path, "the name is not rbd:POOL/IMAGE or rbd:POOL/NAMESPACE/IMAGE");
  }
  const connection = new Connection(path, name, options.signal);
  try {
    await connection.connect();
    const image = await connection.openImage();
    if (image === null) {
      requireCreatable(path, options);
      return new CheckedRbdImage(connection, options, []);
    }
    requireSize(path, image.bytes, options);
    const uses = await connection.uses(image);
    requireHarmless(path, uses, options);
    return new CheckedRbdImage(connection, options, overriddenWarnings(path, uses));
  } catch (error) {
    connection.close();
    throw error;
  }
}

function requireCreatable(path: string, { mayCreate, heldBytes = 0 }: PreflightOptions): void {
  if (heldBytes > 0) {
    const reason = "there is no such image, so it cannot hold the base revision";
    throw refusal(path, `${reason}; leave out --base`);
  }
  if (!mayCreate) throw refusal(path, "there is no such image; --create makes it");
}

function requireSize(
  path: string,
  imageBytes: number,
  { extent, heldBytes = 0 }: PreflightOptions,
): void {
  const neededBytes = Math.max(extent.end, heldBytes);
  // What is written behind the end is dropped without a word.
  if (imageBytes >= neededBytes) return;
  throw refusal(
    path,
    `it has ${describeBytes(imageBytes)}, the revision needs ${describeBytes(neededBytes)}; ` +
      `enlarge it: rbd resize --size ${neededBytes}B`,
  );
}

class CheckedRbdImage implements CheckedTarget {
  readonly path: string;
  readonly kind = "rbd";
  readonly access = "random";
  readonly isNew: boolean;
  readonly warnings: readonly string[];
  readonly #options: PreflightOptions;
  #connection: Connection | null;

  constructor(connection: Connection, options: PreflightOptions, warnings: readonly string[]) {
    this.path = connection.path;
    this.isNew = connection.image === null;
    this.warnings = warnings;
    this.#options = options;
    this.#connection = connection;
  }

  async open({ signal }: OpenOptions = {}): Promise<Target> {
    const connection = this.#connection;
    if (connection === null) {
      throw new TypeError(`Cannot open ${quote(this.path)}: it was opened before`);
    }
    this.#connection = null;
    const { sparse, extent, isRead = false } = this.#options;
    try {
      connection.signal = signal;
      const image = connection.image ?? await connection.create(extent.end);
      await connection.lock(image);
      requireSize(this.path, image.bytes, this.#options);
      const zeroPolicy = (this.isNew ? NEW_ZERO_POLICIES : ZERO_POLICIES)[sparse];
      return new OpenedRbdImage(connection, image, { zeroPolicy, isRead, endBytes: extent.end });
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#connection?.close();
    this.#connection = null;
  }
}

/** An image that is written, or was. */
class OpenedRbdImage implements Target {
  readonly failure = null;
  readonly handle: RbdHandle;
  readonly #connection: Connection;
  readonly #image: RbdImage;
  readonly #isRead: boolean;
  /** What was written ends here. */
  readonly #endBytes: number;
  #dataRanges: Float64Array<SharedArrayBuffer> | null = null;

  constructor(
    connection: Connection,
    image: RbdImage,
    options: { zeroPolicy: ZeroPolicy; isRead: boolean; endBytes: number },
  ) {
    const { zeroPolicy, isRead, endBytes } = options;
    this.#connection = connection;
    this.#image = image;
    this.#isRead = isRead;
    this.#endBytes = endBytes;
    this.handle = {
      access: "random",
      kind: "rbd",
      path: connection.path,
      image: image.address,
      zeroPolicy,
      dataRanges: null,
      // With "write", all of the target must have storage.
      mayHaveHoles: zeroPolicy !== "write",
    };
  }

  async settle(): Promise<string | null> {
    await this.flush();
    return null;
  }

  comparable({ isWritten = false }: { isWritten?: boolean } = {}): RbdHandle {
    const handle = { ...this.handle, dataRanges: this.#dataRanges };
    if (!isWritten) return handle;
    const zeroPolicy = handle.zeroPolicy === "write" ? "write" : "deallocate";
    return { ...handle, zeroPolicy, mayHaveHoles: true };
  }

  async flush(): Promise<void> {
    await this.#orFail(async () => {
      await this.#image.flush();
      if (!this.#isRead) return;
      const shouldStop = () => !this.#connection.isOpen;
      const { bytes } = this.#image;
      this.#dataRanges = await this.#connection.lend(this.#image.dataRanges(bytes, shouldStop));
    });
  }

  async finish({ sync }: { sync: boolean }): Promise<void> {
    await this.#orFail(async () => {
      if (sync) await this.#image.flush();
      this.#requireOpen();
      const { bytes } = this.#image;
      if (bytes < this.#endBytes) {
        throw new TargetError(
          `Cannot finish ${quote(this.handle.path)}: another client cut it to ` +
            `${describeBytes(bytes)} while it was written; restore it once more`,
          { path: this.handle.path, offset: null },
        );
      }
      await this.#connection.finish();
    });
  }

  close(): void {
    this.#connection.close();
  }

  #requireOpen(): void {
    if (this.#connection.isOpen) return;
    throw new TypeError(`Cannot flush ${quote(this.handle.path)}: it is closed`);
  }

  async #orFail(store: () => Promise<void>): Promise<void> {
    this.#requireOpen();
    try {
      await store();
    } catch (error) {
      this.close();
      if (!(error instanceof OsError)) throw error;
      const { path } = this.handle;
      const message = `Cannot flush ${quote(path)}: ${reasonOf(error)}`;
      throw new TargetError(message, { path, offset: null }, { cause: error });
    }
  }
}

/** A connection to the cluster for one image. */
class Connection {
  readonly path: string;
  /** Aborting it ends every wait for the cluster. */
  signal: AbortSignal | undefined;
  image: RbdImage | null = null;
  readonly #name: RbdName;
  #user = "";
  #client: CephClient | null = null;
  #pool: RbdPool | null = null;
  #closing: RbdOperation | null = null;
  #isOpen = true;
  /** Whether a call on another thread is under way. */
  #isLent = false;

  constructor(path: string, name: RbdName, signal: AbortSignal | undefined) {
    this.path = path;
    this.#name = name;
    this.signal = signal;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Loads the libraries, connects and opens the pool. @throws {TargetError} */
  async connect(): Promise<void> {
    this.#load();
    const args = cephVariable("CEPH_ARGS") ?? "";
    const { cluster, user, conf } = readIdentity(args);
    this.#user = user;
    const client = new CephClient({ cluster, name: user });
    this.#client = client;
    try {
      client.readConfiguration(conf);
    } catch (error) {
      // Without a file, CEPH_ARGS may say all there is to say.
      const named = conf ?? cephVariable("CEPH_CONF");
      const isAbsent = error instanceof OsError && error.errno === Errno.ENOENT;
      if (!isAbsent || named !== undefined) {
        const file = named === undefined ? "ceph.conf" : quote(named);
        throw refusal(this.path, `${file} cannot be read: ${reasonOf(error)}`, error);
      }
    }
    client.readEnvironment();
    for (const [option, value] of Object.entries(OPTIONS)) client.set(option, value);
    for (const { option, unset, seconds } of TIMEOUTS) {
      if (Number(client.valueOf(option)) === unset) client.set(option, `${seconds}`);
    }
    await this.#ask(client.connect());
    const { pool, namespace } = this.#name;
    this.#pool = await this.#ask(client.openPool(pool, namespace));
  }

  /** @returns `null` if there is no such image. @throws {TargetError} */
  async openImage(): Promise<RbdImage | null> {
    try {
      this.image = await this.#ask(this.#pool!.open(this.#name.image));
    } catch (error) {
      const { cause } = error as Error;
      if (!(cause instanceof OsError && cause.errno === Errno.ENOENT)) throw error;
    }
    return this.image;
  }

  /** Creates the image and opens it. @throws {TargetError} */
  async create(bytes: number): Promise<RbdImage> {
    const { image, namespace } = this.#name;
    await this.#ask(this.#pool!.create(image, bytes));
    const opened = await this.openImage();
    if (opened !== null) return opened;
    const what = namespace === "" ? "it" : `it, or namespace ${quote(namespace)},`;
    throw refusal(this.path, `${what} was deleted right after it was created`);
  }

  /** What speaks against writing to the image. @throws {TargetError} If nothing overrides that. */
  async uses(image: RbdImage): Promise<string[]> {
    const locks = await this.#ask(image.manualLocks());
    if (locks.length > 0 && image.hasExclusiveLock) {
      const spec = rbdSpecOf(this.#name);
      throw refusal(
        this.path,
        `it is locked by ${locks.join(", ")}, and Ceph waits for that for ever; ` +
          `see rbd lock ls ${spec}, remove it by rbd lock rm`,
      );
    }
    const ownId = this.#client!.id;
    const watchers = await this.#ask(image.watchers());
    return [
      ...watchers.filter(({ clientId }) => clientId !== ownId).map(({ address }) =>
        `client ${address} has it open (one that was killed: for half a minute more)`
      ),
      ...locks.map((lock) => `it is locked by ${lock}`),
    ];
  }

  /** Takes the image's exclusive lock, if it has such a thing. @throws {TargetError} */
  async lock(image: RbdImage): Promise<void> {
    if (!image.hasExclusiveLock) return;
    const limit = AbortSignal.timeout(LOCK_MS);
    try {
      await this.#ask(image.lock(), limit);
    } catch (error) {
      if (error !== limit.reason) throw error;
      const spec = rbdSpecOf(this.#name);
      throw refusal(this.path, `nobody gave up its exclusive lock; see rbd lock ls ${spec}`);
    }
  }

  /** Closes everything. @throws {OsError} */
  async finish(): Promise<void> {
    this.#closing = this.image!.beginClose();
    await completed(this.#closing, () => !this.#isOpen);
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#pool!.close();
    this.#client!.shutDown();
  }

  /**
   * Closes everything, or what can be closed soon. What is waiting for the cluster is left as it
   * is, because it cannot be ended, and the process soon ends. Never throws.
   */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    if (this.#isLent) return;
    try {
      if (this.image !== null) {
        const endMs = performance.now() + CLOSE_MS;
        this.#closing ??= this.image.beginClose();
        if (!waitFor(this.#closing, () => performance.now() > endMs)) return;
        this.#closing.abandon();
      }
      this.#pool?.close();
      this.#client?.shutDown();
    } catch {
      // Whoever closes after a failure reports that.
    }
  }

  /** Marks the image as used by a call on another thread, until that has ended. */
  async lend<T>(call: Promise<T>): Promise<T> {
    this.#isLent = true;
    try {
      return await call;
    } finally {
      this.#isLent = false;
    }
  }

  /** Waits for what the cluster is asked. @throws {TargetError} @throws The signal's reason. */
  async #ask<T>(answer: Promise<T>, limit?: AbortSignal): Promise<T> {
    const lent = this.lend(answer);
    // Nobody may wait for it any more when it fails.
    lent.catch(() => {});
    try {
      const signals = [this.signal, limit].filter((signal) => signal !== undefined);
      return await orAborted(lent, AbortSignal.any(signals));
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      throw refusal(this.path, this.#explain(error), error);
    }
  }

  #load(): void {
    restoreCephVariables();
    try {
      openLibrbd();
    } catch (error) {
      if (!(error instanceof LibrbdError)) throw error;
      const install = error.isAbsent ? "install librbd (Debian: librbd1), or " : "";
      throw this.#insteadBy(`librbd cannot be used here (${error.message})`, install);
    }
    if (!canWriteZeroes()) {
      throw this.#insteadBy("librbd is too old: it cannot zero ranges", "");
    }
  }

  /** The error that leaves the work to the rbd program. */
  #insteadBy(reason: string, alternative: string): TargetError {
    return refusal(
      this.path,
      `${reason}; ${alternative}use --format=rbd-diff | rbd --rbd-cache=false import-diff - ` +
        rbdSpecOf(this.#name),
    );
  }

  /** Says why the cluster did not do what it was asked, and what to try. */
  #explain({ errno, syscall }: OsError): string {
    const { pool } = this.#name;
    const reason = describeErrno(errno);
    if (syscall === "rados_connect") return this.#explainConnect(errno);
    switch (errno) {
      case Errno.ENOENT:
        return syscall === "rados_ioctx_create"
          ? `there is no pool ${quote(pool)}; see ceph osd pool ls`
          : syscall === "rbd_create4"
          ? "there is no such namespace; rbd namespace create makes it"
          : reason;
      case Errno.EPERM:
      case Errno.EACCES:
        return `${this.#user} may not write to pool ${
          quote(pool)
        }: ${reason}; its caps should have ` +
          `mon 'profile rbd' and osd 'profile rbd pool=${pool}'`;
      case Errno.ETIMEDOUT:
        return `the cluster did not answer in time: ${reason}; see ceph health detail`;
      case Errno.ENOSPC:
      case Errno.EDQUOT:
        return `the cluster or pool is full: ${reason}; see ceph df`;
      case Errno.EROFS:
        return "another client keeps its exclusive lock, or it is a mirror of another image";
      default:
        return `${syscall}: ${reason}`;
    }
  }

  #explainConnect(errno: number): string {
    const client = this.#client!;
    const reason = describeErrno(errno);
    const monitors = client.valueOf("mon_host");
    if (errno === Errno.ETIMEDOUT) {
      return `no monitor answered (${monitors}): ${reason}; see whether they run, and which ` +
        "ceph.conf was read (CEPH_CONF)";
    }
    if (monitors === "") {
      return "no ceph.conf was found that names monitors; name it in CEPH_CONF";
    }
    return `the cluster did not let ${this.#user} in: ${reason}; its key should be in ` +
      `${client.valueOf("keyring")}; CEPH_ARGS="--id NAME --keyring FILE" names others`;
  }
}

/**
 * Reads the options of CEPH_ARGS that must be known before a client exists, which librados leaves
 * to its callers.
 */
function readIdentity(args: string): { cluster: string; user: string; conf: string | null } {
  const words = args.split(/\s+/).filter((word) => word !== "");
  const valueOf = (...options: string[]): string | undefined => {
    for (const [index, word] of words.entries()) {
      const [option = "", value] = word.split(/=(.*)/s);
      if (options.includes(option)) return value ?? words[index + 1];
    }
    return undefined;
  };
  const id = valueOf("--id", "--user") ?? "admin";
  return {
    cluster: valueOf("--cluster") ?? "ceph",
    user: valueOf("-n", "--name") ?? `client.${id}`,
    conf: valueOf("-c", "--conf") ?? null,
  };
}
