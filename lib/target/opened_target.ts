/**
 * An opened target of any kind: what the kinds differ in at the end of a restore is data.
 *
 * @module
 */

import { OsError, TargetError } from "../errors.ts";
import { flushFd } from "../linux/aio.ts";
import { Errno, reasonOf } from "../linux/errno.ts";
import { closeFd, fsyncFd, openFd, OpenFlag, releaseFd } from "../linux/libc.ts";
import { fillUp } from "./file_length.ts";
import {
  type ComparableTarget,
  STDOUT_FD,
  type Target,
  type TargetHandle,
  type TargetKind,
} from "./target.ts";
import { isSameOpened, requireNamedBy } from "./target_name.ts";
import { nameTarget } from "./wording.ts";

/**
 * Errors that say "there is nothing to flush here": special files, and file systems without the
 * operation. Not EROFS, though fsync(2) lists it beside EINVAL: it is how ext4 reports that it gave
 * up writing, with our bytes among the lost.
 */
const NOTHING_TO_FLUSH: ReadonlySet<number> = new Set([Errno.EINVAL, Errno.ENOSYS]);

/** What an opened target is made of. */
export interface OpenedTargetFields {
  readonly handle: TargetHandle;
  readonly kind: TargetKind;
  readonly isNew: boolean;
  /**
   * Whether the descriptor leads to storage that can be flushed, as a file or device does and a
   * pipe does not.
   */
  readonly hasStorage: boolean;
  /**
   * The length that a file is given when all was written, which its file system would take long
   * for; else `null`.
   */
  readonly missingBytes?: number | null;
  /** Directory whose entry for a new file has to be flushed too; else `null`. */
  readonly newEntryIn?: string | null;
}

/** The one implementation of {@linkcode Target}. */
export class OpenedTarget implements Target {
  readonly handle: TargetHandle;
  readonly kind: TargetKind;
  readonly isNew: boolean;
  readonly #hasStorage: boolean;
  readonly #newEntryIn: string | null;
  #missingBytes: number | null;
  #directFd: number | null = null;
  #isOpen = true;
  /** Whether a call on another thread is using the descriptor. */
  #isLent = false;

  constructor(fields: OpenedTargetFields) {
    this.handle = fields.handle;
    this.kind = fields.kind;
    this.isNew = fields.isNew;
    this.#hasStorage = fields.hasStorage;
    this.#newEntryIn = fields.newEntryIn ?? null;
    this.#missingBytes = fields.missingBytes ?? null;
  }

  async settle(): Promise<string | null> {
    this.#requireOpen();
    if (!this.#hasStorage) return null;
    try {
      await this.#flushData();
      return null;
    } catch (error) {
      if (error instanceof OsError) return reasonOf(error);
      throw error;
    }
  }

  comparable(): ComparableTarget {
    this.#requireOpen();
    this.#directFd ??= tryOpenDirect(this.handle);
    return { ...this.handle, directFd: this.#directFd };
  }

  flush(): Promise<void> {
    return this.#orFail(async () => {
      await this.#fillUp();
      await this.#flush();
    });
  }

  finish(options: { sync: boolean }): Promise<void> {
    return this.#orFail(async () => {
      await this.#fillUp();
      if (options.sync) await this.#flush();
      else this.#requireName();
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

  async #orFail(store: () => Promise<void>): Promise<void> {
    this.#requireOpen();
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

  async #flush(): Promise<void> {
    if (!this.#hasStorage) return;
    await this.#flushData();
    this.#requireName();
    if (this.#newEntryIn !== null) flushDirectory(this.#newEntryIn);
  }

  /**
   * All flushes are of the one descriptor that was written to: the kernel tells each open file once
   * of errors that came after it was opened (errseq_t).
   */
  async #flushData(): Promise<void> {
    try {
      await flushFd(this.handle.fd, this.handle.path);
    } catch (error) {
      if (!(error instanceof OsError && NOTHING_TO_FLUSH.has(error.errno))) throw error;
    }
  }

  /** Gives the file its length, where that was put off. */
  async #fillUp(): Promise<void> {
    const bytes = this.#missingBytes;
    if (bytes === null) return;
    const { fd, path } = this.handle;
    this.#isLent = true;
    try {
      await fillUp(fd, bytes, { path, shouldStop: () => !this.#isOpen });
    } finally {
      this.#isLent = false;
      if (!this.#isOpen) releaseFd(fd);
    }
    if (!this.#isOpen) throw new TypeError("Cannot flush a target: it was closed meanwhile");
    this.#missingBytes = null;
  }

  /** @throws {TargetError} If the image is not to be found under the target's name. */
  #requireName(): void {
    if (this.kind === "file" || this.kind === "block") {
      requireNamedBy(this.handle.fd, this.handle.path);
    }
  }

  #requireOpen(): void {
    if (!this.#isOpen) throw new TypeError("Cannot flush a target: it is closed");
  }

  #closeOnce(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    if (this.#directFd !== null) releaseFd(this.#directFd);
    // Standard output belongs to the process, not to one restore in it. A descriptor that is lent
    // is closed when it is back: before that its number must not become another file's.
    if (this.handle.fd !== STDOUT_FD && !this.#isLent) closeFd(this.handle.fd, this.handle.path);
  }
}

/**
 * Opens a target once more, to read it past the page cache.
 *
 * @returns `null` where that is refused: by the file system (EINVAL, open(2)), or for want of /proc
 *   or a right.
 */
function tryOpenDirect({ fd, path }: TargetHandle): number | null {
  // The first leads to the file whatever became of its name, the second serves where /proc is not
  // mounted.
  for (const name of [`/proc/self/fd/${fd}`, path]) {
    try {
      const directFd = openFd(name, OpenFlag.O_RDONLY | OpenFlag.O_DIRECT | OpenFlag.O_NONBLOCK);
      if (isSameOpened(fd, directFd)) return directFd;
      releaseFd(directFd);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
    }
  }
  return null;
}

/**
 * A directory that may be written but not read cannot be opened; some network file systems cannot
 * flush one.
 */
const CANNOT_FLUSH_DIRECTORY: ReadonlySet<number> = new Set([Errno.EACCES, Errno.EINVAL]);

/**
 * Flushes a directory, on this thread: `aio_fsync` takes writable descriptors only. The data is on
 * disk by then, so that it is a matter of one entry.
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
