/**
 * Chunks that exist in memory only, for code that does not touch files itself. Loading and storing
 * them takes time and fails on demand.
 *
 * @module
 */

import { BackyError, ChunkMissingError, OsError } from "../../lib/errors.ts";
import type { ChunkLocation, Loading, PageLoader } from "../../lib/pages/page_cache.ts";
import type { Page } from "../../lib/pages/page_pool.ts";
import { CHUNK_BYTES, chunkIdFromHex } from "../../lib/store/layout.ts";
import type { RevisionMap } from "../../lib/store/revision_map.ts";

/** Makes a chunk id from a number. */
export function fakeId(number: number): string {
  return (number + 1).toString(16).padStart(32, "a");
}

/** Makes a map in which `null` stands for an absent chunk. */
export function fakeMap(ids: readonly (string | null)[], size: number): RevisionMap {
  const bytes = new Uint8Array(new SharedArrayBuffer(16 * ids.length));
  ids.forEach((id, seq) => id === null || bytes.set(chunkIdFromHex(id), 16 * seq));
  const mappedCount = ids.filter((id) => id !== null).length;
  return { imageBytes: size, seqCount: ids.length, ids: bytes, mappedCount };
}

/** Waits for the next turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** A loader and a store. */
export class FakeChunks implements PageLoader {
  readonly contents = new Map<string, Uint8Array>();
  /** Ids in the order in which they were loaded, failures included. */
  readonly loaded: string[] = [];
  /** Ids that were to be loaded ahead. */
  readonly ahead: string[] = [];
  /** Whether the next load or store fails. */
  shouldFail: () => boolean = () => false;
  /** Awaited before each step. */
  pause: () => Promise<void> = () => Promise.resolve();
  acceptsAhead = true;
  #storedCount = 0;

  load(
    { id }: ChunkLocation,
    { isAhead, takePage }: { isAhead: boolean; takePage: (memory: null) => Page },
  ): Loading | null {
    if (isAhead && !this.acceptsAhead) return null;
    if (isAhead) this.ahead.push(id);
    const load = async () => {
      await this.pause();
      const page = takePage(null);
      // From here on the page is being overwritten, as by a worker.
      page.bytes.fill(0xee);
      this.loaded.push(id);
      await this.pause();
      const content = this.contents.get(id);
      if (!content || this.shouldFail()) throw missing(id);
      page.bytes.set(content);
      return content.length;
    };
    return { done: load(), promote: () => {} };
  }

  async store(page: Page, bytes: number): Promise<string> {
    await this.pause();
    const content = page.bytes.slice(0, bytes);
    await this.pause();
    if (this.shouldFail()) throw noSpace();
    const id = fakeId(1_000_000 + this.#storedCount++);
    this.contents.set(id, content);
    return id;
  }
}

/** The error of a chunk without a file. */
export function missing(chunkId: string): BackyError {
  return new ChunkMissingError(`Cannot read chunk "${chunkId}": there is no file "x"`, {
    chunkId,
    seqs: [],
    path: "x",
  });
}

/** The error of a full file system. */
export function noSpace(): OsError {
  return new OsError('Cannot store chunk in "x": No space left on device (ENOSPC)', {
    errno: 28,
    errnoName: "ENOSPC",
    syscall: "write",
    path: "x",
  });
}

/** Content that is cheap to make and differs between chunks and offsets. */
export function fakeContent(number: number, bytes = CHUNK_BYTES): Uint8Array {
  const words = new Uint32Array(CHUNK_BYTES / 4);
  for (let index = 0; index < words.length; index++) {
    words[index] = Math.imul(index + 1, 2654435761) ^ (number * 0x01010101);
  }
  return new Uint8Array(words.buffer, 0, bytes);
}

/** Whether two views hold the same bytes; faster than a deep comparison. */
export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) {
    if (a[index] !== b[index]) return false;
  }
  return true;
}

/** Joins what a read returned. */
export function join(views: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(views.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const view of views) {
    whole.set(view, offset);
    offset += view.length;
  }
  return whole;
}
