/**
 * Puts together what a read gives from the pages of the chunks that it touches, without a copy.
 *
 * @module
 */

import { CHUNK_BYTES } from "../store/layout.ts";
import type { Page } from "../pages/page_pool.ts";

/**
 * Content of absent chunks, again and again: small enough for a CPU's cache. Filled, so that it has
 * memory of its own: of the page that the kernel shows where nothing was written, it can give away
 * the bytes only by its slow path (0.5 µs for 4 KiB).
 */
const ZEROS = new Uint8Array(new SharedArrayBuffer(65_536)).fill(0);

/** Bytes that were read. */
export interface ReadBytes {
  /** To be joined. They must not be changed. */
  readonly views: readonly Uint8Array[];
  /** To be called once, when the bytes have been used: they may be overwritten from then on. */
  release(): void;
}

/** Waits for all pages. If one fails the others are let go. */
export async function collect(
  pending: readonly (Page | null | Promise<Page | null>)[],
): Promise<(Page | null)[]> {
  const results = await Promise.allSettled(pending);
  const failure = results.find((result) => result.status === "rejected");
  const pages = results.map((result) => result.status === "fulfilled" ? result.value : null);
  if (!failure) return pages;
  for (const page of pages) page?.release();
  throw failure.reason;
}

/** Cuts a range out of the pages of consecutive seqs. */
export function cut(
  pages: readonly (Page | null)[],
  firstSeq: number,
  range: { offset: number; end: number },
): ReadBytes {
  const views = pages.flatMap((page, index) => {
    const offset = (firstSeq + index) * CHUNK_BYTES;
    const start = Math.max(0, range.offset - offset);
    const end = Math.min(CHUNK_BYTES, range.end - offset);
    return page ? page.bytes.subarray(start, end) : zeros(end - start);
  });
  return {
    views,
    release: () => {
      for (const page of pages) page?.release();
    },
  };
}

/** Views that are so many zeros together. */
function zeros(length: number): Uint8Array[] {
  const views = Array<Uint8Array>(Math.floor(length / ZEROS.length)).fill(ZEROS);
  return [...views, ZEROS.subarray(0, length % ZEROS.length)];
}
