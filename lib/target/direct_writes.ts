/**
 * Whether and how a file or block device is written past the page cache: opens it once more, and
 * finds out what such writes must be aligned to. `storage_writer.ts` makes them.
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { logicalBlockBytes } from "../linux/block_devices.ts";
import { fileSystemSpace } from "../linux/file_space.ts";
import { directAlignmentOf, statFd } from "../linux/file_status.ts";
import { openFd, OpenFlag, pageBytes, releaseFd } from "../linux/files.ts";
import { fdPath } from "../linux/paths.ts";
import type { DirectMode } from "./target.ts";
import { isSameOpened } from "./target_name.ts";

/** How a file or device is written past the page cache. */
export interface DirectWrites {
  /** Opened with O_DIRECT. */
  readonly fd: number;
  /**
   * Whole blocks of this size are written, at multiples of it: what the kernel asks for, and
   * neither less than a page of the page cache, nor than a block of the file system or device,
   * which the page cache writes as a whole.
   */
  readonly blockBytes: number;
  /** What the memory is aligned to. */
  readonly memoryBytes: number;
}

/**
 * File systems whose direct writes go to a local disk. Others have no disk (tmpfs), send each write
 * to a server and wait for it (NFS, FUSE), or do without what they are used for (Btrfs does not
 * compress them). The first is ext2, ext3 and ext4. Source: linux/magic.h; XFS, F2FS.
 */
const DIRECT_FILE_SYSTEMS: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0xf2f52010]);

/** A page of most machines, and no less than what any disk asks for. */
const LEAST_BLOCK_BYTES = 4096;

/** The longest block of a local file system or device, and of the page cache. */
const MAX_BLOCK_BYTES = 65_536;

/**
 * Opens a target for direct writes.
 *
 * @param fd The target, open for writing.
 * @returns `null` where they are not wanted or not possible.
 */
export function openDirectWrites(fd: number, path: string, mode: DirectMode): DirectWrites | null {
  if (mode === "never") return null;
  const { isBlockDevice } = statFd(fd);
  const space = isBlockDevice ? null : fileSystemSpace(fd);
  if (mode === "auto" && space !== null && !DIRECT_FILE_SYSTEMS.has(space.magic)) return null;
  // For a file that cannot be written directly, such as on ext4 with data=journal, it says 0.
  const asked = directAlignmentOf(fd);
  if (asked?.offsetBytes === 0) return null;
  const ownBytes = space === null
    ? logicalBlockBytes(fd, path)
    : Math.min(space.blockBytes, MAX_BLOCK_BYTES);
  const directFd = tryOpenDirect(fd, path, OpenFlag.O_WRONLY);
  if (directFd === null) return null;
  return {
    fd: directFd,
    blockBytes: Math.max(LEAST_BLOCK_BYTES, pageBytes(), asked?.offsetBytes ?? 0, ownBytes),
    memoryBytes: asked?.memoryBytes ?? LEAST_BLOCK_BYTES,
  };
}

/**
 * Opens a target once more, to go past the page cache.
 *
 * @returns `null` if that is not possible: the file system refuses (EINVAL, open(2)), or /proc or a
 *   permission is missing.
 */
export function tryOpenDirect(fd: number, path: string, access: number): number | null {
  // The first leads to the file whatever happened to its name, the second works without /proc.
  for (const name of [fdPath(fd), path]) {
    try {
      const directFd = openFd(name, access | OpenFlag.O_DIRECT | OpenFlag.O_NONBLOCK);
      if (isSameOpened(fd, directFd)) return directFd;
      releaseFd(directFd);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
    }
  }
  return null;
}
