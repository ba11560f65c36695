/**
 * Joins the pages that a read touches to the bytes that it returns, without a copy.
 *
 * @module
 */

import { copyBytes } from "../linux/copy_bytes.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import type { Page } from "../pages/page_pool.ts";

/**
 * The content of absent chunks, small enough for a CPU's cache and repeated as needed. It is filled
 * so that it has memory of its own: from the shared zero page, which stands for memory that was
 * never written, the kernel copies by its slow path only (0.5 µs for 4 KiB).
 */
const ZEROS = new Uint8Array(new SharedArrayBuffer(65_536)).fill(0);

/** Bytes that were read. */
export interface ReadBytes {
  /** Their parts in order. They must not be changed. */
  readonly views: readonly Uint8Array[];
  /** The pages in which they are; none for zeros. Held until {@linkcode release}. */
  readonly pages: readonly Page[];
  /** To be called once, when the bytes are not needed any more: they may be overwritten then. */
  release(): void;
}

/** Waits for all pages. If one fails, the others are released. */
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
  const held = pages.filter((page) => page !== null);
  return {
    views,
    pages: held,
    release: () => {
      for (const page of held) page.release();
    },
  };
}

/** Returns a copy of bytes that were read, owned by the caller, and releases them. */
export function joined({ views, release }: Omit<ReadBytes, "pages">): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(views.reduce((sum, view) => sum + view.length, 0));
  let at = 0;
  for (const view of views) {
    copyBytes(bytes.subarray(at), view);
    at += view.length;
  }
  release();
  return bytes;
}

/** Returns views that together are `length` zeros. */
function zeros(length: number): Uint8Array[] {
  const views = Array<Uint8Array>(Math.floor(length / ZEROS.length)).fill(ZEROS);
  return [...views, ZEROS.subarray(0, length % ZEROS.length)];
}
