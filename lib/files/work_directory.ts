/**
 * The directory in which a run of `files` keeps its own mounts. It is found again after the run was
 * killed, and tells at which mount point the files were shown.
 *
 * ```text
 * /run/backy-fuse-1a2b3c4d/   locked as long as the run lives
 *   image/                    the mount of the revisions
 *   files/                    the files, if the user named no mount point
 *   at -> /mnt/restore        the mount point that the user named
 * ```
 *
 * @module
 */

import { MountError } from "../errors.ts";
import { reasonOf } from "../linux/errno.ts";
import { openFd, OpenFlag, releaseFd } from "../linux/files.ts";
import { describeHolders, FlockOperation, tryFlock } from "../linux/locks.ts";
import { AccessMode, linkOrNull, listNames, tryAccess } from "../linux/paths.ts";
import { quote } from "../wording.ts";

/** Where such directories are, the better place first. */
const PARENTS = ["/run", "/tmp"];
const PREFIX = "backy-fuse-";

/** The directory of a run. */
export class WorkDirectory {
  /** Its path, absolute and without symbolic links. */
  readonly path: string;
  #lock: number | null = null;

  private constructor(path: string) {
    this.path = path;
  }

  /** Where the revisions are mounted. */
  get image(): string {
    return `${this.path}/image`;
  }

  /** Where the files are shown: the user's mount point, or a directory of its own. */
  get mountpoint(): string {
    return linkOrNull(`${this.path}/at`) ?? this.#ownMountpoint;
  }

  get #ownMountpoint(): string {
    return `${this.path}/files`;
  }

  /**
   * Makes the directory, for root only.
   *
   * @param mountpoint What the user named: absolute and without symbolic links; `null` for none.
   * @throws {MountError} If there is no place for it.
   */
  static create(mountpoint: string | null): WorkDirectory {
    const directory = new WorkDirectory(makeDirectory());
    try {
      directory.#lock = openFd(directory.path, OpenFlag.O_RDONLY);
      // Only somebody who takes it for what a killed run left has it by now.
      if (!tryFlock(directory.#lock, FlockOperation.LOCK_EX, directory.path)) {
        throw new MountError(`Cannot lock ${quote(directory.path)}: another run cleans up`);
      }
      Deno.mkdirSync(directory.image);
      if (mountpoint === null) Deno.mkdirSync(directory.#ownMountpoint);
      else Deno.symlinkSync(mountpoint, `${directory.path}/at`);
    } catch (error) {
      directory.remove();
      throw error;
    }
    return directory;
  }

  /** Lists the directories that there are, of runs that live or were killed. */
  static list(): WorkDirectory[] {
    return PARENTS.flatMap((parent) =>
      listNames(parent).filter((name) => name.startsWith(PREFIX)).map((name) => `${parent}/${name}`)
        .filter(isOwn)
        .map((path) => new WorkDirectory(path))
    );
  }

  /**
   * Takes the directory over from a run that was killed.
   *
   * @throws {MountError} If the run lives.
   */
  takeOver(): void {
    const fd = openFd(this.path, OpenFlag.O_RDONLY);
    if (tryFlock(fd, FlockOperation.LOCK_EX, this.path)) {
      this.#lock = fd;
      return;
    }
    releaseFd(fd);
    throw new MountError(
      `Cannot clean up ${quote(this.mountpoint)}: it is served by ${describeHolders(this.path)}; ` +
        "end that by Ctrl-C or SIGTERM",
    );
  }

  /** Removes the directory. Whatever is mounted in it stays, and so does the directory then. */
  remove(): void {
    removeIfThere(`${this.path}/at`);
    for (const path of [this.image, this.#ownMountpoint, this.path]) removeIfThere(path);
    if (this.#lock !== null) releaseFd(this.#lock);
    this.#lock = null;
  }
}

/** Others may make directories in /tmp, and links to those of root. */
function isOwn(path: string): boolean {
  try {
    const { isDirectory, uid } = Deno.lstatSync(path);
    return isDirectory && uid === 0;
  } catch {
    return false;
  }
}

function makeDirectory(): string {
  const reasons: string[] = [];
  for (const parent of PARENTS) {
    if (tryAccess(parent, AccessMode.W_OK) !== 0) continue;
    const name = PREFIX + crypto.randomUUID().slice(0, 8);
    try {
      const path = `${Deno.realPathSync(parent)}/${name}`;
      Deno.mkdirSync(path, { mode: 0o700 });
      return path;
    } catch (error) {
      reasons.push(`${parent}: ${reasonOf(error)}`);
    }
  }
  const reason = reasons.length === 0 ? "neither can be written to" : reasons.join("; ");
  throw new MountError(`Cannot make a directory in ${PARENTS.join(" or ")}: ${reason}`);
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
