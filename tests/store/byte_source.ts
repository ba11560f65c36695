/**
 * Byte sources in memory, for the tests of the map parser.
 *
 * @module
 */

import type { ByteSource } from "../../lib/store/json_reader.ts";

/** Returns a source of bytes, or of the UTF-8 of a text. */
export function sourceOf(content: string | Uint8Array): ByteSource {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  return {
    length: bytes.length,
    readAt(view, offset) {
      const part = bytes.subarray(offset, offset + view.length);
      view.set(part);
      return part.length;
    },
  };
}

/** Block sizes for which a parser must give the same result. */
export const BLOCK_SIZES: readonly number[] = [1, 2, 3, 7, 33, 64, 100, 4096];
