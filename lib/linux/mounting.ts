/**
 * Mounts and unmounts file systems, as root. `mounts.ts` tells what is mounted.
 *
 * Both may take long (a journal is replayed, pages are written), and a file system may stand on
 * what this process serves: so the calls run on another thread. Their errno is lost there, so a
 * call that failed is made once more on this thread, where it fails again, at once.
 *
 * @module
 */

import { Errno, osError } from "./errno.ts";
import { cString, lastErrno, libc } from "./libc.ts";

/** Flags of mount(2). Source: linux/mount.h. */
export const MountFlag = {
  MS_RDONLY: 1,
  MS_NOSUID: 2,
  MS_NODEV: 4,
  MS_NOEXEC: 8,
  MS_REMOUNT: 32,
} as const;

/** Flags of umount2(2). Source: sys/mount.h. */
const MNT_DETACH = 2, UMOUNT_NOFOLLOW = 8;

/** What to mount, and how. */
export interface MountRequest {
  /** A device, or what else the file system's type takes for one. */
  readonly source: string;
  /** An existing directory. */
  readonly target: string;
  readonly type: string;
  /** Or-ed {@linkcode MountFlag}s. */
  readonly flags: number;
  /** Options of the file system's type, with commas between. */
  readonly data: string;
}

/**
 * Mounts a file system.
 *
 * @throws {OsError} If the kernel refuses; its log often says why.
 */
export async function mountFileSystem(request: MountRequest): Promise<void> {
  const source = cString(request.source);
  const target = cString(request.target);
  const type = cString(request.type);
  const flags = BigInt(request.flags);
  const data = cString(request.data);
  if (await libc.mountAsync(source, target, type, flags, data) === 0) return;
  if (libc.mount(source, target, type, flags, data) === 0) return;
  throw osError(lastErrno(), { syscall: "mount", path: request.source });
}

/** How unmounting went: "busy" if somebody uses the mount, "absent" if there was none. */
export type UnmountOutcome = "done" | "busy" | "absent";

/**
 * Unmounts what is mounted at a path.
 *
 * @param path Absolute, without symbolic links.
 * @param options.lazy Detach it even if it is busy: no path leads to it any more, but open files
 *   still work.
 * @throws {OsError} On any failure but "busy".
 */
export async function unmountPath(
  path: string,
  { lazy = false }: { readonly lazy?: boolean } = {},
): Promise<UnmountOutcome> {
  const flags = UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0);
  const target = cString(path);
  if (await libc.umount2Async(target, flags) === 0) return "done";
  if (libc.umount2(target, flags) === 0) return "done";
  const errno = lastErrno();
  if (errno === Errno.EBUSY) return "busy";
  if (errno === Errno.EINVAL || errno === Errno.ENOENT) return "absent";
  throw osError(errno, { syscall: "unmount", path });
}
