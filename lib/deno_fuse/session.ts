/**
 * A mount from beginning to end.
 *
 * {@linkcode mount} checks (`preflight.ts`), registers callbacks (`dispatcher.ts`), mounts, and
 * receives requests (`receive_loop.ts`) until the kernel says that the mount is gone, whoever
 * unmounted it (`mount_point.ts`).
 *
 * @module
 */

import { cString } from "../linux/libc.ts";
import type { Mount } from "../linux/mounts.ts";
import { withSearchPath } from "../linux/search_path.ts";
import { type Callback, Dispatcher, guardListener } from "./dispatcher.ts";
import type { Handlers } from "./handlers.ts";
import { type Libfuse3, openLibfuse3, type SessionPointer } from "./libfuse3.ts";
import { collectLog } from "./library_log.ts";
import {
  createArguments,
  type ErrorListener,
  MAX_READ_BYTES,
  type MountOptions,
  renderMountOptions,
  settleMaxRead,
} from "./mount_options.ts";
import { FUSERMOUNT_FOLDERS, MountPoint } from "./mount_point.ts";
import { mountFailure, requireMountable } from "./preflight.ts";
import { type ReceiveBuffer, receiveRequests } from "./receive_loop.ts";
import { Replier } from "./reply.ts";
import { CONN_INFO, LOWLEVEL_OPS, type LowlevelOp } from "./structs.ts";

/** For how long the kernel may rely on names and attributes if nothing says otherwise. */
const DEFAULT_TIMEOUT_MS = 1000;

/**
 * Notifications at a time. Each may wait for an answer of ours in a thread of the runtime's pool,
 * and one of these has to be left to wait for requests.
 */
const MAX_NOTIFICATIONS = 32;

/** A mounted file system. */
export interface FuseSession {
  /** Absolute path without symbolic links. */
  readonly mountpoint: string;
  /** Release of libfuse3 in use, such as "3.14.0". */
  readonly libraryVersion: string;
  /** Read-ahead of the mount; `null` if it could not be set, or no option asked for it. */
  readonly readAheadBytes: number | null;
  /**
   * Settles when the mount is gone for everybody and everything is cleaned up; rejected if
   * receiving failed. Until then it keeps the process alive.
   */
  readonly closed: Promise<void>;
  /** The mount as it was made, as mountinfo(5) shows it. */
  readonly mount: Mount;
  /**
   * Tells whether the path leads to the mount in this process's mount namespace. If it does not,
   * and `closed` has not settled, somebody has files open, or it is still mounted elsewhere.
   */
  isAttached(): boolean;
  /**
   * Makes the kernel drop what it has cached of a file's content, and its attributes. Bytes that
   * were written through a shared memory mapping are sent to `write` before.
   *
   * A handler may wait for this, but not a `read` or `write` of the same range of the same file,
   * nor two that wait for each other's: the kernel waits for requests that it has made.
   *
   * @param range.offset First byte.
   * @param range.length Number of bytes, > 0.
   * @returns When it has done so, or the mount is gone. The kernel need not know the file.
   */
  invalidate(ino: number, range: { offset: number; length: number }): Promise<void>;
  /**
   * Unmounts, unless somebody uses the mount.
   *
   * @returns Whether it is busy. If it is not, no path leads to it any more, and `closed` settles
   *   soon.
   * @throws {OsError | MountError} If the system refuses for another reason.
   */
  unmount(): Promise<{ busy: boolean }>;
  /**
   * Takes the mount away from its path even if it is busy. Open files keep working until `closed`
   * settles or this process ends (then ENOTCONN).
   *
   * @throws {OsError | MountError} If the system refuses.
   */
  detach(): Promise<void>;
}

/**
 * Mounts a file system and serves it until it is unmounted.
 *
 * The calling program must not access the mount by synchronous calls: they would wait for an answer
 * from their own thread.
 *
 * @param mountpoint An existing directory.
 * @returns When the mount is ready for use.
 * @throws {MountError} If it cannot be mounted or ends at once; the message says what to do.
 * @throws {MountOptionError} If a mount option has a value that is not allowed.
 */
export async function mount(
  mountpoint: string,
  handlers: Handlers,
  options: MountOptions,
): Promise<FuseSession> {
  const library = openLibfuse3();
  const path = await requireMountable(mountpoint, options);
  await options.beforeMount?.();
  const session = new Session(library, path, handlers, settleMaxRead(options));
  await session.start();
  return session;
}

