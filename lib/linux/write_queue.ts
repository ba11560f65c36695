/**
 * Writes that go on while the calling thread does something else: POSIX AIO. The C library makes
 * each by an ordinary `pwrite` on a thread of its own, so it works wherever `pwrite` does, and
 * readers of a file or device see the same as of any other write. All signals are blocked there.
 *
 * The C library makes the writes of one descriptor one after another, on one thread. So a queue has
 * descriptors of its own, and as many writes as it has descriptors are under way at once (but no
 * more than 20 in a process, which is the C library's limit). It begins with one, which keeps a
 * local disk busy with long writes. Whenever the caller has to wait for the storage while a write
 * has not been begun, it gets one more: many short writes to storage that answers late need that.
 *
 * @module
 */

import { AIOCB_LAYOUT, SIGEV_NONE } from "./aio.ts";
import { duplicateFd } from "./descriptors.ts";
import { Errno, osError } from "./errno.ts";
import { releaseFd } from "./files.ts";
import { OsError } from "./os_error.ts";
import { spareDescriptors, spareThreads } from "./headroom.ts";
import { lastErrno, libc, requireOffset } from "./libc.ts";

/** A write that has ended. */
export interface EndedWrite {
  /** As it was submitted. */
  readonly tag: number;
  /** Number of bytes that were written, perhaps not all; or the negative errno. */
  readonly result: number;
}

/** A descriptor, and how many of its writes have not ended. */
interface Lane {
  readonly fd: number;
  count: number;
}

/** Room for a write: a `struct aiocb`, which the C library reads and writes meanwhile. */
interface Slot {
  readonly fields: DataView;
  readonly pointer: Deno.PointerValue;
  readonly address: bigint;
  /** The write that takes it, `null` if there is none. */
  write: { readonly lane: Lane; readonly tag: number } | null;
}

/** The most writes under way. */
const MAX_LANES = 8;

/**
 * Descriptors and threads that are left to others: a chunk file that cannot be opened would end the
 * restore, and the runtime aborts where it gets no thread.
 */
const SPARE = 8;

/** Writes in flight. One thread uses it. */
export class WriteQueue implements Disposable {
  readonly #lanes: Lane[];
  readonly #slots: readonly Slot[];
  /** What `aio_suspend` takes: the address of each slot in use, 0 for others. */
  readonly #waitList: BigUint64Array<ArrayBuffer>;
  readonly #release: () => void;
  /** Once there was no room for one more lane: asking again and again would get in others' way. */
  #mayWiden = true;

