/**
 * An opened target of any kind: what the kinds differ in at the end of a restore is data.
 *
 * @module
 */

import { OsError, TargetError } from "../errors.ts";
import { flushFd } from "../ffi/aio.ts";
import { Errno, reasonOf } from "../ffi/errno.ts";
import { closeFd, fsyncFd, openFd, OpenFlag, releaseFd } from "../ffi/libc.ts";
import { STDOUT_FD, type Target, type TargetHandle, type TargetKind } from "./target.ts";
import { nameTarget } from "./wording.ts";

/**
 * Errors that say "there is nothing to flush here": special files, and file systems without the operation. Not EROFS,
 * though fsync(2) lists it beside EINVAL: it is how ext4 reports that it gave up writing, with our bytes among the lost.
 */
const NOTHING_TO_FLUSH: ReadonlySet<number> = new Set([Errno.EINVAL, Errno.ENOSYS]);

/** What an opened target is made of. */
export interface OpenedTargetFields {
  readonly handle: TargetHandle;
  readonly kind: TargetKind;
  readonly isNew: boolean;
  /** Whether the descriptor leads to storage that can be flushed, as a file or device does and a pipe does not. */
  readonly hasStorage: boolean;
  /** Directory whose entry for a new file has to be flushed too. */
  readonly newEntryIn?: string;
}

/** The one implementation of {@linkcode Target}. */
export class OpenedTarget implements Target {
  readonly handle: TargetHandle;
  readonly kind: TargetKind;
  readonly isNew: boolean;
  readonly #hasStorage: boolean;
  readonly #newEntryIn: string | undefined;
  #isOpen = true;

  constructor(fields: OpenedTargetFields) {
    this.handle = fields.handle;
    this.kind = fields.kind;
    this.isNew = fields.isNew;
    this.#hasStorage = fields.hasStorage;
    this.#newEntryIn = fields.newEntryIn;
  }

  flush(): Promise<void> {
    return this.#orFail(async () => {
      if (this.#hasStorage) await this.#flush();
    });
  }

  finish(options: { sync: boolean }): Promise<void> {
    return this.#orFail(async () => {
      if (options.sync && this.#hasStorage) await this.#flush();
      // A file system may keep a write error until the close (close(2), NFS), so this is part of the restore.
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

  async #orFail(store: () => Promise<void>): Promise<void> {
    if (!this.#isOpen) throw new TypeError("Cannot flush a target: it is closed");
    try {
      await store();
    } catch (error) {
      this.close();
      throw new TargetError(
        `Cannot flush ${nameTarget(this.handle)}: ${reasonOf(error)}`,
        { path: this.handle.path, offset: null },
        { cause: error },
      );
    }
  }

  async #flush(): Promise<void> {
    try {
      await flushFd(this.handle.fd, this.handle.path);
    } catch (error) {
      if (!(error instanceof OsError && NOTHING_TO_FLUSH.has(error.errno))) throw error;
    }
    if (this.#newEntryIn !== undefined) flushDirectory(this.#newEntryIn);
  }

  #closeOnce(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    // Standard output belongs to the process, not to one restore in it.
    if (this.handle.fd !== STDOUT_FD) closeFd(this.handle.fd, this.handle.path);
  }
}

/** A directory that may be written but not read cannot be opened; some network file systems cannot flush one. */
const CANNOT_FLUSH_DIRECTORY: ReadonlySet<number> = new Set([Errno.EACCES, Errno.EINVAL]);

/**
 * Flushes a directory, on this thread: `aio_fsync` takes writable descriptors only. The data is on disk by then, so that it
 * is a matter of one entry.
 */
function flushDirectory(path: string): void {
  try {
    const fd = openFd(path, OpenFlag.O_RDONLY);
    try {
      fsyncFd(fd, path);
    } finally {
      releaseFd(fd);
    }
  } catch (error) {
    if (!(error instanceof OsError && CANNOT_FLUSH_DIRECTORY.has(error.errno))) throw error;
  }
}
