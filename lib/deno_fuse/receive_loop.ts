/**
 * Step 1 of a request: the memory into which libfuse reads it from the kernel.
 *
 * libfuse allocates such memory (about 1 MiB) where `fuse_buf.mem` is NULL, and reads into it again
 * where it is not. Memory that a handler still looks at (the data of a write) is taken out of its
 * buffer, which then gets other memory.
 *
 * @module
 */

import { libc } from "../linux/libc.ts";
import { FUSE_BUF } from "./structs.ts";

/** Frees memory that libfuse allocated. */
export function freeMemory(address: bigint): void {
  libc.free(Deno.UnsafePointer.create(address));
}

/** A `struct fuse_buf` and the memory it names, which it owns. */
export class ReceiveBuffer {
  /** The struct, for libfuse. The session keeps it reachable while a call may write to it. */
  readonly struct: Uint8Array<ArrayBuffer> = new Uint8Array(FUSE_BUF.bytes);
  readonly #fields = new DataView(this.struct.buffer);

  /** Takes the memory out; the caller owns it. Returns 0n if there was none. */
  takeMemory(): bigint {
    const address = this.#fields.getBigUint64(FUSE_BUF.mem, true);
    this.#fields.setBigUint64(FUSE_BUF.mem, 0n, true);
    return address;
  }

  /** Frees the memory; the next receiving allocates again. */
  free(): void {
    const address = this.takeMemory();
    if (address !== 0n) freeMemory(address);
  }
}
