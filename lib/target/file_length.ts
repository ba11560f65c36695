/**
 * Sets a file's length and allocates its storage, without blocking the event loop.
 *
 * Most file systems make a file longer at once, by a hole. Others (FAT, exFAT) have no holes: they
 * fill the file with zeros, which takes as long as writing it. There the file grows as it is
 * written, and gets the rest of its length at the end.
 *
 * @module
 */

import { Errno, osError } from "../linux/errno.ts";
import { statFd } from "../linux/file_status.ts";
import { allocateFd, canSeekTo, resizeFd } from "../linux/file_space.ts";
import { fileSizeLimit } from "../linux/headroom.ts";
import { STAT_BLOCK_BYTES, type TargetExtent } from "./target.ts";

/** A file is made this much longer to see whether the file system allocates storage for it. */
const PROBE_BYTES = 1_048_576;

/** Filling and allocating is done in pieces of this size, and can be stopped between them. */
const FILL_PIECE_BYTES = 67_108_864;

/** Errors of `fallocate` that mean: the file system cannot allocate storage for this file. */
const CANNOT_ALLOCATE: ReadonlySet<number> = new Set([
  Errno.EOPNOTSUPP,
  Errno.ENOSYS,
  Errno.ENODEV,
  Errno.EINVAL,
  Errno.EPERM,
]);

/** Gives a file a length. Not for concurrent use. */
export class FileLength {
  readonly #fd: number;
  readonly #path: string;
  readonly #wantedBytes: number;
  /** Whether the file system makes holes; `null` until that is known. */
  #hasHoles: boolean | null = null;
  #bytes: number;

  /** @param options.wantedBytes The length that the file is to have. */
  constructor(fd: number, options: { path: string; wantedBytes: number }) {
    this.#fd = fd;
    this.#path = options.path;
    this.#wantedBytes = options.wantedBytes;
    this.#bytes = statFd(fd).size;
  }

  /** The length that the file must still get; `null` if it is long enough. */
  get missingBytes(): number | null {
    return statFd(this.#fd).size < this.#wantedBytes ? this.#wantedBytes : null;
  }

  /**
   * Makes a file that is too short longer if that costs nothing. Otherwise only checks, as far as
   * possible, that the length is allowed.
   *
   * @throws {OsError} If it is not allowed, for example EFBIG.
   */
  async grow(): Promise<void> {
    // An allocation may have made it longer.
    this.#bytes = statFd(this.#fd).size;
    if (this.#bytes >= this.#wantedBytes) return;
    this.#hasHoles ??= await this.#probe();
    if (this.#hasHoles) return await this.#resize(this.#wantedBytes);
    const limit = fileSizeLimit();
    if (this.#wantedBytes > limit || !canSeekTo(this.#fd, this.#wantedBytes)) {
      throw osError(Errno.EFBIG, { syscall: "truncate", path: this.#path });
    }
  }

  /** Deletes the file's content. @throws {OsError} */
  async empty(): Promise<void> {
    if (this.#bytes > 0) await this.#resize(0);
  }

  /** Makes a file that is too long shorter. @throws {OsError} */
  async cut(): Promise<void> {
    if (this.#bytes > this.#wantedBytes) await this.#resize(this.#wantedBytes);
  }

  /** Makes the file a little longer. @returns Whether the added part is (mostly) a hole. */
  async #probe(): Promise<boolean> {
    const before = this.#bytes, blocksBefore = statFd(this.#fd).blocks ?? 0;
    await this.#resize(Math.min(before + PROBE_BYTES, this.#wantedBytes));
    const addedBytes = this.#bytes - before;
    const addedBlocks = (statFd(this.#fd).blocks ?? 0) - blocksBefore;
    // A few bytes may fit into the file's last block, and prove nothing.
    return addedBytes < PROBE_BYTES || addedBlocks * STAT_BLOCK_BYTES < addedBytes / 2;
  }

  async #resize(bytes: number): Promise<void> {
    await resizeFd(this.#fd, bytes, this.#path);
    this.#bytes = bytes;
  }
}

/**
 * Makes a file longer, piece by piece, where its file system fills it with zeros.
 *
 * @param wantedBytes Length that the file must get; a longer file stays as it is.
 * @param options.shouldStop Asked between the pieces.
 * @throws {OsError}
 */
export async function fillUp(
  fd: number,
  wantedBytes: number,
  { path, shouldStop }: { path: string; shouldStop: () => boolean },
): Promise<void> {
  for (let bytes = statFd(fd).size; bytes < wantedBytes && !shouldStop();) {
    bytes = Math.min(bytes + FILL_PIECE_BYTES, wantedBytes);
    await resizeFd(fd, bytes, path);
  }
}

/**
 * Allocates a range of a file.
 *
 * @returns `false` if the file system cannot do that; nothing is allocated then.
 * @throws {OsError} On any other failure, for example ENOSPC.
 */
export async function allocate(
  fd: number,
  { start, end }: TargetExtent,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  for (let offset = start; offset < end; offset += FILL_PIECE_BYTES) {
    signal?.throwIfAborted();
    const length = Math.min(FILL_PIECE_BYTES, end - offset);
    const errno = await allocateFd(fd, { offset, length });
    if (CANNOT_ALLOCATE.has(errno)) return false;
    if (errno !== 0) throw osError(errno, { syscall: "fallocate", path: "" });
  }
  return true;
}
