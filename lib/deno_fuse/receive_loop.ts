/**
 * Receives requests from the kernel, and the memory that libfuse reads them into.
 *
 * A thread of the runtime's pool waits until there are requests, then this thread receives them one
 * by one (`fuse_session_receive_buf`) and has each processed (`fuse_session_process_buf`, by
 * `dispatcher.ts`), in which the callbacks run. The device is nonblocking, so one change of threads
 * serves all requests that the kernel has made meanwhile: it asks for 4 MiB of a file in four
 * requests. Waiting for each separately made a sequential read take a tenth longer.
 *
 * @module
 */

import { setNonblocking, waitReadable } from "../linux/descriptors.ts";
import { Errno, errnoName } from "../linux/errno.ts";
import { libc } from "../linux/libc.ts";
import { MountError } from "./errors.ts";
import type { Libfuse3, SessionPointer } from "./libfuse3.ts";
import type { ErrorListener } from "./mount_options.ts";
import { FUSE_BUF } from "./structs.ts";

/** Requests handled before yielding to the event loop, so that workers' messages get their turn. */
const MAX_BATCH = 8;
/** Failures in a row, with a pause after each, after which the loop gives up. */
const MAX_FAILURES = 10, FAILURE_PAUSE_MS = 100;

/**
 * Receives requests until the mount is gone.
 *
 * @param options.process Processes a request; returns whether there can be more.
 * @param options.onError Must not throw.
 * @throws {MountError} If receiving failed again and again.
 */
export async function receiveRequests(
  library: Libfuse3,
  session: SessionPointer,
  options: {
    mountpoint: string;
    process: (buffer: ReceiveBuffer) => boolean;
    onError: ErrorListener;
  },
): Promise<void> {
  const buffer = new ReceiveBuffer();
  /** Receives what the kernel has asked for. Returns whether there will be more, or what failed. */
  const receiveBatch = (): "end" | "more" | MountError => {
    for (let count = 0; count < MAX_BATCH; count++) {
      const received = library.symbols.fuse_session_receive_buf(session, buffer.struct);
      if (received === 0) return "end";
      if (received > 0) {
        if (!options.process(buffer)) return "end";
      } else if (received === -Errno.EAGAIN) break;
      else if (received !== -Errno.EINTR) {
        const place = `"${options.mountpoint}"`;
        return new MountError(
          `Cannot receive from the kernel for ${place}: ${errnoName(-received)}`,
        );
      }
    }
    return "more";
  };
  try {
    const fd = library.symbols.fuse_session_fd(session);
    setNonblocking(fd, true, "/dev/fuse");
    let failures = 0;
    for (;;) {
      await waitReadable(fd);
      const result = receiveBatch();
      if (result === "end") return;
      if (result === "more") {
        failures = 0;
        continue;
      }
      options.onError(result, "receive");
      if (++failures > MAX_FAILURES) throw result;
      await new Promise((resolve) => setTimeout(resolve, FAILURE_PAUSE_MS));
    }
  } finally {
    buffer.free();
  }
}

/**
 * A `struct fuse_buf` and the memory it names, which it owns.
 *
 * libfuse allocates that memory (about 1 MiB) if `fuse_buf.mem` is NULL, else it reads into it
 * again. Memory that a handler still looks at (the data of a write) is taken out of its buffer,
 * which then gets other memory.
 */
export class ReceiveBuffer {
  /** The struct, for libfuse, which uses it during its calls only. */
  readonly struct: Uint8Array<ArrayBuffer> = new Uint8Array(FUSE_BUF.bytes);
  readonly #fields = new DataView(this.struct.buffer);

  /** Takes the memory out; the caller owns it. Returns 0n if there is none. */
  takeMemory(): bigint {
    const address = this.#fields.getBigUint64(FUSE_BUF.mem, true);
    this.#fields.setBigUint64(FUSE_BUF.mem, 0n, true);
    return address;
  }

  /** Frees the memory; libfuse allocates it again for the next request. */
  free(): void {
    const address = this.takeMemory();
    if (address !== 0n) freeMemory(address);
  }
}

/** Frees memory that libfuse allocated. */
export function freeMemory(address: bigint): void {
  libc.free(Deno.UnsafePointer.create(address));
}
