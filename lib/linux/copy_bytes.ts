/**
 * Copies bytes between memory that workers share and other memory.
 *
 * @module
 */

import { libc } from "./libc.ts";

/** From so many bytes on a call of C costs less than it saves. */
const LEAST_BYTES = 4096;

/**
 * Copies as `target.set(source)` does. From or to shared memory that takes V8 three times as long
 * as other memory, since it copies there word by word, as a program with threads may watch.
 *
 * @param target At least as long as `source`, and other memory.
 */
export function copyBytes(target: Uint8Array, source: Uint8Array): void {
  const isShared = isSharedMemory(source) || isSharedMemory(target);
  if (!isShared || source.length < LEAST_BYTES) return target.set(source);
  if (source.length > target.length) throw new RangeError("There is no room for the bytes");
  libc.memcpy(
    target as Uint8Array<ArrayBuffer>,
    source as Uint8Array<ArrayBuffer>,
    BigInt(source.length),
  );
}

function isSharedMemory({ buffer }: Uint8Array): boolean {
  return buffer instanceof SharedArrayBuffer;
}
