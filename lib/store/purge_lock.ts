/**
 * Step 2 of every path: the shared lock on `.purge`, without which a purge could delete chunks that
 * are still to be read. It is held until the restore or the mount has ended.
 *
 * flock(2) is enough with a read-only descriptor, so a store that is mounted or exported read-only
 * can be locked as long as the file exists. Where a lock is impossible, a rescue must still be
 * possible: the restore goes on with a warning, because chunks that vanish are noticed (they are
 * then missing) and never turn into wrong data.
 *
 * @module
 */

import { LockError, OsError } from "../errors.ts";
import { Errno, reasonOf, rethrowLack } from "../linux/errno.ts";
import { describeHolders, FlockOperation, tryFlock } from "../linux/locks.ts";
import { openFd, OpenFlag, releaseFd } from "../linux/files.ts";
import { fdPath } from "../linux/paths.ts";
import { PURGE_LOCK_FILE } from "./layout.ts";
import { quote } from "../wording.ts";

/** What taking the lock tells. */
export type LockEvent =
  | { readonly type: "locking"; readonly basedir: string }
  /** Someone else holds the lock, such as `pid 17 (backy purge)`; once, before waiting starts. */
  | { readonly type: "lock-wait"; readonly holder: string }
  /** No lock is possible here, and the caller goes on without: one line. */
  | { readonly type: "warning"; readonly text: string };

/** Options of {@linkcode PurgeLock.acquire}. */
export interface PurgeLockOptions {
  /** The backup directory. */
  readonly basedir: string;
  /** How long to wait for a purge to end: not given, for ever; 0, fail at once. */
  readonly timeoutMs?: number | undefined;
  readonly onEvent: (event: LockEvent) => void;
  /** Ends the waiting: {@linkcode PurgeLock.acquire} then throws its reason. */
  readonly signal?: AbortSignal | undefined;
}

const POLL_MS = 75;

/** A shared lock on a backup directory's chunks, until it is released. */
export class PurgeLock implements Disposable {
  #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Whether it really locks; `false` after {@linkcode release}, and where only a warning could be
   * given.
   */
  get held(): boolean {
    return this.#fd >= 0;
  }

  /**
   * Takes the lock, and creates the lock file if it is absent.
   *
   * @returns A lock that the caller must release. It holds nothing if the lock file is absent and
   *   cannot be created, or if the file system knows no locks; a warning was told then.
   * @throws {LockError} If it was held exclusively for `timeoutMs`, or the lock file exists and
   *   cannot be opened.
   * @throws The signal's reason, if that was aborted.
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

  /** Gives the lock back. Safe to call again. */
  release(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    // The descriptor was never duplicated (it is close-on-exec), so closing it ends the lock.
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

// flock says these where a file system has no locks, or its lock service is down: NFS without
// lockd, FUSE.
const noLocksErrnos: readonly number[] = [
  Errno.ENOLCK,
  Errno.ENOSYS,
  Errno.EOPNOTSUPP,
  Errno.EINVAL,
];

// Each round that does not end has met a file that was made, deleted or replaced in the
// microseconds between two calls.
const MAX_ROUNDS = 20;

/** Tries once, without waiting. Opens the file anew each time, for it may be another one by now. */
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

/** Opens the lock file. `undefined`: it came or went meanwhile, try again. */
function openOrCreate(path: string): number | Attempt | undefined {
  if (isSpecial(path)) throw new LockError(`Cannot lock ${quote(path)}: it is not a regular file`);
  try {
    // Nonblocking: should it have become a FIFO, opening it would wait for a writer.
    return openFd(path, OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK | OpenFlag.O_NOCTTY);
  } catch (error) {
    rethrowLack(error, path);
    // A lock file that exists and is not for us to read is somebody's decision or mistake, unlike a
    // lock that is impossible: a purge may be running behind it. Who restores can become root or
    // change the mode.
    if (!isOsError(error, Errno.ENOENT)) throw lockError(path, error);
  }
  try {
    // Exclusive, so that no link of that name makes a file somewhere else.
    return openFd(path, OpenFlag.O_RDONLY | OpenFlag.O_CREAT | OpenFlag.O_EXCL, 0o644);
  } catch (error) {
    if (isOsError(error, Errno.EEXIST)) return undefined;
    if (isOsError(error, Errno.ENOENT) || isOsError(error, Errno.ENOTDIR)) {
      throw lockError(path, error);
    }
    rethrowLack(error, path);
    // Read-only media, somebody else's directory, a full disk. No purge takes a lock on such a
    // store either, or it would have made the file: going on is the lesser evil.
    const warning = `cannot create ${quote(path)} (${reasonOf(error)}), ` +
      "going on without the purge lock";
    return { state: "impossible", warning };
  }
}

/**
 * Whether a path leads to something other than a regular file; opening some devices has effects.
 */
function isSpecial(path: string): boolean {
  try {
    return !Deno.statSync(path).isFile;
  } catch {
    return false; // opening it will say why
  }
}

/**
 * Whether a path still names the file that was opened. If not, the lock is on a deleted file, and a
 * purge would lock the new one.
 */
function isStillAt(path: string, fd: number): boolean {
  let opened: Deno.FileInfo;
  try {
    opened = Deno.statSync(fdPath(fd));
  } catch {
    return true; // No /proc: nothing to compare with.
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

/** Waits; an abort of the signal ends it with the signal's reason. */
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
