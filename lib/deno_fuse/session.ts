/**
 * A mount from beginning to end; step 1 of every request.
 *
 * `mount` checks (`preflight.ts`), registers the callbacks (`dispatcher.ts`), mounts, and runs the
 * loop: a thread of Deno's pool waits until there are requests, then this thread receives them one
 * by one (`fuse_session_receive_buf`) and has each processed (`fuse_session_process_buf`), in which
 * the callbacks run. The loop ends when the kernel says that the mount is gone, whoever unmounted
 * it.
 *
 * The device is nonblocking, so that one change of threads serves all requests that the kernel has
 * made meanwhile: it asks for 4 MiB of a file by four. To wait for each by itself took a tenth more
 * time for a sequential read.
 *
 * @module
 */

import { Errno, errnoName } from "../linux/errno.ts";
import { setNonblocking, waitReadable } from "../linux/descriptors.ts";
import { cString } from "../linux/libc.ts";
import { type Callback, Dispatcher, guardListener } from "./dispatcher.ts";
import { MountError } from "./errors.ts";
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
import { isFuseMount, type Mount, readMountTable } from "../linux/mounts.ts";
import { mountFailure, requireMountable } from "./preflight.ts";
import { ReceiveBuffer } from "./receive_loop.ts";
import { Replier } from "./reply.ts";
import { CONN_INFO, LOWLEVEL_OPS, type LowlevelOp } from "./structs.ts";
import { unmountPath } from "./mount_point.ts";
import { readText, writeText } from "../linux/paths.ts";

/** Requests handled before yielding to the event loop, so that workers' messages get their turn. */
const MAX_BATCH = 8;
/** Failures in a row, with a pause after each, after which the loop gives up. */
const MAX_FAILURES = 10, FAILURE_PAUSE_MS = 100;

/** A mounted file system. */
export interface FuseSession {
  /** Absolute path without symbolic links. */
  readonly mountpoint: string;
  /** Release of the libfuse3 in use, such as "3.14.0". */
  readonly libraryVersion: string;
  /** Read-ahead that the mount has; `null` where it could not be set or was not asked for. */
  readonly readAheadBytes: number | null;
  /**
   * Settles when the mount is gone for everybody and all is cleaned up. It is rejected if the loop
   * failed. The process does not end by itself before.
   */
  readonly closed: Promise<void>;
  /** The mount as it was made, as mountinfo(5) shows it. */
  readonly mount: Mount;
  /**
   * Tells whether the path leads to the mount in this process's mount namespace. If not, and
   * `closed` does not settle, somebody has files open, or it is still mounted elsewhere.
   */
  isAttached(): boolean;
  /**
   * Unmounts, unless somebody uses the mount.
   *
   * @returns Whether it is busy. If not, no path leads to it any more, and `closed` settles soon.
   * @throws {OsError | MountError} If the system refuses for another reason.
   */
  unmount(): Promise<{ busy: boolean }>;
  /**
   * Takes the mount away from its path even if it is busy. Files that are open still work until
   * `closed` settles or this process ends (then ENOTCONN).
   *
   * @throws {OsError | MountError} If the system refuses.
   */
  detach(): Promise<void>;
}

