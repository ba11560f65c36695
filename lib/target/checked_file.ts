/**
 * A regular file that passed its checks (`file.ts`), and how it is made ready to be written:
 * created, claimed, emptied, and given its length and storage (`file_length.ts`).
 *
 * @module
 */

import { dirname } from "node:path";

import { OsError } from "../errors.ts";
import { Errno, reasonOf } from "../linux/errno.ts";
import { statFd } from "../linux/file_status.ts";
import { FlockOperation, tryFlock } from "../linux/locks.ts";
import { openFd, OpenFlag, releaseFd } from "../linux/files.ts";
import { truncateFd } from "../linux/file_space.ts";
import { quote } from "../wording.ts";
import type { ZeroPolicy } from "./descriptor_io.ts";
import { allocate, FileLength } from "./file_length.ts";
import { OpenedBlock } from "./opened_block.ts";
import type { CheckedTarget, OpenOptions, PreflightOptions, Target } from "./target.ts";
import { isNamedBy } from "./target_name.ts";
import { describeBytes, refusal, TOO_LARGE_STEP } from "./wording.ts";

/**
 * What happens to zeros in a file whose old content stays. Only devices are trusted to hold zeros:
 * for files "always" means holes.
 */
const KEPT_ZERO_POLICIES = { auto: "deallocate", always: "deallocate", never: "write" } as const;

/**
 * Locks a file until it is closed: two restores into one file would both succeed, and the file
 * would hold neither image.
 *
 * @returns `false` if somebody else has locked it.
 */
export function tryClaim(fd: number): boolean {
  try {
    return tryFlock(fd, FlockOperation.LOCK_EX);
  } catch (error) {
    if (error instanceof OsError) return true; // the file system has no locks
    throw error;
  }
}

/**
 * Another restore that finds the file in use locks it for a moment and then gives up. Without
 * another attempt both would give up.
 */
const CLAIM_ATTEMPTS = 5, CLAIM_PAUSE_MS = 50;

/** A file that may be written, or created. */
export class CheckedFile implements CheckedTarget {
  readonly path: string;
  readonly kind = "file";
  readonly access = "random";
  readonly isNew: boolean;
  readonly warnings: readonly string[];
  readonly #options: PreflightOptions;
  readonly #createAt: string;
  #fd: number | null;
  /** Whether the old content is gone. */
  #isEmptied = false;
  /** Its length before it was changed; `null` until then. */
  #oldBytes: number | null = null;

  /**
   * @param found.fd Descriptor of an existing, claimed file; this object owns it from now on.
   * @param found.createAt Where to create a file that does not exist, links resolved.
   */
  constructor(
    path: string,
    options: PreflightOptions,
    found: { fd?: number; createAt?: string; warnings: readonly string[] },
  ) {
    this.path = path;
    this.isNew = found.fd === undefined;
    this.warnings = found.warnings;
    this.#options = options;
    this.#createAt = found.createAt ?? path;
    this.#fd = found.fd ?? null;
  }

  async open(options: OpenOptions = {}): Promise<Target> {
    try {
      return await this.#open(options);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      throw refusal(this.path, `${reasonOf(error)}${this.#loss}`, error);
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd !== null) releaseFd(this.#fd);
    this.#fd = null;
  }

  async #open(options: OpenOptions): Promise<Target> {
    const fd = this.isNew ? await this.#create() : this.#takeChecked();
    try {
      const { zeroPolicy, missingBytes } = await this.#prepare(fd, options);
      return new OpenedBlock({
        path: this.path,
        fd,
        zeroPolicy,
        missingBytes,
        direct: this.#options.direct,
        newEntryIn: this.isNew ? dirname(this.#createAt) : null,
      });
    } catch (error) {
      this.#giveUp(fd);
      throw error;
    }
  }

  /** What messages add if the old content is gone. */
  get #loss(): string {
    return this.#isEmptied ? "; what it held before is gone" : "";
  }

