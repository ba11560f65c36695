/**
 * The shared lock on `.purge`, without which a purge could delete chunks that are still needed. It
 * is held until the restore, check or mount has ended.
 *
 * A read-only descriptor is enough for flock(2), so a store that is mounted or exported read-only
 * can be locked if the file exists. Where locking is impossible, a restore must still be possible:
 * it continues with a warning, because chunks that vanish are reported as missing and never turn
 * into wrong data.
 *
 * @module
 */

import { LockError, OsError } from "../errors.ts";
import { Errno, reasonOf, rethrowLack } from "../linux/errno.ts";
import { describeHolders, FlockOperation, tryFlock } from "../linux/locks.ts";
import { statOrNull } from "../linux/file_status.ts";
import { openFd, OpenFlag, releaseFd } from "../linux/files.ts";
import { fdPath } from "../linux/paths.ts";
import { PURGE_LOCK_FILE } from "./layout.ts";
import { quote } from "../wording.ts";

/** What happens while the lock is taken. */
export type LockEvent =
  | { readonly type: "locking"; readonly basedir: string }
  /** Sent once, before waiting, with who holds the lock, such as `pid 17 (backy purge)`. */
  | { readonly type: "lock-wait"; readonly holder: string }
  /** Locking is impossible here, and the caller continues without: one line. */
  | { readonly type: "warning"; readonly text: string };

/** Options of {@linkcode PurgeLock.acquire}. */
export interface PurgeLockOptions {
  /** The backup directory. */
  readonly basedir: string;
  /** How long to wait for a purge to end; default: forever. 0 means to fail at once. */
  readonly timeoutMs?: number | undefined;
  readonly onEvent: (event: LockEvent) => void;
  /** Aborts the waiting: {@linkcode PurgeLock.acquire} then throws its reason. */
  readonly signal?: AbortSignal | undefined;
}

const POLL_MS = 75;

/** A shared lock on the chunks of a backup directory. */
export class PurgeLock implements Disposable {
  #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Whether the lock is held: not after {@linkcode release}, nor where locking is impossible. */
  get held(): boolean {
    return this.#fd >= 0;
  }

  /**
   * Takes the lock, and creates the lock file if it is absent.
   *
   * @returns A lock that the caller must release. It is not held, and a warning was sent, if the
   *   lock file is absent and cannot be created, or if the file system has no locks.
   * @throws {LockError} If someone held it exclusively for `timeoutMs`, or the lock file exists but
   *   cannot be opened.
   * @throws The signal's reason, if it was aborted.
   */
  static async acquire(options: PurgeLockOptions): Promise<PurgeLock> {
    const { basedir, timeoutMs = Infinity, signal, onEvent } = options;
    onEvent({ type: "locking", basedir });
    const path = `${basedir}/${PURGE_LOCK_FILE}`;
    const deadline = performance.now() + timeoutMs;
    let isWaiting = false;
    for (;;) {
      signal?.throwIfAborted();
      const attempt = tryTake(path);
      if (attempt.state === "taken") return new PurgeLock(attempt.fd);
      if (attempt.state === "impossible") {
        onEvent({ type: "warning", text: attempt.warning });
        return new PurgeLock(-1);
      }
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) {
        const held = timeoutMs === 0 ? "is held" : `has been held for ${timeoutMs / 1000} s`;
        throw new LockError(
          `Cannot lock ${quote(path)}: it ${held} by ${attempt.holder}; ` +
            "--lock-timeout says how long to wait",
        );
      }
      if (!isWaiting) onEvent({ type: "lock-wait", holder: attempt.holder });
      isWaiting = true;
      await pause(Math.min(POLL_MS, leftMs), signal);
    }
  }

  /** Releases the lock. Safe to call again. */
  release(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    // The descriptor is close-on-exec and was never duplicated, so closing it releases the lock.
    releaseFd(fd);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

type Attempt =
  | { readonly state: "taken"; readonly fd: number }
  | { readonly state: "busy"; readonly holder: string }
  | { readonly state: "impossible"; readonly warning: string };

// What flock returns where a file system has no locks (FUSE) or its lock service is down (NFS
// without lockd).
const noLocksErrnos: readonly number[] = [
  Errno.ENOLCK,
  Errno.ENOSYS,
  Errno.EOPNOTSUPP,
  Errno.EINVAL,
];

// Another round is needed only if the file was made, deleted or replaced in the microseconds
// between two calls.
const MAX_ROUNDS = 20;

/** Tries without waiting. Opens the file each time, because it may be another one by now. */
function tryTake(path: string): Attempt {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const opened = openOrCreate(path);
    if (opened === undefined) continue;
    if (typeof opened !== "number") return opened;
    let isKept = false;
    try {
      if (!tryFlock(opened, FlockOperation.LOCK_SH, path)) {
        return { state: "busy", holder: describeHolders(fdPath(opened)) };
      }
      isKept = isStillAt(path, opened);
      if (isKept) return { state: "taken", fd: opened };
    } catch (error) {
      rethrowLack(error, path);
      if (!(error instanceof OsError) || !noLocksErrnos.includes(error.errno)) {
        throw lockError(path, error);
      }
      const warning = `cannot lock ${quote(path)} (${reasonOf(error)}), ` +
        "going on without the purge lock";
      return { state: "impossible", warning };
    } finally {
      if (!isKept) releaseFd(opened);
    }
  }
  throw new LockError(
    `Cannot lock ${
      quote(path)
    }: it is a symbolic link to nothing, or is being replaced all the time`,
  );
}

