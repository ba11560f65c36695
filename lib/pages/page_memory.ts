/**
 * Pages in a worker's own memory: chunks are decoded where they are read from, without a copy
 * between.
 *
 * The memory is that of the worker's codec. It is shared, so that the main thread reads pages
 * there, and grows it for more of them; it lives as long as anybody refers to it, so a page
 * outlives its worker. Huge pages are asked for: to fault 1.5 GiB in by 4 KiB took the workers 0.3
 * s of processor time more.
 *
 * @module
 */

import { adviseHugePages } from "../linux/files.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import type { WorkerMemory } from "./messages.ts";

/** WebAssembly's unit of memory. */
const WASM_PAGE_BYTES = 65_536;

/**
 * Blocks by which memory grows at a time. Address space only: the kernel gives memory when it is
 * written to.
 */
const GROWTH_BLOCKS = 16;

/** Memory of a page. */
export interface PageBlock {
  /** CHUNK_BYTES. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /**
   * The worker's memory in which it lies, and which of the output buffers there it is; `null` if it
   * lies by itself.
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

  /** Returns a block that was not taken before; `null` if the memory cannot grow any more. */
  takeBlock(): PageBlock | null {
    const at = this.#start + this.#taken * this.#span;
    if (at + this.#span > this.#memory.buffer.byteLength && !this.#grow()) return null;
    // The type does not know that this memory is shared.
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
