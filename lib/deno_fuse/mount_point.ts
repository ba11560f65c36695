/**
 * The place of a mount: finds it in the mount table, sets its read-ahead, and takes it away, by
 * umount2(2) as root, else by `fusermount3`.
 *
 * @module
 */

import { Errno } from "../linux/errno.ts";
import { openFd, OpenFlag, releaseFd } from "../linux/files.ts";
import { type UnmountOutcome, unmountPath as unmountAsRoot } from "../linux/mounting.ts";
import { isFuseMount, type Mount, readMountTable } from "../linux/mounts.ts";
import { OsError } from "../linux/os_error.ts";
import { readText, writeText } from "../linux/paths.ts";
import { openPipe, tryRead } from "../linux/pipes.ts";
import { spawn } from "../linux/spawn.ts";
import { MountError } from "./errors.ts";

/**
 * Where `fusermount3` may be, the likeliest first. PATH does not matter: it may be unset or lack
 * the program.
 */
export const FUSERMOUNT_FOLDERS: readonly string[] = [
  "/usr/bin",
  "/bin",
  "/usr/local/bin",
  // NixOS; only the first has it set-user-ID root.
  "/run/wrappers/bin",
  "/run/current-system/sw/bin",
];

/** The program in these folders. */
const FUSERMOUNT_PATHS: readonly string[] = FUSERMOUNT_FOLDERS.map((folder) =>
  `${folder}/fusermount3`
);

/** The directory at which a file system is mounted. */
export class MountPoint {
  /** Absolute path without symbolic links. */
  readonly path: string;
  #mount: Mount | null = null;
  /** The last call that unmounts; the next one waits until it is done. */
  #unmounting: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.path = path;
  }

  /** The mount that {@linkcode findMount} found. */
  get mount(): Mount {
    if (this.#mount === null) throw new TypeError("Cannot tell of a mount that was not made");
    return this.#mount;
  }

  /** Looks for the FUSE mount that was just made here. @returns Whether it exists. */
  findMount(): boolean {
    this.#mount = this.#mounts().findLast(isFuseMount) ?? null;
    return this.#mount !== null;
  }

  /** Tells whether the mount is in the mount table. */
  isAttached(): boolean {
    return this.#position() !== "absent";
  }

  /** Unmounts, unless somebody uses the mount. @throws {OsError | MountError} On other failures. */
  unmount(): Promise<UnmountOutcome> {
    return this.#inTurn(async () => {
      const position = this.#position();
      if (position === "absent") return "absent";
      // Unmounting would take away the mount that lies over this one.
      if (position === "covered") return "busy";
      return await unmountPath(this.path);
    });
  }

  /** Takes the mount away even if it is busy. @throws {OsError | MountError} On any failure. */
  detach(): Promise<void> {
    return this.#inTurn(async () => {
      const position = this.#mount === null ? "absent" : this.#position();
      if (position === "absent") return;
      if (position === "covered") {
        throw new MountError(`Cannot detach "${this.path}": another mount lies over it`);
      }
      await this.clear();
    });
  }

  /**
   * Looks at the mount table and unmounts, when nobody else is between the two: whoever saw this
   * mount before it was gone would take away what lies below.
   */
  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#unmounting.then(act);
    this.#unmounting = done.catch(() => {});
    return done;
  }

  /** Takes away whatever is mounted here. @throws {OsError | MountError} On any failure. */
  async clear(): Promise<void> {
    await unmountPath(this.path, { lazy: true });
  }

  /** Sets the mount's read-ahead. @returns What it is now; `null` if it could not be set. */
  setReadAhead(bytes: number): number | null {
    try {
      const file = `/sys/class/bdi/${this.mount.device}/read_ahead_kb`;
      writeText(file, `${Math.ceil(bytes / 1024)}`);
      return Number(readText(file)) * 1024;
    } catch {
      // Only root may, and not in every container. The mount works with less.
      return null;
    }
  }

  /** The mounts at this path, the uppermost last. */
  #mounts(): Mount[] {
    return readMountTable().filter(({ mountpoint }) => mountpoint === this.path);
  }

  #position(): "absent" | "covered" | "uppermost" {
    const devices = this.#mounts().map(({ device }) => device);
    const { device } = this.mount;
    if (!devices.includes(device)) return "absent";
    return devices.at(-1) === device ? "uppermost" : "covered";
  }
}

/**
 * Unmounts a FUSE mount.
 *
 * @param path As `realPath` gives it.
 * @param options.lazy Detach it even if it is busy: no path leads to it any more, but open files
 *   still work.
 * @throws {OsError | MountError} On any failure but "busy".
 */
async function unmountPath(
  path: string,
  { lazy = false }: { lazy?: boolean } = {},
): Promise<UnmountOutcome> {
  if (Deno.uid() !== 0) return await runFusermount(path, lazy);
  try {
    return await unmountAsRoot(path, { lazy });
  } catch (error) {
    if (!(error instanceof OsError) || error.errno !== Errno.EPERM) throw error;
    return await runFusermount(path, lazy);
  }
}

async function runFusermount(path: string, lazy: boolean): Promise<UnmountOutcome> {
  const { success, text } = await startFusermount(path, [
    "-u",
    ...lazy ? ["-z"] : [],
    "--",
    path,
  ]);
  if (success) return "done";
  if (/busy/i.test(text)) return "busy";
  if (/not found in|not mounted|invalid argument/i.test(text)) return "absent";
  throw new MountError(`Cannot unmount "${path}": ${text}`);
}

/**
 * Runs `fusermount3`.
 *
 * @returns Whether it succeeded, and what it wrote to standard error.
 */
async function startFusermount(
  path: string,
  args: readonly string[],
): Promise<{ success: boolean; text: string }> {
  using ends = new DisposableStack();
  const { readFd, writeFd } = openPipe();
  ends.adopt(readFd, releaseFd);
  ends.adopt(writeFd, releaseFd);
  const nothing = ends.adopt(openFd("/dev/null", OpenFlag.O_RDWR), releaseFd);
  let cause: unknown;
  for (const program of FUSERMOUNT_PATHS) {
    try {
      const words = ["fusermount3", ...args];
      const child = spawn(program, { words, descriptors: [nothing, nothing, writeFd] });
      const { code } = await child.ended;
      return { success: code === 0, text: readRest(readFd) };
    } catch (error) {
      cause = error;
      if (!(error instanceof OsError) || error.errno !== Errno.ENOENT) break;
    }
  }
  throw new MountError(`Cannot unmount "${path}": fusermount3 does not run`, { cause });
}

/** Most that is read of what `fusermount3` writes: a line or two. */
const MAX_TEXT_BYTES = 4096;

/** Reads what is in a pipe that nobody writes to any more. */
function readRest(fd: number): string {
  const bytes = new Uint8Array(MAX_TEXT_BYTES);
  const count = Math.max(0, tryRead(fd, bytes));
  return new TextDecoder().decode(bytes.subarray(0, count)).trim();
}