/**
 * Looks for what would make a mount fail, before anything else is done.
 *
 * @throws {MountError} If libfuse or the device is missing, or the place is not fit; the message
 *   says what to do.
 * @throws {MountOptionError} If a mount option has a value that is not allowed.
 */
export async function preflightMount(
  mountpoint: string,
  options: Pick<MountOptions, "mountOptions" | "plainMountHint"> = {},
): Promise<void> {
  settleMaxRead(options);
  openLibfuse3();
  await requireMountable(mountpoint, options);
}

class Session implements FuseSession {
  readonly libraryVersion: string;
  readonly closed: Promise<void>;
  readAheadBytes: number | null = null;

  readonly #library: Libfuse3;
  readonly #options: MountOptions;
  readonly #onError: ErrorListener;
  readonly #mountPoint: MountPoint;
  readonly #dispatcher: Dispatcher;
  readonly #pointer: SessionPointer;
  readonly #callbacks: Map<LowlevelOp, Callback>;
  /** What C refers to, kept from collection until the session is destroyed. */
  readonly #pinned = new Set<unknown>();
  readonly #ready = Promise.withResolvers<void>();
  /** Calls of other threads that use the session. */
  readonly #notifications = new Set<Promise<unknown>>();
  #isInitialized = false;
  #isOver = false;
  /** What libfuse logged during INIT, the first request, after which it may end the session. */
  #initLines: readonly string[] = [];

  constructor(library: Libfuse3, path: string, handlers: Handlers, options: MountOptions) {
    this.#library = library;
    this.#options = options;
    this.#onError = guardListener(options.onError);
    this.#mountPoint = new MountPoint(path);
    this.libraryVersion = library.version;
    const replier = new Replier(library, {
      entryTimeoutMs: options.entryTimeoutMs ?? DEFAULT_TIMEOUT_MS,
      attributesTimeoutMs: options.attributesTimeoutMs ?? DEFAULT_TIMEOUT_MS,
    });
    this.#dispatcher = new Dispatcher(library, replier, handlers, this.#onError);
    this.#callbacks = this.#dispatcher.createCallbacks();
    this.#callbacks.set("init", this.#createInitCallback());
    this.#pinned.add(this.#callbacks);
    this.#pointer = this.#mount();
    this.closed = this.#run();
    // A rejection must not end a program that does not look at it.
    this.closed.catch(() => {});
  }

  get mountpoint(): string {
    return this.#mountPoint.path;
  }

  get mount(): Mount {
    return this.#mountPoint.mount;
  }

  isAttached(): boolean {
    return this.#mountPoint.isAttached();
  }

