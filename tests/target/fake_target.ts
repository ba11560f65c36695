/**
 * A target in memory behind the system calls that write to one.
 *
 * @module
 */

import { Errno, osError } from "../../lib/linux/errno.ts";
import { FallocateMode } from "../../lib/linux/file_space.ts";
import type {
  DescriptorCalls,
  DescriptorHandle,
  ZeroPolicy,
} from "../../lib/target/descriptor_io.ts";
import type { StreamCalls } from "../../lib/target/stream_writer.ts";
import type { StreamHandle } from "../../lib/target/target.ts";
import { descriptorHandle } from "./handles.ts";

/** The modes of `fallocate` that zero a range. */
export const PUNCH = FallocateMode.PUNCH_HOLE | FallocateMode.KEEP_SIZE;
export const ZERO = FallocateMode.ZERO_RANGE | FallocateMode.KEEP_SIZE;

/** A target in memory whose calls may be made to fail. */
export class FakeTarget implements DescriptorCalls, StreamCalls {
  readonly content: Uint8Array;
  readonly calls: string[] = [];
  /** Longest transfer of one call. */
  transferBytes = Infinity;
  /** What fallocate answers, by mode; 0 by default. */
  fallocateErrno = new Map<number, number>();
  /** Byte from which on writing fails, and how. */
  failAt = Infinity;
  failErrno: number = Errno.ENOSPC;
  /** Answers of the next writes, before any byte is taken: an errno each. */
  writeErrnos: number[] = [];
  /** Whether zeros can be spliced: the target is a pipe. */
  isPipe = false;
  #position = 0;

  constructor(bytes: number) {
    this.content = new Uint8Array(bytes).fill(0xaa);
  }

  pwriteSome = (_fd: number, view: Uint8Array, offset: number, path = ""): number => {
    if (offset >= this.failAt) throw osError(this.failErrno, { syscall: "write", path });
    const count = Math.min(view.length, this.transferBytes, this.failAt - offset);
    this.content.set(view.subarray(0, count), offset);
    this.calls.push(`pwrite ${offset}+${count}`);
    return count;
  };

  writeSome = (fd: number, view: Uint8Array, path = ""): number => {
    const errno = this.writeErrnos.shift();
    if (errno) throw osError(errno, { syscall: "write", path });
    const count = this.pwriteSome(fd, view, this.#position, path);
    this.#position += count;
    return count;
  };

  tryFallocate = (_fd: number, mode: number, range: { offset: number; length: number }): number => {
    const { offset, length } = range;
    this.calls.push(`${mode === PUNCH ? "punch" : "zero"} ${offset}+${length}`);
    const errno = this.fallocateErrno.get(mode) ?? 0;
    if (errno === 0) this.content.fill(0, offset, offset + length);
    return errno;
  };

  pollWritable = (): boolean => {
    this.calls.push("poll");
    return true;
  };

  trySpliceZeros = (_fd: number, bytes: number): number => {
    if (!this.isPipe) return -Errno.EBADF;
    const errno = this.writeErrnos.shift();
    if (errno) return -errno;
    const count = Math.min(bytes, this.transferBytes);
    this.content.fill(0, this.#position, this.#position + count);
    this.calls.push(`splice ${this.#position}+${count}`);
    this.#position += count;
    return count;
  };

  /** The target as a device. */
  device(zeroPolicy: ZeroPolicy = "deallocate", blockBytes = 512): DescriptorHandle {
    return descriptorHandle({ fd: 99, path: "/dev/x\n", zeroPolicy, blockBytes });
  }

  /** The target as a stream. */
  stream(): StreamHandle {
    return { access: "stream", fd: 99, path: "/dev/x\n" };
  }
}
