/**
 * Step 1 of a mount, and the one to read first: serves a backup directory's revisions as image
 * files.
 *
 * 1. this file: checks, purge lock, session, what happens at the end;
 * 2. `../deno_fuse/`: kernel request -> typed operation;
 * 3. `filesystem.ts`: which file, may it be done; `revision_directory.ts`: which revisions there
 *    are;
 * 4. `image.ts`: which chunks a read or write needs; `overlay.ts`: those that were changed;
 * 5. `page_cache.ts`: decoded chunks in memory;
 * 6. `chunk_loader.ts`, `worker.ts`: chunk file -> decoded -> verified, in workers;
 * 7. `../deno_fuse/reply.ts`: the answer.
 *
 * Reads the backup directory, and writes to the spill directory what changes there is no room for.
 * It neither prints nor exits.
 *
 * @module
 */

import {
  type FuseSession,
  mount,
  MountError as FuseMountError,
  MountOptionError,
  preflightMount,
} from "deno-fuse";
import { roomForWorkers } from "../chunk/worker_room.ts";
import { MountError, UsageError } from "../errors.ts";
import { reasonOf } from "../linux/errno.ts";
import { type LockEvent, PurgeLock } from "../store/purge_lock.ts";
import { requireStore } from "../store/store.ts";
import { nearestFolder, realPathOrNull } from "../linux/paths.ts";
import { printable, quote } from "../wording.ts";
import { describeKeepers, describeMountUsers, isInside } from "./mount_users.ts";
import { type OpenedFilesystem, openFilesystem } from "./open_filesystem.ts";

/** What {@linkcode mountBackup} and the mount tell. */
export type MountEvent =
  | LockEvent
  | { readonly type: "mounting"; readonly mountpoint: string }
  /**
   * It was unmounted, but must still be served, and the purge lock held, for those who are named,
   * as far as known.
   */
  | { readonly type: "lingering"; readonly keepers: readonly string[] }
  /** Something that need not worry anybody, in one line. */
  | { readonly type: "notice"; readonly text: string }
  /** A revision is left out, a read or write failed, a lock is impossible: one line. */
  | { readonly type: "warning"; readonly text: string };

/** What to mount, where and how. */
export interface MountOptions {
  /** The backup directory. */
  readonly basedir: string;
  /** An existing directory outside the backup directory. */
  readonly mountpoint: string;
  /** Options of mount.fuse3(8). */
  readonly mountOptions: readonly string[];
  /** Bound of the read cache, and of the changes in memory, in bytes each; at least 16 MiB. */
  readonly cacheBytes: number;
  /** Decoding workers, >= 1; a limit of the system may make them fewer. */
  readonly threads: number;
  /** Where changed chunks go when there is no room for them; default the backup directory. */
  readonly spill?: string | undefined;
  /** Whether each chunk's content is compared with its id. */
  readonly verify: boolean;
  /** How long to wait for the purge lock; `undefined` for ever, 0 not at all. */
  readonly lockTimeoutMs?: number | undefined;
  /** Aborting it ends the wait for the lock; its reason is thrown. */
  readonly signal?: AbortSignal;
  readonly onEvent: (event: MountEvent) => void;
}

/** A mounted backup directory. */
export interface BackupMount {
  /** Absolute path. */
  readonly mountpoint: string;
  readonly revisionCount: number;
  /** Settles when the mount is gone and all is cleaned up; rejected if serving it failed. */
  readonly closed: Promise<void>;
  /** Whether a "lingering" event was there. */
  readonly isLingering: boolean;
  /**
   * Unmounts unless somebody uses the mount. @returns Who does, as far as known; `null` if it is
   * unmounted.
   */
  unmount(): Promise<readonly string[] | null>;
  /** Takes the mount away from its path even if it is used. */
  detach(): Promise<void>;
}

/** What the kernel may read ahead in an image: as much as one chunk. */
const READ_AHEAD_BYTES = 4 * 1024 * 1024;

/**
 * Mounts all revisions of a backup directory.
 *
 * @returns When the mount is ready for use. The purge lock is held until it is gone.
 * @throws {StoreFormatError} If the directory is not a backup directory that is understood.
 * @throws {LockError} If the purge lock could not be taken.
 * @throws {ResourceError} If the system gives less than one worker needs.
 * @throws {MountError} If it cannot be mounted there; the message says what to do.
 * @throws {UsageError} If a mount option has a value that it cannot have.
 */