/** Opens the lock file; `undefined` if it was made or deleted meanwhile, so try again. */
function openOrCreate(path: string): number | Attempt | undefined {
  if (isSpecial(path)) throw new LockError(`Cannot lock ${quote(path)}: it is not a regular file`);
  try {
    // Nonblocking: it may have become a FIFO, where opening would wait for a writer.
    return openFd(path, OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK | OpenFlag.O_NOCTTY);
  } catch (error) {
    rethrowLack(error, path);
    // A lock file that exists but may not be read is somebody's decision or mistake, and a purge
    // may be running. The user can become root or change the mode.
    if (!isOsError(error, Errno.ENOENT)) throw lockError(path, error);
  }
  try {
    // Exclusive, so that a link of that name does not create a file elsewhere.
    return openFd(path, OpenFlag.O_RDONLY | OpenFlag.O_CREAT | OpenFlag.O_EXCL, 0o644);
  } catch (error) {
    if (isOsError(error, Errno.EEXIST)) return undefined;
    if (isOsError(error, Errno.ENOENT) || isOsError(error, Errno.ENOTDIR)) {
      throw lockError(path, error);
    }
    rethrowLack(error, path);
    // Read-only media, somebody else's directory, a full disk. No purge holds the lock here, or the
    // file would exist, so continuing is the lesser evil.
    const warning = `cannot create ${quote(path)} (${reasonOf(error)}), ` +
      "going on without the purge lock";
    return { state: "impossible", warning };
  }
}

/**
 * Whether a path leads to something other than a regular file. Opening some devices has effects.
 */
function isSpecial(path: string): boolean {
  // Opening what cannot be looked at will tell why.
  return statOrNull(path)?.isFile === false;
}

/**
 * Whether a path still names the file that was opened. If it does not, the lock is on a deleted
 * file, and a purge would lock the new one.
 */
function isStillAt(path: string, fd: number): boolean {
  let opened: Deno.FileInfo;
  try {
    opened = Deno.statSync(fdPath(fd));
  } catch {
    return true; // without /proc there is nothing to compare with
  }
  try {
    const named = Deno.statSync(path);
    return named.dev === opened.dev && named.ino === opened.ino;
  } catch {
    return false;
  }
}

function isOsError(error: unknown, errno: number): boolean {
  return error instanceof OsError && error.errno === errno;
}

function lockError(path: string, cause: unknown): LockError {
  return new LockError(`Cannot lock ${quote(path)}: ${reasonOf(cause)}`, { cause });
}

/** Waits. Throws the signal's reason if it is aborted meanwhile. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
