/**
 * Regular files as targets: their checks, and how they are made ready.
 *
 * @module
 */

import { basename, dirname, isAbsolute } from "node:path";

import { OsError } from "../errors.ts";
import { describeErrno, Errno, osError, reasonOf } from "../ffi/errno.ts";
import { statFd } from "../ffi/file_status.ts";
import { fileSystemSpace } from "../ffi/file_system.ts";
import {
  AccessMode,
  FlockOperation,
  openFd,
  OpenFlag,
  releaseFd,
  truncateFd,
  tryAccess,
  tryFallocate,
  tryFlock,
} from "../ffi/libc.ts";
import { describeHarm } from "./backup_files.ts";
import { nearestFolder, realPathOrNull, statOrNull } from "./file_info.ts";
import { describeBackingUse } from "./in_use.ts";
import { OpenedTarget } from "./opened_target.ts";
import { storeOverlap } from "./store_overlap.ts";
import type {
  CheckedTarget,
  OpenOptions,
  PreflightOptions,
  Target,
  TargetExtent,
  TargetHandle,
  ZeroPolicy,
} from "./target.ts";
import { quote } from "../wording.ts";
import { describeBytes, overriddenWarnings, refusal, requireHarmless } from "./wording.ts";

/** `Deno.FileInfo.blocks` and `st_blocks` count in these, whatever the file system's block size. */
const STAT_BLOCK_BYTES = 512;

/** Allocation goes on in pieces, between which the event loop runs: on tmpfs each takes a tenth of a second. */
const ALLOCATE_PIECE_BYTES = 268_435_456;

/** Symbolic links that are followed before a path counts as endless. Source: MAXSYMLINKS, linux/namei.h. */
const MAX_SYMLINKS = 40;

/** Errors of `fallocate` that mean: this file system cannot allocate in advance. */
const CANNOT_ALLOCATE: ReadonlySet<number> = new Set([
  Errno.EOPNOTSUPP,
  Errno.ENOSYS,
  Errno.ENODEV,
  Errno.EINVAL,
]);

/** What becomes of zeros in a file whose old content stays. */
const KEPT_ZERO_POLICIES = { auto: "deallocate", always: "trust", never: "write" } as const;

/** Checks an existing regular file. @throws {TargetError} If it must not or cannot be written. */
export function checkExistingFile(path: string, options: PreflightOptions): CheckedTarget {
  let fd: number;
  try {
    fd = openFd(path, options.isRead ? OpenFlag.O_RDWR : OpenFlag.O_WRONLY);
  } catch (error) {
    // ETXTBSY is how the kernel protects swap files and running programs; swap is found by name below.
    const info = statOrNull(path);
    const reason = (info && describeBackingUse(info)[0]) ?? reasonOf(error);
    throw refusal(path, reason, error);
  }
  try {
    const info = statFd(fd);
    if (!info.isFile) throw refusal(path, "it changed while it was looked at");
    const file = { path, realPath: realPathOrNull(path), info };
    const overlap = storeOverlap(file, options);
    if (overlap !== null) throw refusal(path, overlap);
    const uses = [...describeHarm(file), ...describeBackingUse(info)];
    if (!tryClaim(fd)) uses.push("another program has locked it, perhaps another restore");
    requireHarmless(path, uses, options);
    const { heldBytes = 0 } = options;
    if (info.size < heldBytes) {
      throw refusal(
        path,
        `it holds ${describeBytes(info.size)}, the base revision ${describeBytes(heldBytes)}`,
      );
    }
    if (options.sparse === "never") {
      requireSpace(path, lengthOf(options), (info.blocks ?? 0) * STAT_BLOCK_BYTES);
    }
    return new CheckedFile(path, options, { fd, warnings: overriddenWarnings(path, uses) });
  } catch (error) {
    releaseFd(fd);
    throw error;
  }
}

/**
 * Locks a file as long as it is open: two restores into one file would both be complete and neither right.
 *
 * @returns `false` if somebody else has locked it.
 */
function tryClaim(fd: number): boolean {
  try {
    return tryFlock(fd, FlockOperation.LOCK_EX);
  } catch (error) {
    if (error instanceof OsError) return true; // a file system without locks
    throw error;
  }
}

/** Checks a path at which nothing exists. @throws {TargetError} If no file can or should be created there. */
export function checkNewFile(path: string, options: PreflightOptions): CheckedTarget {
  if (path === "") throw refusal(path, "the name is empty");
  if ((options.heldBytes ?? 0) > 0) {
    throw refusal(path, "there is no such file, and so none that holds the base revision");
  }
  const wanted = followLinks(path);
  const missingDevice = nearestFolder(wanted);
  if (missingDevice !== null && isDeviceFolder(missingDevice)) {
    throw refusal(path, "no such device");
  }
  const folder = realPathOrNull(dirname(wanted));
  if (folder === null) {
    throw refusal(path, `the directory ${quote(dirname(wanted))} does not exist`);
  }
  if (wanted.endsWith("/")) throw refusal(path, "the directory does not exist");
  const realPath = `${folder === "/" ? "" : folder}/${basename(wanted)}`;
  const file = { realPath, info: null };
  const overlap = storeOverlap(file, options);
  if (overlap !== null) throw refusal(path, overlap);
  const harm = describeHarm(file);
  requireHarmless(path, harm, options);
  const errno = tryAccess(folder, AccessMode.W_OK);
  if (errno !== 0) {
    throw refusal(
      path,
      `the directory ${quote(folder)} cannot be written: ${describeErrno(errno)}`,
    );
  }
  if (options.sparse === "never") requireSpace(path, lengthOf(options), 0, folder);
  return new CheckedFile(path, options, {
    createAt: realPath,
    warnings: overriddenWarnings(path, harm),
  });
}

