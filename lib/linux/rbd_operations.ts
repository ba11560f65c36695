/**
 * Operations on an image in a Ceph cluster that librbd does in its own threads, while the thread
 * that began them goes on. `rbd.ts` opens images.
 *
 * @module
 */

import { Errno, osError } from "./errno.ts";
import { libc } from "./libc.ts";
import { openLibrbd } from "./librbd.ts";

/** A pointer of C that is not NULL. */
export type Pointer = NonNullable<Deno.PointerValue>;

/** @returns The result. @throws {OsError} If it is a negative errno. */
export function succeeded(name: string, result: number | bigint): number {
  const value = Number(result);
  if (value < 0) throw osError(-value, { syscall: name, path: "" });
  return value;
}

/** A place for C to put a number or a pointer. */
export class Out {
  readonly words: BigUint64Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;

  /** @param value What C finds there. */
  constructor(value = 0) {
    this.words = BigUint64Array.of(BigInt(value));
    this.bytes = new Uint8Array(this.words.buffer);
  }

  get number(): number {
    return Number(this.words[0]!);
  }

  get pointer(): Pointer {
    return pointerAt(this.number);
  }
}

export function pointerAt(address: number): Pointer {
  const pointer = Deno.UnsafePointer.create(BigInt(address));
  if (pointer === null) throw new TypeError("Cannot use a null pointer");
  return pointer;
}

/** Longest pause between two looks at an operation on the main thread. */
const MAX_POLL_MS = 20;

/**
 * Waits for an operation while the event loop goes on.
 *
 * @param isTaken Whether somebody else has taken the operation meanwhile; then waiting ends.
 * @throws {OsError} If it fails.
 */
export async function completed(
  operation: RbdOperation,
  isTaken: () => boolean = () => false,
): Promise<void> {
  for (let pollMs = 1; !operation.isComplete; pollMs = Math.min(2 * pollMs, MAX_POLL_MS)) {
    await new Promise((resolve) => setTimeout(resolve, pollMs));
    if (isTaken()) return;
  }
  operation.take();
}

const nap = new Int32Array(new SharedArrayBuffer(4));

/**
 * Waits for an operation without the event loop.
 *
 * @returns Whether it is complete; `false` if waiting was given up. (librbd's own wait cannot be.)
 */
export function waitFor(operation: RbdOperation, shouldStop: () => boolean): boolean {
  while (!operation.isComplete) {
    if (shouldStop()) return false;
    Atomics.wait(nap, 0, 0, 1);
  }
  return true;
}

/** Something that librbd does in its own threads. */
export class RbdOperation {
  readonly #name: string;
  readonly #completion: Pointer;

  private constructor(name: string, completion: Pointer) {
    this.#name = name;
    this.#completion = completion;
  }

  /** Begins an operation. @throws {OsError} If it cannot begin. */
  static begin(name: string, start: (completion: Pointer) => number): RbdOperation {
    const { rbd } = openLibrbd();
    const out = new Out();
    succeeded(
      "rbd_aio_create_completion",
      rbd.rbd_aio_create_completion(null, null, out.bytes),
    );
    const operation = new RbdOperation(name, out.pointer);
    const result = start(out.pointer);
    if (result < 0) operation.abandon();
    succeeded(name, result);
    return operation;
  }

  get isComplete(): boolean {
    return openLibrbd().rbd.rbd_aio_is_complete(this.#completion) !== 0;
  }

  /**
   * Frees a complete operation. Call this or {@linkcode abandon} once.
   *
   * @returns Its result, >= 0.
   * @throws {OsError} If it failed.
   */
  take(): number {
    const result = openLibrbd().rbd.rbd_aio_get_return_value(this.#completion);
    this.abandon();
    return succeeded(this.#name, result);
  }

  /** Takes no more interest in an operation, which goes on. */
  abandon(): void {
    openLibrbd().rbd.rbd_aio_release(this.#completion);
  }
}

/** Whether this release can zero ranges exactly. */
export function canWriteZeroes(): boolean {
  return openLibrbd().rbd.rbd_aio_write_zeroes !== null;
}

/** RBD_WRITE_ZEROES_FLAG_THICK_PROVISION: what is zeroed keeps, or gets, its storage. */
const THICK = 1;

/** An image as a thread that does not own it uses it. Ranges must lie within the image. */
export class RbdAccess implements Disposable {
  readonly #image: Pointer;
  /** What is read goes here first: unlike a worker's own memory, it outlives the worker. */
  #buffer: Pointer | null = null;
  #bufferBytes = 0;

  /** @param address Of an {@linkcode RbdImage}, which must stay open. */
  constructor(address: number) {
    this.#image = pointerAt(address);
  }

  /**
   * Begins to write bytes, of which librbd makes a copy (`rbd_disable_zero_copy_writes`).
   *
   * @throws {OsError} If it cannot begin.
   */
  beginWrite(bytes: Uint8Array<ArrayBuffer>, offset: number): RbdOperation {
    const { rbd } = openLibrbd();
    const start = BigInt(offset), length = BigInt(bytes.length);
    return RbdOperation.begin(
      "rbd_aio_write",
      (completion) => rbd.rbd_aio_write(this.#image, start, length, bytes, completion),
    );
  }

  /** Begins to zero a range. @throws {OsError} If it cannot begin. */
  beginZero(offset: number, length: number, { isThick }: { isThick: boolean }): RbdOperation {
    const writeZeroes = openLibrbd().rbd.rbd_aio_write_zeroes!;
    const start = BigInt(offset), flags = isThick ? THICK : 0;
    return RbdOperation.begin(
      "rbd_aio_write_zeroes",
      (completion) => writeZeroes(this.#image, start, BigInt(length), completion, flags, 0),
    );
  }

  /**
   * Reads bytes.
   *
   * @param shouldStop Asked before, and during the wait for them.
   * @returns Number of bytes read; `null` if it was stopped.
   * @throws {OsError} If reading fails.
   */
  read(
    into: Uint8Array<ArrayBuffer>,
    offset: number,
    shouldStop: () => boolean,
  ): number | null {
    if (shouldStop()) return null;
    const { rbd } = openLibrbd();
    const buffer = this.#bufferOf(into.length);
    const start = BigInt(offset), length = BigInt(into.length);
    const operation = RbdOperation.begin(
      "rbd_aio_read",
      (completion) => rbd.rbd_aio_read(this.#image, start, length, buffer, completion),
    );
    if (!waitFor(operation, shouldStop)) {
      operation.abandon();
      // It may be written to for as long as the process lives.
      this.#buffer = null;
      this.#bufferBytes = 0;
      return null;
    }
    const count = operation.take();
    Deno.UnsafePointerView.copyInto(buffer, into.subarray(0, count));
    return count;
  }

  [Symbol.dispose](): void {
    if (this.#buffer !== null) libc.free(this.#buffer);
    this.#buffer = null;
    this.#bufferBytes = 0;
  }

  #bufferOf(bytes: number): Pointer {
    if (this.#buffer !== null && this.#bufferBytes >= bytes) return this.#buffer;
    this[Symbol.dispose]();
    const buffer = libc.malloc(BigInt(bytes));
    if (buffer === null) throw osError(Errno.ENOMEM, { syscall: "malloc", path: "" });
    this.#buffer = buffer;
    this.#bufferBytes = bytes;
    return buffer;
  }
}