/**
 * Mounts a file system, and serves it until it is unmounted.
 *
 * The calling program must not access the mount by synchronous calls: they would wait for their own
 * thread.
 *
 * @param mountpoint An existing directory.
 * @returns When the mount is ready for use.
 * @throws {MountError} If it cannot be mounted, or has ended at once; the message says what to do.
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
 * Looks, before anything else is done, for what would make a mount fail.
 *
 * @throws {MountError} If libfuse or the device is missing, or it cannot be mounted there; the
 *   message says what to do.
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
  readonly mountpoint: string;
  readonly libraryVersion: string;
  readonly closed: Promise<void>;
  readAheadBytes: number | null = null;

  readonly #library: Libfuse3;
  readonly #options: MountOptions;
  readonly #onError: ErrorListener;
  readonly #dispatcher: Dispatcher;
  readonly #pointer: SessionPointer;
  readonly #callbacks: Map<LowlevelOp, Callback>;
  /** What C refers to, kept from collection until the session is destroyed. */
  readonly #pinned = new Set<unknown>();
  readonly #ready = Promise.withResolvers<void>();
  #isInitialized = false;
  #isOver = false;
  /** What libfuse said to the first request; it ends the session then if it is not content. */
  #initLines: readonly string[] = [];
  #mounted: Mount | null = null;

  constructor(library: Libfuse3, path: string, handlers: Handlers, options: MountOptions) {
    this.#library = library;
    this.#options = options;
    this.#onError = guardListener(options.onError);
    this.mountpoint = path;
    const { major, minor, patch } = library.version;
    this.libraryVersion = `${major}.${minor}.${patch}`;
    const replier = new Replier(library, {
      entryTimeoutMs: options.entryTimeoutMs ?? 1000,
      attributesTimeoutMs: options.attributesTimeoutMs ?? 1000,
    });
    this.#dispatcher = new Dispatcher(library, replier, handlers, this.#onError);
    this.#callbacks = this.#dispatcher.createCallbacks();
    this.#callbacks.set("init", this.#createInitCallback());
    this.#pinned.add(this.#callbacks);
    this.#pointer = this.#mount();
    this.closed = this.#run();
    // Who does not look at it must not be ended by it.
    this.closed.catch(() => {});
  }

  /**
   * Waits until the kernel has agreed with libfuse on the protocol, then does what needs a ready
   * mount.
   */
  async start(): Promise<void> {
    await Promise.race([this.#ready.promise, this.closed]);
    const mount = this.#hasEnded ? undefined : this.#findMounts().findLast(isFuseMount);
    if (!this.#isInitialized || mount === undefined) {
      await this.#abandon();
      const lines = this.#initLines.length > 0 ? this.#initLines : ["the mount ended at once"];
      throw mountFailure(this.mountpoint, lines);
    }
    this.#mounted = mount;
    const { readAheadBytes } = this.#options;
    if (readAheadBytes !== undefined) this.#setReadAhead(readAheadBytes);
  }

  /** Whether libfuse will process no more requests. */
  get #hasEnded(): boolean {
    return this.#isOver || this.#library.symbols.fuse_session_exited(this.#pointer) !== 0;
  }

  /** Waits for the end of a mount that is no longer one. */
  async #abandon(): Promise<void> {
    // Where it can still be found, it is taken away; then the loop ends.
    if (!this.#hasEnded) await unmountPath(this.mountpoint, { lazy: true }).catch(() => {});
    if (this.#hasEnded) await this.closed.catch(() => {});
  }

  get mount(): Mount {
    if (this.#mounted === null) throw new TypeError("Cannot tell of a mount that was not made");
    return this.#mounted;
  }

  isAttached(): boolean {
    return this.#findMounts().some(({ device }) => device === this.mount.device);
  }

  async unmount(): Promise<{ busy: boolean }> {
    const mounts = this.#findMounts();
    if (!mounts.some(({ device }) => device === this.mount.device)) return { busy: false };
    // Another mount lies over this one, and would be taken for it.
    if (mounts.at(-1)?.device !== this.mount.device) return { busy: true };
    return { busy: await unmountPath(this.mountpoint) === "busy" };
  }

  async detach(): Promise<void> {
    const device = this.#mounted?.device;
    const mounts = this.#findMounts();
    if (!mounts.some((mount) => mount.device === device)) return;
    if (mounts.at(-1)?.device !== device) {
      throw new MountError(`Cannot detach "${this.mountpoint}": another mount lies over it`);
    }
    await unmountPath(this.mountpoint, { lazy: true });
  }

  /** Returns the mounts at the mount point, the uppermost last. */
  #findMounts(): Mount[] {
    return readMountTable().filter(({ mountpoint }) => mountpoint === this.mountpoint);
  }

  #setReadAhead(bytes: number): void {
    try {
      const file = `/sys/class/bdi/${this.mount.device}/read_ahead_kb`;
      writeText(file, `${Math.ceil(bytes / 1024)}`);
      this.readAheadBytes = Number(readText(file)) * 1024;
    } catch {
      // Only root may, and not in every container: the mount works as well with less.
    }
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
      if (symbols.fuse_session_mount(pointer, cString(this.mountpoint)) === 0) return pointer;
      symbols.fuse_session_destroy(pointer);
      return null;
    });
    if (result !== null) return result;
    for (const callback of this.#callbacks.values()) callback.close();
    throw mountFailure(this.mountpoint, lines);
  }

  /**
   * Builds a `struct fuse_lowlevel_ops` that is as long as it must be: older libraries warn of
   * more.
   */
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

  /** Changes what libfuse would agree on; all else stays at its defaults. */
  #negotiate(conn: ArrayBuffer): void {
    const fields = new DataView(conn);
    fields.setUint32(CONN_INFO.max_read, this.#options.maxReadBytes ?? MAX_READ_BYTES, true);
  }

  /** Runs the loop until the mount is gone, then frees everything. */
  async #run(): Promise<void> {
    try {
      await this.#receive();
    } finally {
      await this.#cleanUp();
    }
  }

  async #receive(): Promise<void> {
    const buffer = new ReceiveBuffer();
    this.#pinned.add(buffer);
    try {
      const fd = this.#library.symbols.fuse_session_fd(this.#pointer);
      setNonblocking(fd, true, "/dev/fuse");
      let failures = 0;
      for (;;) {
        await waitReadable(fd);
        const result = this.#receiveBatch(buffer);
        if (result === "end") return;
        if (result === "more") {
          failures = 0;
          continue;
        }
        this.#onError(result, "receive");
        if (++failures > MAX_FAILURES) throw result;
        await new Promise((resolve) => setTimeout(resolve, FAILURE_PAUSE_MS));
      }
    } finally {
      buffer.free();
      this.#pinned.delete(buffer);
    }
  }

  /**
   * Processes what the kernel has asked for. @returns Whether there will be more, or what went
   * wrong.
   */
  #receiveBatch(buffer: ReceiveBuffer): "end" | "more" | MountError {
    for (let count = 0; count < MAX_BATCH; count++) {
      const received = this.#library.symbols.fuse_session_receive_buf(this.#pointer, buffer.struct);
      if (received === 0) return "end";
      if (received > 0) {
        if (!this.#process(buffer)) return "end";
      } else if (received === -Errno.EAGAIN) break;
      else if (received !== -Errno.EINTR) {
        return new MountError(
          `Cannot receive from the kernel for "${this.mountpoint}": ${errnoName(-received)}`,
        );
      }
    }
    return "more";
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
    // Closes the device. The mount is gone already, so there is nothing that this could wait for.
    symbols.fuse_session_unmount(this.#pointer);
    symbols.fuse_session_destroy(this.#pointer);
    for (const callback of this.#callbacks.values()) callback.close();
    this.#pinned.clear();
    // A connection that was aborted (/sys/fs/fuse/connections) leaves its mount behind.
    await this.detach().catch((error) => this.#onError(error, "unmount"));
  }
}
