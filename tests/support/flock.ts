/**
 * Looks at `flock` locks as another process would.
 *
 * @module
 */

import { closeFd, FlockOperation, openFd, tryFlock } from "../../lib/linux/libc.ts";

/** Whether nobody holds a lock on a file, so that a purge could lock it now. */
export function canLockExclusively(path: string): boolean {
  const fd = openFd(path, 0);
  try {
    return tryFlock(fd, FlockOperation.LOCK_EX);
  } finally {
    closeFd(fd);
  }
}
