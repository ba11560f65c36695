/**
 * Finds the processes that have a file or device open for writing, from what /proc tells of their
 * descriptors.
 *
 * Users other than root see only their own processes, and nobody sees those of other PID
 * namespaces: finding nobody does not mean that nobody is there.
 *
 * @module
 */

import type { FileIdentity } from "../linux/file_status.ts";
import { ancestry, findDescriptors, listPids } from "../linux/processes.ts";
import { STDOUT_FD } from "./target.ts";

/** Processes that have a file open for writing. */
export interface Writers {
  /**
   * Process ids, ascending. Left out are this process, its ancestors, and those that inherited the
   * descriptor from the same one: a shell that opens standard output for a command opens it for all
   * that the command starts.
   */
  readonly pids: readonly number[];
  /**
   * Whether this process has it open more than once, or an ancestor has it open, such as the shell
   * that opened it as standard output: whoever asked for the restore knows.
   */
  readonly isInherited: boolean;
}

/**
 * Finds who else has files open for writing that are open here. With 100 processes and 800
 * descriptors on a machine this takes 5 ms, with 1600 and 8400 about 80.
 *
 * @param files What `stat` says of the files. A device is the same whatever node names it.
 */
export function findWriters(files: readonly FileIdentity[]): Writers {
  const others: number[] = [];
  const [self, ...parents] = ancestry();
  const givers = new Set<number>();
  for (const pid of listPids()) {
    const fds = findDescriptors(pid, files).filter(({ isWritable }) => isWritable)
      .map(({ fd }) => fd);
    if (fds.length === 0) continue;
    // One descriptor is the target's, opened here unless it is standard output. A process that got
    // that from this one is a child of the shell that became this program by exec.
    if (pid === self ? fds.length > 1 || fds[0] === STDOUT_FD : parents.includes(pid)) {
      givers.add(pid);
    } else if (pid !== self) others.push(pid);
  }
  const hasInherited = (pid: number) => ancestry(pid).some((above) => givers.has(above));
  const pids = others.filter((pid) => !hasInherited(pid)).sort((a, b) => a - b);
  return { pids, isInherited: givers.size > 0 };
}

/**
 * Finds the locks by `flock` that this process's ancestors have on a file. Those of this process
 * itself may be another restore's.
 *
 * @returns The process ids by which /proc/locks names them. Those processes may have ended: after
 *   `exec 9<>FILE; flock 9` it is the shell that has the lock.
 */
export function inheritedFlocks(file: FileIdentity): number[] {
  return ancestry().slice(1)
    .flatMap((pid) => findDescriptors(pid, [file]))
    .flatMap(({ flockPids }) => flockPids);
}
