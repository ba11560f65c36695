/**
 * A target that has been opened: flushes and closes it. For streams that is all; `opened_block.ts`
 * adds what files and block devices need.
 *
 * @module
 */

import { OsError, TargetError } from "../errors.ts";
import { flushFd } from "../linux/aio.ts";
import { Errno, reasonOf } from "../linux/errno.ts";
import { closeFd } from "../linux/files.ts";
import type { DescriptorHandle } from "./descriptor_io.ts";
import { type BlockHandle, STDOUT_FD, type StreamHandle, type Target } from "./target.ts";
import { nameTarget } from "./wording.ts";

/**
 * Errors that say "there is nothing to flush here": special files, and file systems without the
 * operation. Not EROFS, although fsync(2) lists it beside EINVAL: ext4 reports by it that it gave
 * up writing and lost bytes, ours too.
 */
const NOTHING_TO_FLUSH: ReadonlySet<number> = new Set([Errno.EINVAL, Errno.ENOSYS]);

/** A target behind a descriptor, which it owns unless that is standard output's. */
export class OpenedTarget<Handle extends DescriptorHandle | StreamHandle> implements Target {
  readonly handle: Handle;
  readonly #hasStorage: boolean;
  #isOpen = true;

  /** @param options.hasStorage Whether there is storage to flush; a pipe has none. */
  constructor(handle: Handle, options: { hasStorage: boolean }) {
    this.handle = handle;
    this.#hasStorage = options.hasStorage;
  }

  get failure(): TargetError | null {
    return null;
  }

  async settle(): Promise<string | null> {
    this.requireOpen();
    try {
      await this.flushData();
      return null;
    } catch (error) {
      if (error instanceof OsError) return reasonOf(error);
      throw error;
    }
  }

  comparable(_options: { isWritten?: boolean } = {}): BlockHandle {
    throw new TypeError(`Cannot read ${nameTarget(this.handle.path)}: it is a stream`);
  }

  flush(): Promise<void> {
    return this.#orFail(() => this.store({ sync: true }));
  }

  finish(options: { sync: boolean }): Promise<void> {
    return this.#orFail(async () => {
      await this.store(options);
      // A file system may report a write error only when the file is closed (close(2), NFS).
      this.#closeOnce();
    });
  }

  close(): void {
    try {
      this.#closeOnce();
    } catch {
      // The caller reports what failed before.
    }
  }

  /** Completes what was written, and with `sync` waits until it is on disk. */
  protected async store({ sync }: { sync: boolean }): Promise<void> {
    if (sync) await this.flushData();
  }

  /**
   * Flushes the descriptor that was written to, no other one: the kernel reports an error once to
   * each open file that existed when it happened (errseq_t).
   */
  protected async flushData(): Promise<void> {
    if (!this.#hasStorage) return;
    try {
      await flushFd(this.handle.fd, this.handle.path);
    } catch (error) {
      if (!(error instanceof OsError && NOTHING_TO_FLUSH.has(error.errno))) throw error;
    }
  }

  /** Called once. @throws {OsError} */
  protected closeDescriptors(): void {
    // Standard output belongs to the process, not to one restore in it.
    if (this.handle.fd !== STDOUT_FD) closeFd(this.handle.fd, this.handle.path);
  }

  protected get isOpen(): boolean {
    return this.#isOpen;
  }

  protected requireOpen(): void {
    if (!this.#isOpen) throw new TypeError("Cannot flush a target: it is closed");
  }

  async #orFail(store: () => Promise<void>): Promise<void> {
    this.requireOpen();
    try {
      await store();
    } catch (error) {
      this.close();
      if (error instanceof TargetError) throw error;
      throw new TargetError(
        `Cannot flush ${nameTarget(this.handle.path)}: ${reasonOf(error)}`,
        { path: this.handle.path, offset: null },
        { cause: error },
      );
    }
  }

  #closeOnce(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.closeDescriptors();
  }
}
