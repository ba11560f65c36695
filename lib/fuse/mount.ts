/**
 * Serves a backup directory's revisions as image files: checks (`preflight.ts`), purge lock,
 * session, and what happens at the end. Read this file first.
 *
 * `lib/deno_fuse/` turns the kernel's requests into calls of `filesystem.ts`, which knows what is
 * allowed on which file; `revision_directory.ts` knows which revisions there are, and
 * `lib/image_access/image_access.ts` the bytes of their images.
 *
 * Reads the backup directory, and writes changes to the spill directory when memory runs out. It
 * neither prints nor exits.
 *
 * @module
 */

import {
  type FuseSession,
  mount,
  MountError as FuseMountError,
  MountOptionError,
  preflightMount,
} from "../deno_fuse/mod.ts";
import { roomForWorkers } from "../work/worker_room.ts";
import { MountError, UsageError } from "../errors.ts";
import { ImageAccess } from "../image_access/image_access.ts";
import type { ImageEvent } from "../image_access/image_reader.ts";
import { reasonOf } from "../linux/errno.ts";
import { PurgeLock } from "../store/purge_lock.ts";
import { realPathOrNull } from "../linux/paths.ts";
import { requireStore } from "../store/store.ts";
import { printable, quote } from "../wording.ts";
import { openFilesystem } from "./open_filesystem.ts";
import { requireFree, requireMountable, SUBTYPE } from "./preflight.ts";
import { findUsers } from "./user_search.ts";

/** Events of {@linkcode mountBackup} and of the mount. */
export type MountEvent =
  | ImageEvent
  | { readonly type: "mounting"; readonly mountpoint: string }
  /**
   * It was unmounted here but is still in use, so it is served and the purge lock held. `keepers`
   * are its users, as far as known.
   */
  | { readonly type: "lingering"; readonly keepers: readonly string[] };

/** What to mount, where and how. */
export interface MountOptions {
  /** The backup directory. */
  readonly basedir: string;
  /** An existing directory outside the backup directory. */
  readonly mountpoint: string;
  /** Options of mount.fuse3(8), such as "allow_root"; default: none. */
  readonly mountOptions?: readonly string[];
  /**
   * Bound of the read cache, and of the changes in memory, in bytes each; at least 16 MiB, default
   * 256 MiB.
   */
  readonly cacheBytes?: number;
  /**
   * Decoding workers, >= 1; a limit of the system may make them fewer. Default: one per CPU, but 2
   * to 24.
   */
  readonly threads?: number | undefined;
  /** Where changed chunks are stored when memory runs out. Default: the backup directory. */
  readonly spill?: string | undefined;
  /** Whether each chunk's content is compared with its id; default true. */
  readonly verify?: boolean;
  /** How long to wait for the purge lock; `undefined` for ever, 0 not at all. */
  readonly lockTimeoutMs?: number | undefined;
  /** Aborting it ends the wait for the lock; its reason is thrown. */
  readonly signal?: AbortSignal;
  /** Hears of what goes on while it is mounted, and of what fails. */
  readonly onEvent?: (event: MountEvent) => void;
}

/** A mounted backup directory. */
export interface BackupMount {
  /** Absolute path. */
  readonly mountpoint: string;
  /** How many revisions it had when it was made. */
  readonly revisionCount: number;
  /** Settles when the mount is gone and all is cleaned up; rejected if serving it failed. */
  readonly closed: Promise<void>;
  /** Whether there was a "lingering" event. */
  readonly isLingering: boolean;
  /**
   * Unmounts unless the mount is in use.
   *
   * @returns Its users, as far as known; `null` if it is unmounted.
   */
  unmount(): Promise<readonly string[] | null>;
  /**
   * Removes the mount from its path even if it is in use, without looking for its users.
   *
   * @returns Whether it was in use.
   */
  detach(): Promise<boolean>;
}

/** Default of {@linkcode MountOptions.cacheBytes}. */
const CACHE_BYTES = 256 * 1024 * 1024;

/** How much the kernel may read ahead in an image: one chunk. */
const READ_AHEAD_BYTES = 4 * 1024 * 1024;

/**
 * Mounts all revisions of a backup directory.
 *
 * The mount is served by the thread that called this. A program must not use its own mount by calls
 * that block that thread (`Deno.readFileSync`, FFI): they would wait for themselves. Those that do
 * not block it (`Deno.readFile`, another process, a worker) are fine.
 *
 * @returns When the mount is ready for use. The purge lock is held until it is gone.
 * @throws {StoreFormatError} If it is not a backup directory of a known format.
 * @throws {LockError} If the purge lock could not be taken.
 * @throws {ResourceError} If there is no room for one worker.
 * @throws {MountError} If it cannot be mounted there; the message says what to do.
 * @throws {UsageError} If the value of a mount option is invalid.
 */
