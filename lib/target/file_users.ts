/**
 * Finds out who else uses a file or device that is open here: by locks, by writing to it, or
 * through a loop device. Devices that are mounted or claimed the kernel refuses by itself;
 * `in_use.ts` says why.
 *
 * @module
 */

import { Errno, reasonOf } from "../linux/errno.ts";
import {
  type FileIdentity,
  type FileStatus,
  isSameFile,
  isSameIdentity,
  statFd,
  statOrNull,
  writeBarriers,
} from "../linux/file_status.ts";
import { openFd, OpenFlag, releaseFd } from "../linux/files.ts";
import { findForeignLock, hasWriters, listFlockHolders } from "../linux/locks.ts";
import { type Backing, backingOf, listLoopDevices } from "../linux/loop_devices.ts";
import { listSwaps } from "../linux/mounts.ts";
import { OsError } from "../errors.ts";
import { ancestry, describeProcess } from "../linux/processes.ts";
import { quote } from "../wording.ts";
import { tryClaim } from "./checked_file.ts";
import { describeMounts } from "./in_use.ts";
import { findWriters, inheritedFlocks, type Writers } from "./open_files.ts";

/**
 * Some uses end after a moment: udev's programs look at a device when something happens to it, and
 * another restore may give up.
 */
const LOOKS = 3, PAUSE_MS = 100;

/** What a target is used for, as far as that can be told. */
export interface FileUse {
  /** Clauses such as `it is behind the loop device "/dev/loop0"`. */
  readonly reasons: string[];
  /** Why there may be users that were not found; `null` if nothing suggests that. */
  readonly doubt: string | null;
}

/** A file or device that is open here. */
export interface UsedFile {
  readonly path: string;
  readonly fd: number;
  readonly info: FileStatus;
}

/**
 * Tells whether others have a regular file open for writing. If none of them is found, they may
 * have closed it already, so it looks again after a moment.
 *
 * @returns `null` if that cannot be told.
 */
export function isWrittenByOthers(path: string, look = hasWriters): boolean | null {
  let isWritten = look(path);
  for (let looks = 1; looks < LOOKS && isWritten && !hasKnownWriter(path); looks++) {
    pause();
    isWritten = look(path);
  }
  return isWritten;
}

function hasKnownWriter(path: string): boolean {
  const info = statOrNull(path);
  if (info === null) return false;
  const { pids, isInherited } = findWriters([info]);
  return pids.length > 0 || isInherited;
}

/**
 * Says what a regular file is used for.
 *
 * @param found.isWritten What `isWrittenByOthers` said before it was opened here.
 * @param found.isClaimed Whether its `flock` could be taken.
 */
export function describeFileUse(
  { fd, info }: UsedFile,
  { isWritten, isClaimed }: { isWritten: boolean | null; isClaimed: boolean },
): FileUse {
  const loops = loopsOver(info);
  const reasons = [...loops.reasons];
  if (isSwap(info)) reasons.push("it is swap space");
  reasons.push(...describeLock(fd));
  if (!isClaimed) reasons.push(...describeFlock(info));
  if (isWritten !== false) {
    const writers = findWriters([info]);
    reasons.push(...describeWriters(writers));
    // The writer is the loop device or the swap space, or a parent, which asked for this.
    const isExplained = reasons.length > 0 || writers.isInherited;
    if (isWritten && !isExplained) reasons.push("another program has it open for writing");
  }
  const isUnseen = isWritten === null && !hasProc();
  return { reasons, doubt: isUnseen ? "/proc is not mounted" : loops.doubt };
}

/** Says what a block device is used for beyond what the kernel counts as its use. */
export function describeDeviceUsers(device: UsedFile): FileUse {
  let use = lookAtDevice(device);
  for (let look = 1; look < LOOKS && use.reasons.length > 0; look++) {
    pause();
    use = lookAtDevice(device);
  }
  return use;
}

/** Says why a file could not be opened for writing, and what to do about it. */
export function whyNotOpened(path: string, error: unknown): string {
  const reason = reasonOf(error);
  if (!(error instanceof OsError)) return reason;
  // The kernel protects swap files and running programs like this.
  if (error.errno === Errno.ETXTBSY && isSwap(statOrNull(path))) return "it is swap space";
  return error.errno === Errno.EPERM ? reason + describeBarriers(path) : reason;
}

