/**
 * A connection to a Ceph cluster for one image that is a target (`rbd_image.ts`), and what is said
 * when it cannot be had. `../linux/librbd.ts` has the libraries, which nothing else loads.
 *
 * @module
 */

import { OsError, type TargetError } from "../errors.ts";
import { describeErrno, Errno, reasonOf } from "../linux/errno.ts";
import { cephVariable, LibrbdError, openLibrbd, restoreCephVariables } from "../linux/librbd.ts";
import { CephClient, type RbdImage, type RbdPool } from "../linux/rbd.ts";
import { canWriteZeroes, completed, type RbdOperation, waitFor } from "../linux/rbd_operations.ts";
import { orAborted } from "../slices.ts";
import { quote } from "../wording.ts";
import { type RbdName, rbdSpecOf } from "./rbd_name.ts";
import { refusal } from "./wording.ts";

/** Options that are always set, each for a reason. */
const OPTIONS = {
  // Each write reports its own failure: even where the image's or pool's configuration, which
  // precedes this, has the cache on.
  rbd_cache: "false",
  rbd_cache_max_dirty: "0",
  rbd_cache_policy: "writethrough",
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

/** A connection to the cluster for one image. */
export class RbdConnection {
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
    try {
      await completed(this.#closing, () => !this.#isOpen);
    } finally {
      // A failure, too, means that the image is closed: close() must not do that once more.
      if (this.#isOpen) this.#disconnect();
    }
  }

  /** Closes what is behind the image. */
  #disconnect(): void {
    this.#isOpen = false;
    this.#pool?.close();
    this.#client?.shutDown();
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
      this.#disconnect();
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
      throw this.refusalOf(error);
    }
  }

  /** Refuses the target if a call of Ceph's libraries failed; other errors stay as they are. */
  refusalOf(error: unknown): unknown {
    return error instanceof OsError ? refusal(this.path, this.#explain(error), error) : error;
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
    if (syscall === "rados_create2") {
      return `${quote(this.#user)} is not the name of a Ceph client, such as client.admin`;
    }
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