export async function mountBackup(options: MountOptions): Promise<BackupMount> {
  const { basedir, mountpoint, cacheBytes, verify, onEvent } = options;
  const spillDir = options.spill ?? basedir;
  const warn = (text: string) => onEvent({ type: "warning", text });
  requireStore(basedir);
  requireSpillDirectory(mountpoint, spillDir);
  requireApart(mountpoint, [basedir, spillDir]);
  const mountOptions = {
    // The kernel checks modes: with allow_other nobody but the owner may write.
    mountOptions: [...new Set([...options.mountOptions, "default_permissions"])],
    plainMountHint: '-o ""',
  };
  // What cannot succeed should not wait for a lock first.
  await withOurErrors(preflightMount(mountpoint, mountOptions));
  using cleanup = new DisposableStack();
  const { lockTimeoutMs: timeoutMs, signal } = options;
  cleanup.use(await PurgeLock.acquire({ basedir, timeoutMs, signal, onEvent }));
  onEvent({ type: "mounting", mountpoint });
  signal?.throwIfAborted();
  const { threads, notice } = roomForWorkers(options.threads);
  if (notice !== null) onEvent({ type: "notice", text: notice });
  const filesystem = cleanup.use(openFilesystem({
    basedir,
    spillDir,
    cacheBytes,
    threads,
    verify,
    owner: { uid: Deno.uid() ?? 0, gid: Deno.gid() ?? 0 },
    onFailure: warn,
    onSkipped: ({ name, reason }) => warn(`revision ${quote(name)} is left out: ${reason}`),
  }));
  const mounting = mount(mountpoint, filesystem.handlers, {
    ...mountOptions,
    // An absolute path, so that whoever looks at the mounts knows what is served.
    fsname: realPathOrNull(basedir) ?? basedir,
    subtype: "backy",
    readAheadBytes: READ_AHEAD_BYTES,
    // What they lack must show before there is a mount, and the first reader is not to wait for
    // them.
    beforeMount: () => filesystem.start(options.signal),
    onError: (error, operation) => warn(`internal error in ${operation}: ${reasonOf(error)}`),
  });
  const session = await withOurErrors(mounting);
  return new Mounted(session, filesystem, { cleanup: cleanup.move(), onEvent });
}

/**
 * How often it is looked whether the mount is still where it was made; a mount that ended has
 * closed by the second time.
 */
const WATCH_MS = 1000;

class Mounted implements BackupMount {
  readonly revisionCount: number;
  readonly closed: Promise<void>;
  isLingering = false;
  readonly #session: FuseSession;

  constructor(
    session: FuseSession,
    filesystem: OpenedFilesystem,
    options: { cleanup: DisposableStack; onEvent: (event: MountEvent) => void },
  ) {
    this.#session = session;
    this.revisionCount = filesystem.revisionCount;
    const watch = this.#watch(options.onEvent);
    this.closed = withOurErrors(session.closed).finally(() => {
      clearInterval(watch);
      options.cleanup.dispose();
    });
  }

  /** Looks for a mount that was taken away here and goes on elsewhere, of which nothing tells. */
  #watch(onEvent: (event: MountEvent) => void): number {
    let absences = 0;
    const watch = setInterval(() => {
      absences = isAttached(this.#session) ? 0 : absences + 1;
      if (absences < 2) return;
      clearInterval(watch);
      this.isLingering = true;
      onEvent({ type: "lingering", keepers: describeKeepers(this.#session.mount) });
    }, WATCH_MS);
    return watch;
  }

  get mountpoint(): string {
    return this.#session.mountpoint;
  }

  async unmount(): Promise<readonly string[] | null> {
    const { busy } = await withOurErrors(this.#session.unmount());
    return busy ? describeMountUsers(this.#session.mount) : null;
  }

  detach(): Promise<void> {
    return withOurErrors(this.#session.detach());
  }
}

/**
 * Gives what fails in `deno-fuse` the class that the exit code follows, and makes texts of libfuse
 * and names in its message printable.
 */
async function withOurErrors<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (cause) {
    if (!(cause instanceof FuseMountError)) throw cause;
    const OurError = cause instanceof MountOptionError ? UsageError : MountError;
    throw new OurError(printable(cause.message), { cause });
  }
}

/** As the session says; where mounts cannot be looked at, nothing is known against it. */
function isAttached(session: FuseSession): boolean {
  try {
    return session.isAttached();
  } catch {
    return true;
  }
}

function requireSpillDirectory(mountpoint: string, spillDir: string): void {
  let why = "it is not a directory";
  try {
    if (Deno.statSync(spillDir).isDirectory) return;
  } catch (error) {
    why = reasonOf(error);
  }
  const place = quote(mountpoint);
  throw new MountError(`Cannot mount at ${place}: spill directory ${quote(spillDir)}: ${why}`);
}

/**
 * Refuses a mount point in a directory that the mount reads or writes, and one above it: the mount
 * would hide the files that it is to serve, and wait for itself when it opens one.
 */
function requireApart(mountpoint: string, dirs: readonly string[]): void {
  const at = realPathOrNull(mountpoint);
  // A mount point that is missing must not be created there first.
  const place = at ?? nearestFolder(mountpoint);
  if (place === null) return; // mounting will say what is wrong with it
  for (const dir of dirs) {
    const real = Deno.realPathSync(dir);
    if (isInside(place, real)) refusePlace(mountpoint, `it lies in ${quote(dir)}`);
    if (at !== null && isInside(real, at)) {
      refusePlace(mountpoint, `it would hide ${quote(dir)}`);
    }
  }
}

function refusePlace(mountpoint: string, reason: string): never {
  throw new MountError(
    `Cannot mount at ${quote(mountpoint)}: ${reason}; use an empty directory elsewhere`,
  );
}
