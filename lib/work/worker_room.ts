/**
 * How many workers the limits of the system allow.
 *
 * The runtime aborts the process if it gets no descriptor, thread or memory for a worker, so this
 * is checked beforehand. Both the check and the start of the workers come before a target is
 * emptied or a mount made.
 *
 * @module
 */

import { ResourceError } from "../errors.ts";
import { freeMemoryBytes } from "../linux/free_memory.ts";
import { hasAddressSpace, spareDescriptors, spareThreads } from "../linux/headroom.ts";

const MIB = 1_048_576;
const GIB = 1024 * MIB;

/** What one worker needs, and what the rest of the process needs; each with a little to spare. */
interface Need {
  readonly worker: number;
  readonly beside: number;
}

/**
 * Measured with Deno 2.6.8 (x86_64, 1 to 64 workers; peaks in /proc/PID/fd and /proc/PID/status),
 * per worker: 7 descriptors, 2 threads, 4.6 GiB of address space (4 GiB for the codec's memory to
 * grow into) and 13 to 15 MiB of memory.
 */
const NEEDS = {
  descriptors: { worker: 8, beside: 8 },
  threads: { worker: 2, beside: 4 },
  addressBytes: { worker: 5 * GIB, beside: GIB / 4 },
  memoryBytes: { worker: 20 * MIB, beside: 16 * MIB },
} as const satisfies Record<string, Need>;

/** What the system has left. Each function is told how much is wanted and need not look further. */
export interface Headroom {
  readonly descriptors: (wanted: number) => number;
  readonly threads: (wanted: number) => number;
  readonly addressBytes: (wanted: number) => number;
  /** Bytes of free memory; `null` if unknown. */
  readonly memoryBytes: () => number | null;
}

/**
 * A module with one function that uses SIMD, `i8x16.splat(0)`. The runtime takes it for invalid on
 * a processor that cannot do it.
 */
const SIMD_MODULE = new Uint8Array([
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // magic, version
  ...[0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b], // type: () -> v128
  ...[0x03, 0x02, 0x01, 0x00], // function 0 is of type 0
  ...[0x0a, 0x08, 0x01, 0x06, 0x00, 0x41, 0x00, 0xfd, 0x0f, 0x0b], // its code
]);

/**
 * Makes sure that the codec can run here.
 *
 * @param canRun Default: asks the runtime.
 * @throws {ResourceError} If the processor lacks SIMD instructions that the codec is made of.
 */
export function requireSimd(canRun = () => WebAssembly.validate(SIMD_MODULE)): void {
  if (canRun()) return;
  throw new ResourceError(
    "Cannot decode: this processor lacks SSE4.1 (made before 2008, or hidden by a virtual " +
      "machine); use another machine or processor type",
  );
}

const SYSTEM: Headroom = {
  descriptors: spareDescriptors,
  threads: spareThreads,
  addressBytes: spareAddressBytes,
  memoryBytes: freeMemoryBytes,
};

/**
 * Chooses the number of decoding workers: one per CPU, but at least 2, so that reading and decoding
 * overlap, and at most 24, beyond which memory bandwidth and the target are the limit.
 *
 * @param cpuCount Number of CPUs, as far as known.
 */
export function defaultThreads(cpuCount: number = navigator.hardwareConcurrency): number {
  return Math.min(Math.max(Math.trunc(cpuCount) || 2, 2), 24);
}

/** How many workers can be started. */
export interface WorkerRoom {
  /** At least 1, at most the number that was wanted. */
  readonly threads: number;
  /** Says in one line why it is less; `null` if it is not. */
  readonly notice: string | null;
}

/**
 * Finds out how many workers can be started.
 *
 * @param wanted Number of workers, >= 1.
 * @param system Default: the real system.
 * @throws {ResourceError} If there is not enough for one; the message names the limit.
 * @throws {ResourceError} As {@linkcode requireSimd} does.
 */
export function roomForWorkers(
  wanted: number = defaultThreads(),
  system: Headroom = SYSTEM,
): WorkerRoom {
  requireSimd();
  const limits = [
    limitOf(NEEDS.descriptors, wanted, system.descriptors, "open files (ulimit -n, fs.file-max)"),
    limitOf(NEEDS.threads, wanted, system.threads, "threads (ulimit -u, or pids.max of a cgroup)"),
    limitOf(NEEDS.addressBytes, wanted, system.addressBytes, "address space (ulimit -v)"),
    limitOf(
      NEEDS.memoryBytes,
      wanted,
      (bytes) => system.memoryBytes() ?? bytes,
      "memory (of the machine, or of a cgroup)",
    ),
  ];
  const narrowest = limits.reduce((least, limit) => limit.workers < least.workers ? limit : least);
  const { workers: threads, name } = narrowest;
  if (threads < 1) {
    throw new ResourceError(
      `Cannot start a worker: the limit of ${name} leaves too little; raise it`,
    );
  }
  const notice = threads >= wanted
    ? null
    : `Using ${threads} of ${wanted} workers: the limit of ${name} leaves no room for more`;
  return { threads, notice };
}

function limitOf(
  { worker, beside }: Need,
  wanted: number,
  spare: (wanted: number) => number,
  name: string,
): { workers: number; name: string } {
  const amount = spare(beside + worker * wanted);
  return { workers: Math.min(wanted, Math.floor((amount - beside) / worker)), name };
}

/** Finds the most address space, up to `wanted` bytes, by trying. */
function spareAddressBytes(wanted: number): number {
  const { worker } = NEEDS.addressBytes;
  let bytes = wanted;
  while (bytes > 0 && !hasAddressSpace(bytes)) bytes -= worker;
  return Math.max(0, bytes);
}
