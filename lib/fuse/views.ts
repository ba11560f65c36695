/**
 * The files that show bytes of one image: the whole and its partitions. The kernel caches the
 * content of each by itself, so what is written through one must be dropped from the others. Pure.
 *
 * An open file's cached pages are invalidated after each write through another one. A closed one's
 * are dropped when it is opened again. As long as nothing is written, all stay cached.
 *
 * @module
 */

import type { Image } from "../image_access/image.ts";

/** A file that shows a range of an image. */
export class View {
  /** Its inode number. */
  readonly ino: number;
  /** First byte in the image. */
  readonly start: number;
  /** Length in bytes; `null` for the whole image. */
  readonly bytes: number | null;
  #openCount = 0;
  #isStale = false;

  constructor(ino: number, start: number, bytes: number | null) {
    this.ino = ino;
    this.start = start;
    this.bytes = bytes;
  }

  get isOpen(): boolean {
    return this.#openCount > 0;
  }

  /**
   * Finds the first offset in the file, from `offset` on, with data or a hole.
   *
   * @param image The image that it shows.
   * @returns `null` if `offset` is outside, or if only holes follow it. There is a hole at the end.
   * @throws Whatever `image.seek` throws.
   */
  seek(image: Pick<Image, "seek">, offset: number, wanted: "data" | "hole"): number | null {
    const { start, bytes } = this;
    const isInside = offset >= 0 && (bytes === null || offset < bytes);
    const found = isInside ? image.seek(start + offset, wanted) : null;
    if (found === null) return null;
    if (bytes === null || found - start < bytes) return found - start;
    return wanted === "data" ? null : bytes;
  }

  /** Takes note of an opening. @returns Whether what the kernel has cached is still right. */
  open(): { keepCache: boolean } {
    const keepCache = !this.#isStale;
    this.#openCount++;
    this.#isStale = false;
    return { keepCache };
  }

  /** @param wasRefused The kernel never heard of the opening, and so kept what it had cached. */
  close({ wasRefused }: { wasRefused: boolean }): void {
    this.#openCount--;
    if (wasRefused) this.#isStale = true;
  }

  /** The kernel must not use its cache at the next opening. */
  markStale(): void {
    this.#isStale = true;
  }
}

/** Bytes of a file that the kernel has to drop. */
export interface StaleRange {
  readonly ino: number;
  readonly offset: number;
  readonly length: number;
}

/**
 * Takes note of a write.
 *
 * @param views All files that show the image and were ever opened.
 * @param by The one that was written to; its cached pages are right.
 * @param offset First byte written, in the image.
 * @returns What has to be dropped now: ranges of other files that are open.
 */
export function noteWrite(
  views: Iterable<View>,
  by: View,
  { offset, length }: { offset: number; length: number },
): StaleRange[] {
  const stale: StaleRange[] = [];
  for (const view of views) {
    const start = Math.max(offset, view.start);
    const end = Math.min(offset + length, view.start + (view.bytes ?? Infinity));
    if (view === by || start >= end) continue;
    if (!view.isOpen) view.markStale();
    else stale.push({ ino: view.ino, offset: start - view.start, length: end - start });
  }
  return stale;
}
