/**
 * Takes a mount away: by umount2(2) as root, by `fusermount3` otherwise.
 *
 * @module
 */

import { Errno, osError } from "../linux/errno.ts";
import { cString, lastErrno, libc } from "../linux/libc.ts";
import { MountError } from "./errors.ts";

/** Flags of umount2(2). Source: sys/mount.h. */
const MNT_DETACH = 2, UMOUNT_NOFOLLOW = 8;

/**
 * Where `fusermount3` may be, the likeliest first. Not looked for along PATH, which may be unset or
 * lack it, and by which a permission to run programs would be as wide as whoever sets PATH likes.
 */
export const FUSERMOUNT_PATHS: readonly string[] = [
  "/usr/bin/fusermount3",
  "/bin/fusermount3",
  "/usr/local/bin/fusermount3",
  // NixOS; the first may do what the second, without privileges, cannot.
  "/run/wrappers/bin/fusermount3",
  "/run/current-system/sw/bin/fusermount3",
];

/** How unmounting went: "busy" if somebody uses the mount, "absent" if there is none. */
export type UnmountOutcome = "done" | "busy" | "absent";

/**
 * Unmounts a FUSE mount.
 *
 * @param path As `realPath` gives it.
 * @param options.lazy Detach it even if it is busy: nobody finds it any more, but files that are
 *   open still work.
 * @throws {OsError | MountError} On any failure but "busy".
 */
export async function unmountPath(
  path: string,
  { lazy = false }: { lazy?: boolean } = {},
): Promise<UnmountOutcome> {
  if (Deno.uid() !== 0) return await runFusermount(path, lazy);
  const flags = UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0);
  const target = cString(path);
  // Not on this thread: where the kernel still has pages to write, unmounting waits for our
  // answers.
  if (await libc.umount2Async(target, flags) === 0) return "done";
  // The errno of that is another thread's; a call that failed before it had anything to do fails
  // again.
  if (libc.umount2(target, flags) === 0) return "done";
  const errno = lastErrno();
  if (errno === Errno.EBUSY) return "busy";
  if (errno === Errno.EINVAL || errno === Errno.ENOENT) return "absent";
  if (errno === Errno.EPERM) return await runFusermount(path, lazy);
  throw osError(errno, { syscall: "unmount", path });
}

async function runFusermount(path: string, lazy: boolean): Promise<UnmountOutcome> {
  const output = await startFusermount(path, ["-u", ...lazy ? ["-z"] : [], "--", path]);
  if (output.success) return "done";
  const text = new TextDecoder().decode(output.stderr).trim();
  if (/busy/i.test(text)) return "busy";
  if (/not found in|not mounted|invalid argument/i.test(text)) return "absent";
  throw new MountError(`Cannot unmount "${path}": ${text}`);
}

async function startFusermount(
  path: string,
  args: readonly string[],
): Promise<Deno.CommandOutput> {
  let cause: unknown;
  for (const program of FUSERMOUNT_PATHS) {
    try {
      // No environment: where one has LD_PRELOAD or the like, the runtime starts a program only
      // with all permissions.
      const command = new Deno.Command(program, { args: [...args], stdin: "null", clearEnv: true });
      return await command.output();
    } catch (error) {
      cause = error;
      if (!(error instanceof Deno.errors.NotFound)) break;
    }
  }
  throw new MountError(`Cannot unmount "${path}": fusermount3 does not run`, { cause });
}
