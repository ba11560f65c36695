/**
 * Tries `flock` locks as another process would.
 *
 * @module
 */

import { closeFd, openFd } from "../../lib/linux/files.ts";
import { FlockOperation, tryFlock } from "../../lib/linux/locks.ts";

/** Whether nobody holds a lock on a file, so that a purge could lock it now. */
export function canLockExclusively(path: string): boolean {
  const fd = openFd(path, 0);
  try {
    return tryFlock(fd, FlockOperation.LOCK_EX);
  } finally {
    closeFd(fd);
  }
}
