/**
 * A file or block device that has been opened. Beyond what `opened_target.ts` does, it can be read,
 * a file gets its length if that was put off, and at the end its name must still lead to it.
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { Errno } from "../linux/errno.ts";
import { closeFd, fsyncFd, openFd, OpenFlag, releaseFd } from "../linux/files.ts";
import { asWritten, type DescriptorHandle, type ZeroPolicy } from "./descriptor_io.ts";
import { openDirectWrites, tryOpenDirect } from "./direct_writes.ts";
import { fillUp } from "./file_length.ts";
import { OpenedTarget } from "./opened_target.ts";
import type { DirectMode } from "./target.ts";
import { requireNamedBy } from "./target_name.ts";

/** What an opened file or device is made of. */
export interface OpenedBlockFields {
  readonly path: string;
  readonly fd: number;
  readonly zeroPolicy: ZeroPolicy;
  /** Ranges are deallocated in multiples of this; default 1. */
  readonly blockBytes?: number;
  /**
   * The length that a file gets at the end, on a file system that would take long to give it;
   * default `null`: it has its length.
   */
  readonly missingBytes?: number | null;
  /** Default: "auto". */
  readonly direct?: DirectMode | undefined;
  /** Directory whose entry for a new file has to be flushed too; default `null`. */
  readonly newEntryIn?: string | null;
}

/** An opened file or block device. */
export class OpenedBlock extends OpenedTarget<DescriptorHandle> {
  readonly #newEntryIn: string | null;
  #missingBytes: number | null;
  #directFd: number | null = null;
  /** Whether a call on another thread is using the descriptor. */
  #isLent = false;

  constructor(fields: OpenedBlockFields) {
    const { path, fd, zeroPolicy, blockBytes = 1 } = fields;
    const handle: DescriptorHandle = {
      access: "random",
      kind: "descriptor",
      path,
      fd,
      zeroPolicy,
      blockBytes,
      directFd: null,
      // Where a file's length is put off, direct writes would have to extend it.
      direct: (fields.missingBytes ?? null) === null
        ? openDirectWrites(fd, path, fields.direct ?? "auto")
        : null,
      // With "write", all of the target must have storage.
      mayHaveHoles: zeroPolicy !== "write",
    };
    super(handle, { hasStorage: true });
    this.#newEntryIn = fields.newEntryIn ?? null;
    this.#missingBytes = fields.missingBytes ?? null;
  }

  override comparable({ isWritten = false }: { isWritten?: boolean } = {}): DescriptorHandle {
    this.requireOpen();
    this.#directFd ??= tryOpenDirect(this.handle.fd, this.handle.path, OpenFlag.O_RDONLY);
    const handle = { ...this.handle, directFd: this.#directFd };
    return isWritten ? asWritten(handle) : handle;
  }

  protected override async store({ sync }: { sync: boolean }): Promise<void> {
    await this.#fillUp();
    if (sync) await this.flushData();
    requireNamedBy(this.handle.fd, this.handle.path);
    if (sync && this.#newEntryIn !== null) flushDirectory(this.#newEntryIn);
  }

  /** Gives the file its length, if that was put off. */
  async #fillUp(): Promise<void> {
    const bytes = this.#missingBytes;
    if (bytes === null) return;
    const { fd, path } = this.handle;
    this.#isLent = true;
    try {
      await fillUp(fd, bytes, { path, shouldStop: () => !this.isOpen });
    } finally {
      this.#isLent = false;
      if (!this.isOpen) releaseFd(fd);
    }
    if (!this.isOpen) throw new TypeError("Cannot flush a target: it was closed meanwhile");
    this.#missingBytes = null;
  }

  protected override closeDescriptors(): void {
    const { path, direct } = this.handle;
    const failures: unknown[] = [];
    // Network file systems write back at each close, and report what failed to that close alone.
    const attempt = (close: () => void) => {
      try {
        close();
      } catch (error) {
        failures.push(error);
      }
    };
    for (const fd of [this.#directFd, direct?.fd ?? null]) {
      if (fd !== null) attempt(() => closeFd(fd, path));
    }
    // Last, as it may hold the device exclusively. If a call is using it, it is closed after that:
    // until then its number must not become another file's.
    if (!this.#isLent) attempt(() => super.closeDescriptors());
    if (failures.length > 0) throw failures[0];
  }
}

/** A directory may be writable but not readable; some network file systems cannot flush one. */
const CANNOT_FLUSH_DIRECTORY: ReadonlySet<number> = new Set([Errno.EACCES, Errno.EINVAL]);

/**
 * Flushes a directory, on this thread: `aio_fsync` takes writable descriptors only. The data is on
 * disk by then, so only one entry is left to write.
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
