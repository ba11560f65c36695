/**
 * Pages in a worker's own memory: chunks are decoded to where they are read from, without a copy.
 *
 * The memory is that of the worker's codec. It is shared, so that the main thread can read pages
 * there and grow it for more. It lives as long as anything refers to it, so pages outlive their
 * worker. The kernel is asked for huge pages: faulting 1.5 GiB in by 4 KiB took the workers 0.3 s
 * more of processor time.
 *
 * @module
 */

import { adviseHugePages } from "../linux/files.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import type { WorkerMemory } from "./messages.ts";

/** WebAssembly's unit of memory. */
const WASM_PAGE_BYTES = 65_536;

/** Blocks by which memory grows at a time. It takes address space only until it is written to. */
const GROWTH_BLOCKS = 16;

/** The memory of a page. */
export interface PageBlock {
  /** CHUNK_BYTES. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /**
   * The worker's memory that holds it, and the number of the output buffer there; `null` if it has
   * memory of its own.
   */
  readonly home: { readonly memory: PageMemory; readonly output: number } | null;
}

/** A worker's memory. */
export class PageMemory {
  readonly #memory: WebAssembly.Memory;
  readonly #firstOutput: number;
  readonly #start: number;
  readonly #span: number;
  #taken = 0;

  constructor({ memory, firstOutput, start, span }: Omit<WorkerMemory, "type">) {
    this.#memory = memory;
    this.#firstOutput = firstOutput;
    this.#start = start;
    this.#span = span;
  }

  /** Returns a new block; `null` if the memory cannot grow any more. */
  takeBlock(): PageBlock | null {
    const at = this.#start + this.#taken * this.#span;
    if (at + this.#span > this.#memory.buffer.byteLength && !this.#grow()) return null;
    // The type does not say that this memory is shared.
    const buffer = this.#memory.buffer as SharedArrayBuffer;
    const output = this.#firstOutput + this.#taken++;
    return { bytes: new Uint8Array(buffer, at, CHUNK_BYTES), home: { memory: this, output } };
  }

  #grow(): boolean {
    const before = this.#memory.buffer.byteLength;
    try {
      this.#memory.grow(Math.ceil(GROWTH_BLOCKS * this.#span / WASM_PAGE_BYTES));
    } catch (error) {
      // The limit of 4 GiB, or of the address space.
      if (error instanceof RangeError) return false;
      throw error;
    }
    adviseHugePages(new Uint8Array(this.#memory.buffer, before));
    return true;
  }
}