/**
 * Says what keeps even root from writing a file or directory, and the way out: the end of an error
 * message, or "".
 */
export function describeBarriers(path: string): string {
  const { isImmutable, isAppendOnly } = writeBarriers(path);
  if (!isImmutable && !isAppendOnly) return "";
  const [word, letter] = isImmutable ? ["immutable", "i"] : ["append-only", "a"];
  return `; it is ${word}: see lsattr, "chattr -${letter}" ends that`;
}

function isSwap(info: FileStatus | null): boolean {
  if (info === null) return false;
  return listSwaps().map(statOrNull).some((other) => other !== null && isSameFile(info, other));
}

function lookAtDevice({ path, fd, info }: UsedFile): FileUse {
  const loops = loopsOver(info);
  const reasons = [...loops.reasons, ...describeLock(fd)];
  // Programs that change a device take this lock, and udev leaves a locked device alone.
  if (!tryClaim(fd)) reasons.push(...describeFlock(info));
  reasons.push(...describeWriters(findWriters([info])));
  const backing = backingOf(path);
  if (backing !== null && backing !== "unknown") {
    reasons.push(...describeBacking(backing, info));
  }
  return { reasons, doubt: hasProc() ? loops.doubt : "/proc is not mounted" };
}

/** Says who else uses what a loop device stands on. */
function describeBacking({ findPath, info }: Backing, device: FileStatus): string[] {
  const path = findPath();
  const reasons = loopsOver(info, device).reasons;
  if (path !== null) reasons.push(...describeLocksAt(path));
  reasons.push(...describeWriters(findWriters([info])));
  if (info.isBlockDevice && info.rdev !== null) reasons.push(...describeMounts(info.rdev));
  const kind = info.isBlockDevice ? "device" : "file";
  const subject = `its backing ${kind}${path === null ? "" : ` ${quote(path)}`}`;
  return reasons.map((reason) => reason.replace(/\bit\b/, subject));
}

function describeLocksAt(path: string): string[] {
  let fd: number;
  try {
    fd = openFd(path, OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK);
  } catch {
    return [];
  }
  try {
    const reasons = describeLock(fd);
    return tryClaim(fd) ? reasons : [...reasons, ...describeFlock(statFd(fd))];
  } finally {
    releaseFd(fd);
  }
}

/**
 * Says who holds the `flock` that could not be taken. A parent that does (`flock FILE backy-extract
 * ...`, `udevadm lock`) keeps others away on behalf of this restore.
 */
function describeFlock(info: FileStatus): string[] {
  const pids = listFlockHolders(info, { isShared: true });
  const [self, ...parents] = ancestry();
  const inherited = inheritedFlocks(info);
  const others = pids.filter((pid) => !parents.includes(pid) && !inherited.includes(pid));
  if (pids.length + inherited.length > 0 && others.length === 0) return [];
  const strangers = others.filter((pid) => pid !== self);
  return strangers.length === 0
    ? ["another program has locked it, perhaps another restore"]
    : [`it is locked by ${strangers.map(describeProcess).join(", ")}`];
}

function describeLock(fd: number): string[] {
  const lock = findForeignLock(fd);
  if (lock === null) return [];
  const holder = lock.pid === null ? "another program" : describeProcess(lock.pid);
  return [`${holder} holds a lock on it, as on the disk of a running virtual machine`];
}

function describeWriters({ pids }: Writers): string[] {
  if (pids.length === 0) return [];
  return [`it is open for writing by ${pids.map(describeProcess).join(", ")}`];
}

/** Says which loop devices stand on a file or device, leaving one of them out. */
function loopsOver(
  info: FileIdentity,
  except?: FileStatus,
): { reasons: string[]; doubt: string | null } {
  const { paths, isComplete } = listLoopDevices();
  const reasons: string[] = [];
  let isCertain = isComplete;
  for (const path of paths) {
    const backing = backingOf(path);
    if (backing === "unknown") isCertain = false;
    if (backing === null || backing === "unknown") continue;
    const isExcepted = except !== undefined && statOrNull(path)?.rdev === except.rdev;
    if (!isExcepted && isSameIdentity(backing.info, info)) {
      reasons.push(`it is behind the loop device ${quote(path)}`);
    }
  }
  return { reasons, doubt: isCertain ? null : "not all loop devices can be looked at" };
}

function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
}

function hasProc(): boolean {
  return ancestry().length > 0;
}
