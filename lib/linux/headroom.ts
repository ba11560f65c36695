/**
 * How much more the system gives this process: descriptors, threads, address space, file sizes.
 *
 * What can be tried is taken and given back at once. There are many limits (of the
 * process, its user, its control groups, the whole system), some cannot be read everywhere, and
 * root escapes some of them: an attempt meets them all. Other processes may take what was free here
 * before it is used, so callers ask for a little more than they need.
 *
 * @module
 */

import { duplicateFd } from "./descriptors.ts";
import { openFd, OpenFlag, releaseFd } from "./files.ts";
import { libc } from "./libc.ts";
import { OsError } from "./os_error.ts";

/**
 * Sizes of C types, no less than those of x86_64 and aarch64. Source: bits/pthreadtypes-arch.h,
 * bits/semaphore.h.
 */
export const ThreadLayout = { pthread_attr_t: 64, sem_t: 32 } as const;

/**
 * Stack of the threads that only wait; no less than PTHREAD_STACK_MIN, which is 128 KiB on aarch64.
 */
const STACK_BYTES = 262_144n;

/** Resources of `getrlimit`. Source: asm-generic/resource.h. */
const RLIMIT_FSIZE = 1, RLIMIT_NOFILE = 7;

/** `struct rlimit { rlim_t rlim_cur, rlim_max; }`, both 64 bits wide; `null` if it is not known. */
function limitOf(resource: number): BigUint64Array<ArrayBuffer> | null {
  const limit = new BigUint64Array(2);
  return libc.getrlimit(resource, new Uint8Array(limit.buffer)) === 0 ? limit : null;
}

/** The process's limit of file sizes (`ulimit -f`) in bytes; Infinity if there is none. */
export function fileSizeLimit(): number {
  const RLIM_INFINITY = 2n ** 64n - 1n;
  const soft = limitOf(RLIMIT_FSIZE)?.[0] ?? RLIM_INFINITY;
  return soft === RLIM_INFINITY ? Infinity : Number(soft);
}

/** The process's limit of open descriptors (`ulimit -n`); Infinity if it is not known. */
export function descriptorLimit(): number {
  return Number(limitOf(RLIMIT_NOFILE)?.[0] ?? Infinity);
}

/** More is of no use here, and a child process that closes every possible descriptor takes long. */
const DESCRIPTORS_MAX = 65_536n;

/**
 * Raises the soft limit of open descriptors to the hard one, but not beyond 65,536. Does nothing
 * where that is not allowed.
 */
export function raiseDescriptorLimit(): void {
  const limit = limitOf(RLIMIT_NOFILE);
  if (limit === null) return;
  const [soft, hard] = limit as unknown as [bigint, bigint];
  const wanted = hard < DESCRIPTORS_MAX ? hard : DESCRIPTORS_MAX;
  if (soft >= wanted) return;
  limit[0] = wanted;
  libc.setrlimit(RLIMIT_NOFILE, new Uint8Array(limit.buffer));
}

/** Tells how many descriptors can be opened now, up to the number wanted. */
export function spareDescriptors(wanted: number): number {
  const fds: number[] = [];
  try {
    while (fds.length < wanted) {
      const [first] = fds;
      const fd = first === undefined ? openFd("/", OpenFlag.O_RDONLY) : duplicateFd(first);
      if (fd === null) break;
      fds.push(fd);
    }
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
  } finally {
    fds.forEach(releaseFd);
  }
  return fds.length;
}

/** Tells how many threads can be started now, up to the number wanted. */
export function spareThreads(wanted: number): number {
  // The garbage collector may move small arrays, unless they get an ArrayBuffer of their own.
  const memory = (bytes: number) => new Uint8Array(new ArrayBuffer(bytes));
  const semaphore = memory(ThreadLayout.sem_t);
  const attributes = memory(ThreadLayout.pthread_attr_t);
  const ids = new BigUint64Array(wanted);
  libc.sem_init(semaphore, 0, 0);
  libc.pthread_attr_init(attributes);
  libc.pthread_attr_setstacksize(attributes, STACK_BYTES);
  let count = 0;
  for (; count < wanted; count++) {
    const id = new Uint8Array(ids.buffer, 8 * count, 8);
    if (libc.pthread_create(id, attributes, libc.semWait, semaphore) !== 0) break;
  }
  for (let index = 0; index < count; index++) libc.sem_post(semaphore);
  for (let index = 0; index < count; index++) libc.pthread_join(ids[index]!, null);
  // This also keeps the semaphore from the garbage collector until all threads are done with it.
  libc.sem_destroy(semaphore);
  return count;
}

/** Tells whether that much address space, which `ulimit -v` limits, can be reserved now. */
export function hasAddressSpace(bytes: number): boolean {
  // Source: asm-generic/mman-common.h.
  const PROT_NONE = 0, MAP_PRIVATE = 0x02, MAP_ANONYMOUS = 0x20, MAP_NORESERVE = 0x4000;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const MAP_FAILED = 2n ** 64n - 1n;
  const address = libc.mmap(null, BigInt(bytes), PROT_NONE, flags, -1, 0n);
  if (address === MAP_FAILED) return false;
  libc.munmap(address, BigInt(bytes));
  return true;
}
