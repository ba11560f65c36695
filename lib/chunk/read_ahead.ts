/**
 * Has chunk files read ahead by threads that decode nothing, for storage so slow that opening a
 * file would hold a decoding worker up. On the main thread of a restore, check or mount.
 *
 * @module
 */

import { descriptorLimit, spareThreads } from "../linux/headroom.ts";
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

/**
 * Threads that must be left before any is taken for this: the runtime aborts the process where it
 * gets none. Writes in flight take some of them too (`linux/write_queue.ts`).
 */
const LEAST_SPARE_THREADS = MOST_AT_A_TIME + 16;

/**
 * From so many files that wait on, those that nobody wants any more are dropped at once, not when
 * it is their turn: while eight files hang, that may never come. More are never wanted at a time.
 */
const MANY_WAITING = 1024;

/** What the system has left; tests replace it. */
export interface ReadAheadRoom {
  readonly descriptorLimit: () => number;
  /** Is told how many are wanted and need not look further. */
  readonly threads: (wanted: number) => number;
}

const SYSTEM: ReadAheadRoom = { descriptorLimit, threads: spareThreads };

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
  readonly #room: ReadAheadRoom;
  #isOver = false;

  /**
   * @param read Default: really reads; tests replace it. Never rejected.
   * @param room Default: that of the real system.
   */
  constructor(read: typeof readChunkFileAhead = readChunkFileAhead, room = SYSTEM) {
    this.#read = read;
    this.#room = room;
  }

  /**
   * Has a file read ahead, now or after others.
   *
   * @returns `false` if descriptors or threads are short; then nothing was done.
   */
  add(file: FileAhead): boolean {
    if (!this.#hasRoom()) return false;
    if (this.#waiting.length >= MANY_WAITING) {
      this.#waiting = this.#waiting.filter(({ isWanted }) => isWanted());
    }
    this.#waiting.push(file);
    this.#begin();
    return true;
  }

  /** Reads no more. @returns When nothing goes on, which takes as long as the storage likes. */
  async end(): Promise<void> {
    this.#isOver = true;
    this.#waiting = [];
    await Promise.all(this.#reading);
  }

  #hasRoom(): boolean {
    if (this.#room.descriptorLimit() < LEAST_DESCRIPTOR_LIMIT) return false;
    // The question takes half a millisecond, so it is not asked while its threads are in use.
    return this.#reading.size > 0 ||
      this.#room.threads(LEAST_SPARE_THREADS) >= LEAST_SPARE_THREADS;
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