  /**
   * @returns The descriptor that was checked.
   * @throws {TargetError} If the path leads elsewhere by now.
   */
  #takeChecked(): number {
    const fd = this.#fd;
    if (fd === null) {
      throw new TypeError(`Cannot open ${quote(this.path)}: it was opened before`);
    }
    // Another restore may have failed and removed the file that it had created and locked.
    if (!isNamedBy(fd, this.path)) {
      throw refusal(this.path, "it was deleted or replaced since it was looked at");
    }
    this.#fd = null;
    return fd;
  }

  /**
   * Creates the file and claims it.
   *
   * @throws {TargetError} If it exists by now, or if somebody else claimed it first.
   */
  async #create(): Promise<number> {
    let fd: number;
    try {
      const access = this.#options.isRead ? OpenFlag.O_RDWR : OpenFlag.O_WRONLY;
      fd = openFd(this.#createAt, access | OpenFlag.O_CREAT | OpenFlag.O_EXCL);
    } catch (error) {
      throw refusal(this.path, `it cannot be created: ${reasonOf(error)}`, error);
    }
    // Before it is locked here, another restore can find the file, lock it, write to it and even
    // end. The file is then that restore's: it must be neither changed nor removed.
    for (let attempt = 0; attempt < CLAIM_ATTEMPTS; attempt++) {
      if (attempt > 0) await new Promise((resolve) => setTimeout(resolve, CLAIM_PAUSE_MS));
      if (!tryClaim(fd)) continue;
      if (statFd(fd).size === 0 && isNamedBy(fd, this.#createAt)) return fd;
      break;
    }
    releaseFd(fd);
    throw refusal(this.path, "another program, perhaps another restore, took it first");
  }

  /**
   * Empties the file unless its content stays, gives it its length, and for `--sparse=never` its
   * storage.
   *
   * @returns How zeros are written, and the length that the file must get at the end if it could
   *   not get it at once.
   */
  async #prepare(
    fd: number,
    { signal, onEmptied }: OpenOptions,
  ): Promise<{ zeroPolicy: ZeroPolicy; missingBytes: number | null }> {
    const { extent, sparse, oldContent = "replaced" } = this.#options;
    try {
      const oldBytes = statFd(fd).size;
      this.#oldBytes = oldBytes;
      const isReplaced = oldContent === "replaced" && !this.isNew;
      const length = new FileLength(fd, { path: this.path, wantedBytes: extent.end });
      // Fails if the file system or a limit does not allow the length, while the old content is
      // still there.
      await length.grow();
      if (isReplaced) {
        await length.empty();
        this.#isEmptied = true;
        if (oldBytes > 0) onEmptied?.();
      }
      const isAllocated = sparse === "never" && await allocate(fd, extent, signal);
      await length.grow();
      // A file of the right length is left alone: setting the same length would change its time.
      if (oldContent === "updated") await length.cut();
      const { missingBytes } = length;
      if (!this.isNew && !isReplaced) {
        return { zeroPolicy: KEPT_ZERO_POLICIES[sparse], missingBytes };
      }
      return { zeroPolicy: sparse === "never" && !isAllocated ? "write" : "skip", missingBytes };
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      const why = `it cannot be made ${describeBytes(extent.end)} long: ${reasonOf(error)}`;
      const isFull = error.errno === Errno.ENOSPC || error.errno === Errno.EDQUOT;
      const step = isFull && sparse === "never"
        ? "; make room, or use --sparse=auto"
        : error.errno === Errno.EFBIG
        ? TOO_LARGE_STEP
        : "";
      throw refusal(this.path, why + this.#loss + step, error);
    }
  }

  /** Undoes what was done: a file of zeros could pass for an image, and takes space. */
  #giveUp(fd: number): void {
    // The caller reports the failure that led here. Another one must not stop the rest.
    const attempt = (undo: () => void) => {
      try {
        undo();
      } catch {
        // See above.
      }
    };
    if (this.isNew) {
      // By now the name may belong to another file.
      attempt(() => {
        if (isNamedBy(fd, this.#createAt)) Deno.removeSync(this.#createAt);
      });
    } else if (this.#isEmptied) {
      attempt(() => truncateFd(fd, 0));
    } else if (this.#oldBytes !== null) {
      const oldBytes = this.#oldBytes;
      attempt(() => {
        if (statFd(fd).size !== oldBytes) truncateFd(fd, oldBytes);
      });
    }
    releaseFd(fd);
  }
}
