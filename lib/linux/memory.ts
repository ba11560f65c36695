/**
 * Bytes that are handed to C: NUL-terminated strings and pinned buffers.
 *
 * @module
 */

const encoder = new TextEncoder();

/**
 * Encodes a string for a `const char *` parameter.
 *
 * @returns UTF-8 with a terminating NUL, owned by the caller; C may read it during the call only.
 * @throws {TypeError} If the text contains a NUL, which C would take for its end.
 */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new TypeError(`Cannot pass a string with a NUL to C: ${JSON.stringify(text)}`);
  }
  return encoder.encode(`${text}\0`);
}