  async invalidate(ino: number, { offset, length }: { offset: number; length: number }) {
    while (this.#notifications.size >= MAX_NOTIFICATIONS) await Promise.race(this.#notifications);
    if (this.#isOver) return;
    const notify = this.#library.symbols.fuse_lowlevel_notify_inval_inode;
    const done = notify(this.#pointer, BigInt(ino), BigInt(offset), BigInt(length));
    this.#notifications.add(done);
    // It fails if the kernel does not know the file, or the mount is gone: nothing is cached then.
    await done;
    this.#notifications.delete(done);
  }

  async unmount(): Promise<{ busy: boolean }> {
    return { busy: await this.#mountPoint.unmount() === "busy" };
  }

  async detach(): Promise<void> {
    await this.#mountPoint.detach();
  }

  /**
   * Waits until the kernel and libfuse have agreed on the protocol, then does what needs a mount
   * that works.
   */
  async start(): Promise<void> {
    await Promise.race([this.#ready.promise, this.closed]);
    if (this.#hasEnded || !this.#isInitialized || !this.#mountPoint.findMount()) {
      await this.#abandon();
      const lines = this.#initLines.length > 0 ? this.#initLines : ["the mount ended at once"];
      throw mountFailure(this.mountpoint, lines);
    }
    const { readAheadBytes } = this.#options;
    if (readAheadBytes === undefined) return;
    this.readAheadBytes = this.#mountPoint.setReadAhead(readAheadBytes);
  }

  /** Whether libfuse will process no more requests. */
  get #hasEnded(): boolean {
    return this.#isOver || this.#library.symbols.fuse_session_exited(this.#pointer) !== 0;
  }

  /** Waits for the end of a mount that does not work. */
  async #abandon(): Promise<void> {
    // If it can still be found, it is taken away, which ends the loop.
    if (!this.#hasEnded) await this.#mountPoint.clear().catch(() => {});
    if (this.#hasEnded) await this.closed.catch(() => {});
  }

  /** Creates libfuse's session and mounts it. */
  #mount(): SessionPointer {
    const { symbols } = this.#library;
    const ops = this.#createOps();
    const words = ["deno-fuse", "-o", renderMountOptions(this.#options)];
    const { struct: args, memory } = createArguments(words);
    this.#pinned.add(ops).add(memory);
    const { result, lines } = collectLog(this.#library, () => {
      const pointer = this.#library.newSession(args, ops);
      symbols.fuse_opt_free_args(args);
      if (pointer === null) return null;
      // For users other than root libfuse runs fusermount3, which it knows by one path and by name.
      const mounted = withSearchPath(
        FUSERMOUNT_FOLDERS,
        () => symbols.fuse_session_mount(pointer, cString(this.mountpoint)),
      );
      if (mounted === 0) return pointer;
      symbols.fuse_session_destroy(pointer);
      return null;
    });
    if (result !== null) return result;
    for (const callback of this.#callbacks.values()) callback.close();
    throw mountFailure(this.mountpoint, lines);
  }

  /** Builds a `struct fuse_lowlevel_ops`, as short as possible: older libraries warn of more. */
  #createOps(): Uint8Array<ArrayBuffer> {
    const count = 1 + LOWLEVEL_OPS.findLastIndex((name) => this.#callbacks.has(name));
    const ops = new Uint8Array(count * 8);
    const fields = new DataView(ops.buffer);
    for (const [name, { pointer }] of this.#callbacks) {
      const address = Deno.UnsafePointer.value(pointer);
      fields.setBigUint64(LOWLEVEL_OPS.indexOf(name) * 8, address, true);
    }
    return ops;
  }

  #createInitCallback(): Callback {
    return new Deno.UnsafeCallback(
      {
        parameters: [
          "pointer", // void *userdata
          "pointer", // struct fuse_conn_info *conn
        ],
        result: "void",
      },
      (_userdata, conn) => {
        try {
          this.#negotiate(Deno.UnsafePointerView.getArrayBuffer(conn!, CONN_INFO.bytes));
          this.#isInitialized = true;
        } catch (error) {
          this.#onError(error, "init");
        }
      },
    );
  }

  /** Changes what libfuse is about to agree to; everything else stays at its defaults. */
  #negotiate(conn: ArrayBuffer): void {
    const fields = new DataView(conn);
    fields.setUint32(CONN_INFO.max_read, this.#options.maxReadBytes ?? MAX_READ_BYTES, true);
  }

  /** Receives requests until the mount is gone, then frees everything. */
  async #run(): Promise<void> {
    try {
      await receiveRequests(this.#library, this.#pointer, {
        mountpoint: this.mountpoint,
        process: (buffer) => this.#process(buffer),
        onError: this.#onError,
      });
    } finally {
      await this.#cleanUp();
    }
  }

  /** Processes a request. @returns Whether there can be more. */
  #process(buffer: ReceiveBuffer): boolean {
    const process = () => this.#dispatcher.process(this.#pointer, buffer);
    if (this.#isInitialized) {
      process();
      return true;
    }
    this.#initLines = collectLog(this.#library, process).lines;
    // libfuse may need a larger buffer from now on.
    buffer.free();
    if (this.#isInitialized) this.#ready.resolve();
    return !this.#hasEnded;
  }

  async #cleanUp(): Promise<void> {
    const { symbols } = this.#library;
    symbols.fuse_session_exit(this.#pointer);
    this.#isOver = true;
    this.#dispatcher.end();
    // With the mount, the kernel has ended all requests, so that nothing keeps them waiting.
    await Promise.allSettled(this.#notifications);
    // Closes the device. The mount is gone, so this does not wait for anything.
    symbols.fuse_session_unmount(this.#pointer);
    symbols.fuse_session_destroy(this.#pointer);
    for (const callback of this.#callbacks.values()) callback.close();
    this.#pinned.clear();
    // An aborted connection (/sys/fs/fuse/connections) leaves its mount behind.
    await this.detach().catch((error) => this.#onError(error, "unmount"));
  }
}
