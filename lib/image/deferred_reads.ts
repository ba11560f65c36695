/**
 * Lets pure functions that read an image synchronously, such as `readImageLayout`, look at one
 * whose bytes must be waited for. Pure.
 *
 * @module
 */

import type { ImageSource } from "./partition.ts";

/** An image whose bytes may have to be waited for. */
export interface DeferredSource {
  /** Size of the image in bytes. */
  readonly bytes: number;
  /** Returns exactly `length` bytes from `offset` on; both are within the image. */
  read(offset: number, length: number): Uint8Array | Promise<Uint8Array>;
}

/** Thrown through the function that reads: the bytes are not here yet. */
class NotReadYet extends Error {}

/**
 * Calls a function that reads an image, again and again until all it reads is here: each call gets
 * one piece further. So it must do nothing but read and return the same for the same bytes.
 *
 * @example
 * ```ts ignore
 * const layout = await withDeferredReads(source, readImageLayout);
 * ```
 * @param look May catch what reading throws, but only errors of classes that it knows.
 * @throws Whatever `look` throws; it gets what `image.read` fails with from the read concerned.
 */
export async function withDeferredReads<T>(
  image: DeferredSource,
  look: (image: ImageSource) => T,
): Promise<T> {
  const pieces = new Map<string, { bytes: Uint8Array } | { error: unknown }>();
  for (;;) {
    let missing: { key: string; offset: number; length: number } | null = null;
    const read = (offset: number, length: number) => {
      const key = `${offset}+${length}`;
      const piece = pieces.get(key);
      if (piece === undefined) {
        missing = { key, offset, length };
        throw new NotReadYet();
      }
      if ("error" in piece) throw piece.error;
      return piece.bytes;
    };
    try {
      return look({ bytes: image.bytes, read });
    } catch (error) {
      if (!(error instanceof NotReadYet)) throw error;
    }
    const { key, offset, length } = missing!;
    try {
      pieces.set(key, { bytes: await image.read(offset, length) });
    } catch (error) {
      pieces.set(key, { error });
    }
  }
}
