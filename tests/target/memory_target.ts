/**
 * A target that is not behind a descriptor: memory that all threads share. It shows that a new kind
 * of block target is one file, a row of `BLOCK_KINDS` and a row of `NAMED_OUTPUTS`. It also holds
 * its callers to the contract of `BlockIo`: all writes stay in flight until they are drained, and
 * their errors come late.
 *
 * `memory_worker.ts` is a worker that knows it.
 *
 * @module
 */

import { TargetError } from "../../lib/errors.ts";
import { type BlockIo, type KnownRange, requireInside } from "../../lib/target/block_io.ts";
import type { BlockIoOptions } from "../../lib/target/block_io.ts";
import { BLOCK_KINDS } from "../../lib/target/block_kinds.ts";
import { NAMED_OUTPUTS } from "../../lib/target/preflight.ts";
import type {
  BlockHandle,
  CheckedTarget,
  PreflightOptions,
  Target,
} from "../../lib/target/target.ts";
import { refusal } from "../../lib/target/wording.ts";

const PREFIX = "memory:";

/** What is known of the memory without reading is told in pieces of this size. */
const PIECE_BYTES = 1_048_576;

/** Memory as plain data. */
export interface MemoryHandle extends BlockHandle {
  readonly kind: "memory";
  readonly buffer: SharedArrayBuffer;
  /** Whether it holds zeros wherever nothing was written. */
  readonly isZeroed: boolean;
  /** Byte that cannot be written; `null` if all can. */
  readonly badByte: number | null;
}

interface Write {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly offset: number;
}

class MemoryIo implements BlockIo {
  readonly tellsZeros = true;
  readonly #handle: MemoryHandle;
  readonly #options: BlockIoOptions;
  readonly #memory: Uint8Array<SharedArrayBuffer>;
  #inFlight: Write[] = [];

  constructor(handle: MemoryHandle, options: BlockIoOptions) {
    this.#handle = handle;
    this.#options = options;
    this.#memory = new Uint8Array(handle.buffer);
  }

  write(bytes: Uint8Array<ArrayBuffer>, offset: number): void {
    requireInside(this.#options.extent, offset, bytes.length);
    this.#inFlight.push({ bytes, offset });
  }

  zero(offset: number, length: number): number {
    if (!this.#handle.isZeroed) return this.clear(offset, length);
    requireInside(this.#options.extent, offset, length);
    return 0;
  }

  clear(offset: number, length: number): number {
    requireInside(this.#options.extent, offset, length);
    this.#memory.fill(0, offset, offset + length);
    return 0;
  }

  read(buffer: Uint8Array<ArrayBuffer>, offset: number, length: number): boolean {
    const end = offset + length;
    for (const { bytes, offset: start } of this.#inFlight) {
      if (start < end && offset < start + bytes.length) throw new TypeError("Not drained");
    }
    const found = this.#memory.subarray(offset, end);
    buffer.set(found);
    return found.length === length;
  }

  /** Knows every second piece if it is zeros, and what lies behind the end. */
  *ranges(offset: number, length: number): Generator<KnownRange, void> {
    const end = offset + length, size = this.#memory.length;
    for (let at = offset, next: number; at < end; at = next) {
      const piece = Math.floor(at / PIECE_BYTES);
      next = Math.min(end, (piece + 1) * PIECE_BYTES, at < size ? size : Infinity);
      const isKnown = piece % 2 === 1 && this.#memory.subarray(at, next).every((byte) => !byte);
      const content = at >= size ? "missing" : isKnown ? "zeros" : "unknown";
      yield { offset: at, length: next - at, content };
    }
  }

  /** As late as allowed: all other writes stay in flight. */
  drain(buffer?: Uint8Array<ArrayBuffer>): void {
    const { path, badByte } = this.#handle;
    const isMeant = ({ bytes }: Write) =>
      !buffer || (bytes.buffer === buffer.buffer && bytes.byteOffset >= buffer.byteOffset &&
        bytes.byteOffset < buffer.byteOffset + buffer.byteLength);
    const writes = this.#inFlight.filter(isMeant);
    this.#inFlight = this.#inFlight.filter((write) => !isMeant(write));
    for (const { bytes, offset } of writes) {
      if (badByte !== null && offset <= badByte && badByte < offset + bytes.length) {
        throw new TargetError(`Cannot write "${path}" at byte ${badByte}: it is bad`, {
          path,
          offset: badByte,
        });
      }
      this.#memory.set(bytes, offset);
    }
  }

  [Symbol.dispose](): void {
    this.#inFlight = [];
  }
}

/** Makes the kind known to this thread. */
export function registerMemoryKind(): void {
  BLOCK_KINDS["memory"] = {
    open: (handle: MemoryHandle, options) => new MemoryIo(handle, options),
  };
}

/** A target in memory, which `memory:NAME` names as long as it is not disposed of. */
export class MemoryTarget implements Disposable {
  readonly output: string;
  /** What it holds. */
  readonly content: Uint8Array<SharedArrayBuffer>;
  /** What was done with it by the main thread. */
  readonly calls: string[] = [];
  badByte: number | null = null;
  readonly #isZeroed: boolean;

  /** @param content What it holds before; `null`: nothing but zeros, which are relied on. */
  constructor(name: string, bytes: number, content: Uint8Array | null = null) {
    this.output = PREFIX + name;
    this.content = new Uint8Array(new SharedArrayBuffer(bytes));
    if (content) this.content.set(content);
    this.#isZeroed = content === null;
    NAMED_OUTPUTS.push({
      isNamedBy: (output) => output === this.output,
      check: (output, options) => this.#check(output, options),
    });
  }

  #check(path: string, { extent }: PreflightOptions): CheckedTarget {
    const bytes = this.content.length;
    if (bytes < extent.end) throw refusal(path, `it has ${bytes} bytes only`);
    return {
      path,
      kind: "memory",
      access: "random",
      isNew: false,
      warnings: [],
      open: () => Promise.resolve(this.#open()),
      [Symbol.dispose]: () => {},
    };
  }

  #open(): Target {
    const handle: MemoryHandle = {
      access: "random",
      kind: "memory",
      path: this.output,
      buffer: this.content.buffer,
      isZeroed: this.#isZeroed,
      badByte: this.badByte,
    };
    const call = (name: string) => {
      this.calls.push(name);
      return Promise.resolve();
    };
    return {
      failure: null,
      handle,
      flush: () => call("flush"),
      settle: () => call("settle").then(() => null),
      comparable: ({ isWritten = false } = {}) => {
        const compared: MemoryHandle = { ...handle, isZeroed: this.#isZeroed && !isWritten };
        return compared;
      },
      finish: () => call("finish"),
      close: () => {},
    };
  }

  [Symbol.dispose](): void {
    const at = NAMED_OUTPUTS.findIndex(({ isNamedBy }) => isNamedBy(this.output));
    NAMED_OUTPUTS.splice(at, 1);
  }
}
