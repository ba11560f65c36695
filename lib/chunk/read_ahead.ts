/**
 * Has chunk files read ahead by threads that decode nothing, for storage so slow that opening a
 * file would hold a decoding worker up. On the main thread of a restore, check or mount.
 *
 * @module
 */

import { descriptorLimit } from "../linux/headroom.ts";
import { readChunkFileAhead } from "./chunk_file.ts";

/**
 * Files that are opened and asked for at a time. More gain nothing (docs/performance.md), and each
 * takes a descriptor and one of the 32 threads of the runtime's pool.
 */
const MOST_AT_A_TIME = 8;

/**
 * With a lower limit of descriptors, all are left to those who must have them: 24 workers and a
 * restore need some 200.
 */
const LEAST_DESCRIPTOR_LIMIT = 256;

/** A chunk file to be read ahead. */
export interface FileAhead {
  /** Directory with `chunks` below it. */
  readonly dir: string;
  /** 32 lower-case hex digits. */
  readonly id: string;
  /** Whether it still is to be read; asked before each step. */
  readonly isWanted: () => boolean;
}

/** Chunk files that are being read ahead, in the order in which they were asked for. */
export class ReadAhead {
  readonly #read: typeof readChunkFileAhead;
  #waiting: FileAhead[] = [];
  readonly #reading = new Set<Promise<void>>();
  readonly #descriptorLimit: () => number;
  #isOver = false;

  /**
   * @param read Default: really reads; tests replace it. Never rejected.
   * @param limit How many descriptors there may be; tests replace it.
   */
  constructor(read: typeof readChunkFileAhead = readChunkFileAhead, limit = descriptorLimit) {
    this.#read = read;
    this.#descriptorLimit = limit;
  }

  /** Has a file read ahead, now or when there is room. */
  add(file: FileAhead): void {
    if (this.#descriptorLimit() < LEAST_DESCRIPTOR_LIMIT) return;
    this.#waiting.push(file);
    this.#begin();
  }

  /** Reads no more. @returns When nothing goes on, which takes as long as the storage likes. */
  async end(): Promise<void> {
    this.#isOver = true;
    this.#waiting = [];
    await Promise.all(this.#reading);
  }

  #begin(): void {
    while (this.#reading.size < MOST_AT_A_TIME) {
      const file = this.#waiting.shift();
      if (!file) return;
      const isWanted = () => !this.#isOver && file.isWanted();
      if (!isWanted()) continue;
      const reading = this.#read(file, isWanted).then(() => {
        this.#reading.delete(reading);
        this.#begin();
      });
      this.#reading.add(reading);
    }
  }
}