  private constructor(lane: Lane, capacity: number) {
    this.#lanes = [lane];
    // Not memory of this isolate: if its worker is terminated, the C library still writes there.
    const { address, buffer, release } = mapMemory(capacity * AIOCB_LAYOUT.bytes);
    this.#release = release;
    this.#waitList = new BigUint64Array(new ArrayBuffer(capacity * 8));
    this.#slots = Array.from({ length: capacity }, (_, index) => {
      const at = index * AIOCB_LAYOUT.bytes, slotAddress = address + BigInt(at);
      const fields = new DataView(buffer, at, AIOCB_LAYOUT.bytes);
      const pointer = Deno.UnsafePointer.create(slotAddress);
      return { fields, pointer, address: slotAddress, write: null };
    });
  }

  /**
   * Makes a queue for a file or device.
   *
   * @param fd Opened for writing; not used after this.
   * @param capacity Number of writes that it holds.
   * @returns `null` if descriptors, threads or memory are short.
   */
  static open(fd: number, capacity: number): WriteQueue | null {
    const lane = openLane(fd);
    if (lane === null) return null;
    try {
      return new WriteQueue(lane, capacity);
    } catch (error) {
      releaseFd(lane.fd);
      if (error instanceof OsError) return null;
      throw error;
    }
  }

  /** How many writes are under way at once; grows as the caller waits. */
  get depth(): number {
    return this.#lanes.length;
  }

  /**
   * Begins to write bytes.
   *
   * @param bytes Unchanged by the caller until {@linkcode wait} returns their tag; may be a view of
   *   WebAssembly memory.
   * @param options.offset Where in the file they go.
   * @param options.tag A number, to tell this write by.
   * @returns Whether it was taken; if not, nothing was done: the queue is full, or there is no
   *   thread for it.
   */
  submit(
    bytes: Uint8Array<ArrayBuffer>,
    { offset, tag }: { offset: number; tag: number },
  ): boolean {
    requireOffset("offset", offset);
    const index = this.#slots.findIndex(({ write }) => write === null);
    if (index < 0) return false;
    const { fields, pointer, address } = this.#slots[index]!;
    const lane = this.#lanes.reduce((least, lane) => lane.count < least.count ? lane : least);
    const from = Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
    fields.setInt32(AIOCB_LAYOUT.aio_fildes, lane.fd, true);
    fields.setBigUint64(AIOCB_LAYOUT.aio_buf, BigInt(from), true);
    fields.setBigUint64(AIOCB_LAYOUT.aio_nbytes, BigInt(bytes.length), true);
    fields.setBigInt64(AIOCB_LAYOUT.aio_offset, BigInt(offset), true);
    fields.setInt32(AIOCB_LAYOUT.sigev_notify, SIGEV_NONE, true);
    if (libc.aio_write(pointer) !== 0) return false;
    this.#slots[index]!.write = { lane, tag };
    this.#waitList[index] = address;
    lane.count++;
    return true;
  }

  /**
   * Waits until at least one write has ended. There must be one in flight.
   *
   * @param timeoutMs Default: waits for ever.
   * @returns None if the time ran out, or a signal came.
   * @throws {OsError} If the C library cannot tell.
   */
  wait(timeoutMs?: number): EndedWrite[] {
    const ended = this.#takeEnded();
    if (ended.length > 0) return ended;
    this.#widen();
    const timeout = timeoutMs === undefined ? null : timespec(timeoutMs);
    const list = new Uint8Array(this.#waitList.buffer);
    if (libc.aio_suspend(list, this.#slots.length, timeout) !== 0) {
      const errno = lastErrno();
      if (errno === Errno.EAGAIN || errno === Errno.EINTR) return [];
      throw osError(errno, { syscall: "aio_suspend", path: "" });
    }
    return this.#takeEnded();
  }

  /** Takes back writes that were not begun; {@linkcode wait} returns them with ECANCELED. */
  cancel(): void {
    for (const { fd } of this.#lanes) libc.aio_cancel(fd, null);
  }

  /** Takes back writes that were not begun, waits for the others, and ignores all results. */
  [Symbol.dispose](): void {
    this.cancel();
    while (this.#lanes.some(({ count }) => count > 0)) this.wait();
    for (const { fd } of this.#lanes) releaseFd(fd);
    this.#release();
  }

  /** Opens one more descriptor if a write has not been begun because another is under way. */
  #widen(): void {
    const isQueued = this.#lanes.some(({ count }) => count > 1);
    if (!isQueued || !this.#mayWiden || this.#lanes.length >= MAX_LANES) return;
    const lane = openLane(this.#lanes[0]!.fd);
    if (lane === null) this.#mayWiden = false;
    else this.#lanes.push(lane);
  }

  #takeEnded(): EndedWrite[] {
    const ended: EndedWrite[] = [];
    this.#slots.forEach((slot, index) => {
      const { pointer, write } = slot;
      if (write === null) return;
      const errno = libc.aio_error(pointer);
      if (errno === Errno.EINPROGRESS) return;
      const count = Number(libc.aio_return(pointer));
      ended.push({ tag: write.tag, result: errno === 0 ? count : -errno });
      slot.write = null;
      this.#waitList[index] = 0n;
      write.lane.count--;
    });
    return ended;
  }
}

/** Makes a descriptor that leads to where `fd` does, unless they or threads are short. */
function openLane(fd: number): Lane | null {
  if (spareDescriptors(SPARE) < SPARE || spareThreads(SPARE) < SPARE) return null;
  const own = duplicateFd(fd);
  return own === null ? null : { fd: own, count: 0 };
}

/** A `struct timespec { time_t tv_sec; long tv_nsec; }`. */
function timespec(milliseconds: number): Uint8Array<ArrayBuffer> {
  const seconds = Math.floor(milliseconds / 1000);
  const nanoseconds = Math.round((milliseconds - seconds * 1000) * 1e6);
  return new Uint8Array(BigInt64Array.of(BigInt(seconds), BigInt(nanoseconds)).buffer);
}

/** Memory from `mapMemory`. */
interface MappedMemory {
  /** Of the first byte; on a page boundary. */
  readonly address: bigint;
  readonly buffer: ArrayBuffer;
  /** Gives it back; neither C nor views may use it any more. */
  readonly release: () => void;
}

/**
 * Maps memory that stays until it is released or the process ends, even if the worker ends that
 * mapped it.
 *
 * @param bytes Length, > 0.
 * @returns Zeros.
 * @throws {OsError} If there is none.
 */
function mapMemory(bytes: number): MappedMemory {
  // Source: asm-generic/mman-common.h.
  const PROT_READ = 1, PROT_WRITE = 2, MAP_PRIVATE = 0x02, MAP_ANONYMOUS = 0x20;
  const length = BigInt(bytes);
  const flags = MAP_PRIVATE | MAP_ANONYMOUS;
  const address = libc.mmap(null, length, PROT_READ | PROT_WRITE, flags, -1, 0n);
  if (BigInt.asIntN(64, address) === -1n) {
    throw osError(lastErrno(), { syscall: "mmap", path: "" });
  }
  const pointer = Deno.UnsafePointer.create(address)!;
  return {
    address,
    buffer: Deno.UnsafePointerView.getArrayBuffer(pointer, bytes),
    release: () => void libc.munmap(address, length),
  };
}
