/**
 * Writes that go on while the calling thread does something else: Linux's own asynchronous I/O
 * (io_submit(2)), which needs no thread. The kernel keeps hold of the pages that are being written,
 * so they reach the storage even if the thread ends or its memory is given back, and the process
 * does not end before.
 *
 * For descriptors that were opened with O_DIRECT; the kernel does other writes at once, in
 * {@linkcode WriteQueue.submit}.
 *
 * @module
 */

import { retryOnEintr } from "./errno.ts";
import { libc, requireOffset } from "./libc.ts";

/** Byte offsets in `struct iocb` (linux/aio_abi.h), little-endian. */
export const IOCB = {
  aio_data: 0,
  aio_lio_opcode: 16,
  aio_fildes: 20,
  aio_buf: 24,
  aio_nbytes: 32,
  aio_offset: 40,
  bytes: 64,
} as const;

/** Byte offsets in `struct io_event` (linux/aio_abi.h). */
export const IO_EVENT = { data: 0, res: 16, bytes: 32 } as const;

/** Source: linux/aio_abi.h. */
const IOCB_CMD_PWRITE = 1;

/** Numbers of the system calls. Source: asm/unistd_64.h; asm-generic/unistd.h for aarch64. */
const SYS = Deno.build.arch === "aarch64"
  ? { io_setup: 0n, io_destroy: 1n, io_submit: 2n, io_getevents: 4n }
  : { io_setup: 206n, io_destroy: 207n, io_submit: 209n, io_getevents: 208n };

/** A write that has ended. */
export interface EndedWrite {
  /** As it was submitted. */
  readonly tag: number;
  /** Number of bytes that were written, perhaps not all; or the negative errno. */
  readonly result: number;
}

/** Writes in flight. One thread uses it. */
export class WriteQueue implements Disposable {
  readonly #context: bigint;
  readonly #block = new DataView(new ArrayBuffer(IOCB.bytes));
  /** What `io_submit` takes: the addresses of control blocks, of one here. */
  readonly #blocks: Uint8Array<ArrayBuffer>;
  readonly #events: Uint8Array<ArrayBuffer>;
  readonly #capacity: number;

  private constructor(context: bigint, capacity: number) {
    this.#context = context;
    this.#capacity = capacity;
    this.#events = new Uint8Array(new ArrayBuffer(capacity * IO_EVENT.bytes));
    const address = Deno.UnsafePointer.value(
      Deno.UnsafePointer.of(new Uint8Array(this.#block.buffer)),
    );
    this.#blocks = new Uint8Array(BigUint64Array.of(BigInt(address)).buffer);
  }

  /**
   * Makes a queue.
   *
   * @param capacity Number of writes that it holds.
   * @returns `null` if the system gives none: its kernel has no such calls, a filter forbids them,
   *   or other programs have taken them all (fs.aio-max-nr).
   */
  static open(capacity: number): WriteQueue | null {
    const context = new BigUint64Array(1);
    const result = libc.io_setup(SYS.io_setup, capacity, new Uint8Array(context.buffer));
    return result === 0n ? new WriteQueue(context[0]!, capacity) : null;
  }

  /**
   * Begins to write bytes.
   *
   * @param bytes Unchanged by the caller until {@linkcode wait} returns their tag; may be a view of
   *   WebAssembly memory.
   * @param options.offset Where in the file they go.
   * @param options.tag A number, to tell this write by.
   * @returns Whether the kernel has taken it; if not, nothing was done.
   */
  submit(
    fd: number,
    bytes: Uint8Array<ArrayBuffer>,
    { offset, tag }: { offset: number; tag: number },
  ): boolean {
    requireOffset("offset", offset);
    const block = this.#block;
    const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
    block.setBigUint64(IOCB.aio_data, BigInt(tag), true);
    block.setUint16(IOCB.aio_lio_opcode, IOCB_CMD_PWRITE, true);
    block.setUint32(IOCB.aio_fildes, fd, true);
    block.setBigUint64(IOCB.aio_buf, BigInt(address), true);
    block.setBigUint64(IOCB.aio_nbytes, BigInt(bytes.length), true);
    block.setBigInt64(IOCB.aio_offset, BigInt(offset), true);
    // The kernel has read the block when the call returns.
    return libc.io_submit(SYS.io_submit, this.#context, 1n, this.#blocks) === 1n;
  }

  /**
   * Waits until at least one write has ended. There must be one in flight.
   *
   * @throws {OsError} If the kernel cannot tell.
   */
  wait(): EndedWrite[] {
    const count = retryOnEintr(
      () =>
        Number(libc.io_getevents(
          SYS.io_getevents,
          this.#context,
          1n,
          BigInt(this.#capacity),
          this.#events,
          null,
        )),
      { syscall: "io_getevents", path: "" },
    );
    const events = new DataView(this.#events.buffer);
    return Array.from({ length: count }, (_, index) => ({
      tag: Number(events.getBigUint64(index * IO_EVENT.bytes + IO_EVENT.data, true)),
      result: Number(events.getBigInt64(index * IO_EVENT.bytes + IO_EVENT.res, true)),
    }));
  }

  /** Waits for all writes in flight, ignores their results, and gives the queue back. */
  [Symbol.dispose](): void {
    libc.io_destroy(SYS.io_destroy, this.#context);
  }
}
