/**
 * Bytes that depend on their offset, to compare with what was read.
 *
 * @module
 */

/** Fills a view; byte `i` depends on all bits of `start + i`. Returns the view. */
export function fillPattern<T extends Uint8Array>(view: T, start = 0): T {
  for (let i = 0; i < view.length; i++) view[i] = Math.imul(start + i + 1, 0x9e3779b1) >>> 23;
  return view;
}
