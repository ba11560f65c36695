// Finds the granules of a buffer that hold only zeros, which need not be written to a sparse
// target.

import { ZERO_FLAGS_AT } from "./memory_map";

/**
 * Leaves one byte per granule at `zeroFlagsAddress()`: 1 if all of its bytes are zero, else 0. The
 * last granule may be short.
 *
 * @param length Bytes at `data`: 1 to 64 granules of `granule` bytes (a multiple of 16).
 * @returns The number of granules.
 */
export function zeroScan(data: usize, length: u32, granule: u32): u32 {
  let count: u32 = 0;
  for (let at: u32 = 0; at < length; at += granule) {
    const isZero = isAllZero(data + at, min<u32>(granule, length - at));
    store<u8>(ZERO_FLAGS_AT + count, u32(isZero));
    count++;
  }
  return count;
}

function isAllZero(p: usize, length: u32): bool {
  const end = p + length;
  const vectorEnd = p + (length & ~15);
  for (; p < vectorEnd; p += 16) if (v128.any_true(v128.load(p))) return false;
  for (; p < end; p++) if (load<u8>(p) !== 0) return false;
  return true;
}