/** The path that creating `path` would create: its own, or the one that dangling links lead to. */
function followLinks(path: string): string {
  let current = path;
  for (let i = 0; i < MAX_SYMLINKS; i++) {
    let target: string;
    try {
      target = Deno.readLinkSync(current);
    } catch {
      return current;
    }
    current = isAbsolute(target) ? target : `${dirname(current)}/${target}`;
  }
  throw refusal(path, "too many symbolic links");
}

/**
 * Tells whether a folder is for device nodes, where a name that does not exist is a slip of the pen and not a wish
 * for a file in memory. File systems that are mounted below /dev, such as /dev/shm, are for files.
 */
function isDeviceFolder(folder: string): boolean {
  if (folder !== "/dev" && !folder.startsWith("/dev/")) return false;
  if (folder === "/dev/shm" || folder.startsWith("/dev/shm/")) return false;
  return statOrNull(folder)?.dev === statOrNull("/dev")?.dev;
}

function lengthOf({ extent }: PreflightOptions): number {
  return extent.end - extent.start;
}

/** @throws {TargetError} If the file system has not the room for all that is written. */
function requireSpace(path: string, bytes: number, givenBackBytes: number, at = path): void {
  const { totalBytes, availableBytes } = fileSystemSpace(at);
  if (totalBytes === 0 || bytes <= availableBytes + givenBackBytes) return;
  throw refusal(
    path,
    `the image needs ${describeBytes(bytes)}, the file system has room for ` +
      describeBytes(availableBytes + givenBackBytes),
  );
}

class CheckedFile implements CheckedTarget {
  readonly path: string;
  readonly kind = "file";
  readonly isNew: boolean;
  readonly warnings: readonly string[];
  readonly #options: PreflightOptions;
  readonly #createAt: string;
  #fd: number | null;
  /** Whether the old content is gone. */
  #isEmptied = false;
  /** Its length before it was changed; `null` as long as it was not. */
  #oldBytes: number | null = null;

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
    const fd = this.isNew ? this.#create() : this.#fd;
    if (fd === null) {
      throw new TypeError(`Cannot open ${quote(this.path)}: it was opened before`);
    }
    this.#fd = null;
    try {
      const zeroPolicy = await this.#prepare(fd, options.signal);
      const handle: TargetHandle = {
        fd,
        path: this.path,
        access: "random",
        zeroPolicy,
        blockBytes: 1,
      };
      return new OpenedTarget({
        handle,
        kind: this.kind,
        isNew: this.isNew,
        hasStorage: true,
        ...(this.isNew ? { newEntryIn: dirname(this.#createAt) } : {}),
      });
    } catch (error) {
      this.#giveUp(fd);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd !== null) releaseFd(this.#fd);
    this.#fd = null;
  }

  #create(): number {
    try {
      const access = this.#options.isRead ? OpenFlag.O_RDWR : OpenFlag.O_WRONLY;
      const fd = openFd(this.#createAt, access | OpenFlag.O_CREAT | OpenFlag.O_EXCL);
      tryClaim(fd); // nobody else can have locked a file that has just come to be
      return fd;
    } catch (error) {
      throw refusal(this.path, `it cannot be created: ${reasonOf(error)}`, error);
    }
  }

  /** Gives the file its length, empties it before unless its content stays, and puts storage behind it for `never`. */
  async #prepare(fd: number, signal: AbortSignal | undefined): Promise<ZeroPolicy> {
    const { extent, sparse, oldContent = "replaced" } = this.#options;
    try {
      const bytes = statFd(fd).size;
      this.#oldBytes = bytes;
      // A length that the file system or a limit does not allow is refused here, with the old content still there.
      if (bytes < extent.end) truncateFd(fd, extent.end, this.path);
      if (oldContent === "replaced") {
        this.#isEmptied = true;
        truncateFd(fd, 0, this.path);
      }
      const isAllocated = sparse === "never" && await allocate(fd, extent, signal);
      const isTooLong = bytes > extent.end && oldContent === "updated";
      // A file that is right already is not touched: to give it its own length would change its time.
      if (this.#isEmptied || isTooLong) truncateFd(fd, extent.end, this.path);
      const isBlank = this.#isEmptied || this.isNew;
      if (!isBlank) return KEPT_ZERO_POLICIES[sparse];
      return sparse === "never" && !isAllocated ? "write" : "skip";
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      const why = `it cannot be made ${describeBytes(extent.end)} long: ${reasonOf(error)}`;
      const loss = this.#isEmptied && !this.isNew ? "; what it held before is gone" : "";
      throw refusal(this.path, why + loss, error);
    }
  }

  /** Leaves no file of zeros behind that could pass for an image, nor the space it took. */
  #giveUp(fd: number): void {
    try {
      if (this.#isEmptied) truncateFd(fd, 0);
      else if (this.#oldBytes !== null) truncateFd(fd, this.#oldBytes);
      if (this.isNew) Deno.removeSync(this.#createAt);
    } catch {
      // The failure that led here is what the caller reports.
    }
    releaseFd(fd);
  }
}

/**
 * Allocates a range of a file.
 *
 * @returns `false` if the file system cannot; then nothing is allocated.
 * @throws {OsError} On any other failure, such as ENOSPC.
 */
async function allocate(
  fd: number,
  { start, end }: TargetExtent,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  for (let offset = start; offset < end; offset += ALLOCATE_PIECE_BYTES) {
    signal?.throwIfAborted();
    const length = Math.min(ALLOCATE_PIECE_BYTES, end - offset);
    const errno = tryFallocate(fd, 0, { offset, length });
    if (CANNOT_ALLOCATE.has(errno)) return false;
    if (errno !== 0) throw osError(errno, { syscall: "fallocate", path: "" });
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return true;
}