export async function mountBackup(options: MountOptions): Promise<BackupMount> {
  const { basedir, mountpoint, cacheBytes = CACHE_BYTES, verify = true } = options;
  const onEvent = options.onEvent ?? (() => {});
  const spillDir = options.spill ?? basedir;
  const warn = (text: string) => onEvent({ type: "warning", text });
  requireStore(basedir);
  await requireMountable(mountpoint, { basedir, spillDir });
  const mountOptions = {
    // The kernel checks modes: with allow_other nobody but the owner may write.
    mountOptions: [...new Set([...options.mountOptions ?? [], "default_permissions"])],
    plainMountHint: '-o ""',
  };
  // Fail before waiting for the lock if mounting cannot succeed.
  await withOurErrors(preflightMount(mountpoint, mountOptions));
  using cleanup = new DisposableStack();
  const { lockTimeoutMs: timeoutMs, signal } = options;
  cleanup.use(await PurgeLock.acquire({ basedir, timeoutMs, signal, onEvent }));
  onEvent({ type: "mounting", mountpoint });
  signal?.throwIfAborted();
  const { threads, notice } = roomForWorkers(options.threads);
  if (notice !== null) onEvent({ type: "notice", text: notice });
  const images = cleanup.use(
    new ImageAccess({ basedir, spillDir, cacheBytes, threads, verify, onFailure: warn }),
  );
  const filesystem = openFilesystem(images, {
    owner: { uid: Deno.uid() ?? 0, gid: Deno.gid() ?? 0 },
    onSkipped: ({ name, reason }) => warn(`revision ${quote(name)} is left out: ${reason}`),
    onBadTable: warn,
    invalidate: async ({ ino, ...range }) => (await mounting).invalidate(ino, range),
  });
  const mounting = mount(mountpoint, filesystem, {
    ...mountOptions,
    // Absolute, so that a list of mounts says what is served.
    fsname: realPathOrNull(basedir) ?? basedir,
    subtype: SUBTYPE,
    readAheadBytes: READ_AHEAD_BYTES,
    beforeMount: async () => {
      // Started first, so that a lack of resources shows before there is a mount, and the first
      // reader need not wait.
      await images.start(signal);
      // While this one waited for the purge lock and its workers, another may have been mounted.
      await requireFree(mountpoint);
    },
    onError: (error, operation) => warn(`internal error in ${operation}: ${reasonOf(error)}`),
  });
  const session = await withOurErrors(mounting);
  const { revisionCount } = filesystem;
  return new Mounted(session, { revisionCount, cleanup: cleanup.move(), onEvent });
}

/**
 * How often the mount's place is checked. A mount that has ended is closed before it is missed for
 * the second time.
 */
const WATCH_MS = 1000;

/**
 * How long, and at what intervals, a mount is tried to be unmounted whose users cannot be found:
 * most likely a program just looks through /proc or at all mounts, and is gone by then.
 */
const UNNAMED_MS = 2000;
const UNNAMED_PAUSE_MS = 50;

class Mounted implements BackupMount {
  readonly revisionCount: number;
  readonly closed: Promise<void>;
  isLingering = false;
  readonly #session: FuseSession;
  #isClosed = false;

  constructor(
    session: FuseSession,
    options: {
      revisionCount: number;
      cleanup: DisposableStack;
      onEvent: (event: MountEvent) => void;
    },
  ) {
    this.#session = session;
    this.revisionCount = options.revisionCount;
    const watch = this.#watch(options.onEvent);
    this.closed = withOurErrors(session.closed).finally(() => {
      this.#isClosed = true;
      clearInterval(watch);
      options.cleanup.dispose();
    });
  }

  /** Notices that the mount was removed here but lives on elsewhere: the kernel does not say so. */
  #watch(onEvent: (event: MountEvent) => void): number {
    let absences = 0;
    const watch = setInterval(() => {
      absences = isAttached(this.#session) ? 0 : absences + 1;
      if (absences < 2) return;
      clearInterval(watch);
      this.isLingering = true;
      void findUsers("keepers", this.#session.mount).then((keepers) => {
        if (!this.#isClosed) onEvent({ type: "lingering", keepers });
      });
    }, WATCH_MS);
    return watch;
  }

  get mountpoint(): string {
    return this.#session.mountpoint;
  }

  async unmount(): Promise<readonly string[] | null> {
    const endMs = performance.now() + UNNAMED_MS;
    for (;;) {
      const { busy } = await withOurErrors(this.#session.unmount());
      if (!busy) return null;
      const users = await findUsers("users", this.#session.mount);
      if (users.length > 0 || performance.now() > endMs) return users;
      await new Promise((resolve) => setTimeout(resolve, UNNAMED_PAUSE_MS));
      // A second signal may have taken it away meanwhile.
      if (!isAttached(this.#session)) return null;
    }
  }

  async detach(): Promise<boolean> {
    const { busy } = await withOurErrors(this.#session.unmount());
    if (busy) await withOurErrors(this.#session.detach());
    return busy;
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

/** As the session says; `true` if the mounts cannot be read. */
function isAttached(session: FuseSession): boolean {
  try {
    return session.isAttached();
  } catch {
    return true;
  }
}
