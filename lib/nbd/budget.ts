/**
 * Bounds what the server has under way for its clients: for each, and for all together.
 *
 * Each client has a share of its own, so that those that do not go on hold up nobody else; what is
 * left is there for whoever asks first. Pure.
 *
 * @module
 */

import type { Page } from "../pages/page_pool.ts";
import { CHUNK_BYTES } from "../store/layout.ts";

/** What a request takes of the budget at most: longer ones are served piece by piece. */
export const PIECE_BYTES = CHUNK_BYTES;

/** What a request takes at least: so many small ones may be under way. */
const REQUEST_COST = 65_536;

/**
 * Bytes that may be under way for one client. More would gain nothing, as chunks are loaded ahead
 * of sequential readers, but take more memory, which the kernel has to clear.
 */
const CLIENT_BYTES = 16 * 1024 * 1024;

/** Bytes that all clients may have under way beyond their own shares. */
const COMMON_BYTES = 256 * 1024 * 1024;

/** The budget of a server. With 64 clients it is at most 512 MiB. */
export class Budget {
  readonly #maxPages: number;
  readonly #pages = new Map<Page, number>();
  #commonBytes = 0;
  #usedBytes = 0;

  /**
   * @param pagesBytes Bound of the pages that are sent from where they are: so many are kept from
   *   eviction at most.
   */
  constructor(pagesBytes: number) {
    this.#maxPages = Math.floor(pagesBytes / CHUNK_BYTES);
  }

  /** Whether nothing is under way for any client. */
  get isIdle(): boolean {
    return this.#usedBytes === 0;
  }

  /** Returns a new client's share. */
  share(): Share {
    return new Share((bytes, commonBytes) => {
      if (commonBytes > 0 && this.#commonBytes + commonBytes > COMMON_BYTES) return false;
      this.#usedBytes += bytes;
      this.#commonBytes += commonBytes;
      return true;
    });
  }

  /**
   * Asks to keep pages until they are sent.
   *
   * @returns Whether they may be kept; then {@linkcode endKeeping} must be called once. Otherwise
   *   what is to be sent must be copied.
   */
  mayKeep(pages: readonly Page[]): boolean {
    const added = pages.filter((page) => !this.#pages.has(page)).length;
    if (this.#pages.size + added > this.#maxPages) return false;
    for (const page of pages) this.#pages.set(page, (this.#pages.get(page) ?? 0) + 1);
    return true;
  }

  /** Gives up pages that were kept. */
  endKeeping(pages: readonly Page[]): void {
    for (const page of pages) {
      const count = this.#pages.get(page)! - 1;
      if (count > 0) this.#pages.set(page, count);
      else this.#pages.delete(page);
    }
  }
}

/** What is under way for one client. */
export class Share {
  /** Takes bytes, some of them of what is there for all; below 0 to give them back. */
  readonly #takeBytes: (bytes: number, commonBytes: number) => boolean;
  #used = 0;
  #lessened = Promise.withResolvers<void>();

  constructor(takeBytes: (bytes: number, commonBytes: number) => boolean) {
    this.#takeBytes = takeBytes;
  }

  /** Bytes under way. */
  get used(): number {
    return this.#used;
  }

  /**
   * Waits until there is room for a request; one caller at a time.
   *
   * @param bytes Number of bytes that are read or written.
   * @returns What {@linkcode leave} is to be called with, once, when it is done.
   */
  async enter(bytes: number): Promise<number> {
    const cost = Math.max(REQUEST_COST, Math.min(bytes, PIECE_BYTES));
    while (!this.#take(cost)) await this.#lessened.promise;
    return cost;
  }

  leave(cost: number): void {
    const before = this.#used;
    this.#used -= cost;
    this.#takeBytes(-cost, beyondOwn(this.#used) - beyondOwn(before));
    this.#lessened.resolve();
    this.#lessened = Promise.withResolvers<void>();
  }

  /** Waits until a request is done, but no longer than that. */
  async pause(ms: number): Promise<void> {
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, ms);
    await Promise.race([this.#lessened.promise, timeout.promise]);
    clearTimeout(timer);
  }

  /** Waits until nothing is under way. */
  async empty(): Promise<void> {
    while (this.#used > 0) await this.#lessened.promise;
  }

  #take(cost: number): boolean {
    const after = this.#used + cost;
    if (after > CLIENT_BYTES) return false;
    const common = beyondOwn(after) - beyondOwn(this.#used);
    if (!this.#takeBytes(cost, common)) return false;
    this.#used = after;
    return true;
  }
}

/** What a client takes beyond its own share, of one piece: any request finds room in time. */
function beyondOwn(bytes: number): number {
  return Math.max(0, bytes - PIECE_BYTES);
}
