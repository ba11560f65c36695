/**
 * A target that has been opened: how it is flushed and closed. Streams need no more; files and
 * block devices add `opened_block.ts`.
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
 * operation. Not EROFS, though fsync(2) lists it beside EINVAL: it is how ext4 reports that it gave
 * up writing, with our bytes among the lost.
 */
const NOTHING_TO_FLUSH: ReadonlySet<number> = new Set([Errno.EINVAL, Errno.ENOSYS]);

/** A target behind a descriptor, which it owns unless that is standard output's. */
export class OpenedTarget<Handle extends DescriptorHandle | StreamHandle> implements Target {
  readonly handle: Handle;
  readonly #hasStorage: boolean;
  #isOpen = true;

  /** @param options.hasStorage Whether there is storage to flush: not so behind a pipe. */
  constructor(handle: Handle, options: { hasStorage: boolean }) {
    this.handle = handle;
    this.#hasStorage = options.hasStorage;
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
    throw new TypeError(`Cannot read ${nameTarget(this.handle)}: it is a stream`);
  }

  flush(): Promise<void> {
    return this.#orFail(() => this.store({ sync: true }));
  }

  finish(options: { sync: boolean }): Promise<void> {
    return this.#orFail(async () => {
      await this.store(options);
      // A file system may keep a write error until the close (close(2), NFS), so this is part of
      // the restore.
      this.#closeOnce();
    });
  }

  close(): void {
    try {
      this.#closeOnce();
    } catch {
      // What failed before is what the caller reports.
    }
  }

  /** Completes what was written, and with `sync` waits until it is on disk. */
  protected async store({ sync }: { sync: boolean }): Promise<void> {
    if (sync) await this.flushData();
  }

  /**
   * All flushes are of the one descriptor that was written to: the kernel tells each open file once
   * of errors that came after it was opened (errseq_t).
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
        `Cannot flush ${nameTarget(this.handle)}: ${reasonOf(error)}`,
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
