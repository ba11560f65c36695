/**
 * Memory for a connection's replies, used again and again: to get new memory for each, and zeros in
 * it, took as long as to copy what is sent.
 *
 * @module
 */

/** Memory that is kept: what several readers with large requests have under way. */
const KEPT_BYTES = 16 * 1024 * 1024;

const LEAST_BYTES = 65_536;

/** Room for the heads of replies, whose bytes are mostly a power of two in number. */
const HEAD_BYTES = 4096;

/** The memory of one connection. */
export class ReplyMemory {
  /** By size, of which there are few. */
  readonly #free = new Map<number, Uint8Array<ArrayBuffer>[]>();
  #freeBytes = 0;

  /** Returns memory of at least so many bytes, with whatever it held before. */
  take(length: number): Uint8Array<ArrayBuffer> {
    const size = sizeFor(length);
    const memory = this.#free.get(size)?.pop();
    if (!memory) return new Uint8Array(size);
    this.#freeBytes -= size;
    return memory;
  }

  /** Takes memory back, which nobody may use any more. */
  giveBack(memory: Uint8Array<ArrayBuffer>): void {
    const size = memory.length;
    if (this.#freeBytes + size > KEPT_BYTES) return;
    this.#freeBytes += size;
    const alike = this.#free.get(size);
    if (alike) alike.push(memory);
    else this.#free.set(size, [memory]);
  }
}

function sizeFor(length: number): number {
  let size = LEAST_BYTES;
  while (HEAD_BYTES + size < length) size *= 2;
  return HEAD_BYTES + size;
}
