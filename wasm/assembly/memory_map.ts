// The layout of the module's memory. It is static: the module never allocates.
//
//   0        results that do not fit a return value (hash, zero flags)
//   1 KiB    tables of the decoder
//   8 KiB    dictionary of the encoder (64 KiB)
//   128 KiB  input buffer, OUTPUT_COUNT output buffers
//
// After each buffer come SLACK bytes, because copies go in steps of 16 bytes and may overrun.

/** Bytes of a full chunk, decoded. */
export const CHUNK_BYTES: u32 = 4 << 20;

/**
 * Length of the longest chunk file: a header of 5 bytes, and incompressible data as LZO1X (n + n/16
 * + 64 + 3).
 */
export const CHUNK_FILE_BYTES: u32 = 5 + CHUNK_BYTES + (CHUNK_BYTES >> 4) + 67;

/** Bytes after each buffer that any call may read or overwrite. */
export const SLACK: u32 = 64;

/** Number of output buffers. */
export const OUTPUT_COUNT: u32 = 2;

export const HASH_AT: usize = 0;
export const ZERO_FLAGS_AT: usize = 64;

export const LENGTH_AT: usize = 1024;
export const ADVANCE_AT: usize = 1280;
export const TRAILING_MASK_AT: usize = 1536;
export const STATE_AT: usize = 1792;
export const DISTANCE_AT: usize = 2048; // u16
export const PATTERN_AT: usize = 2560; // 16 vectors of 16 bytes; the first is unused
export const STEP_AT: usize = 2816;

export const DICTIONARY_AT: usize = 8 << 10;
export const DICTIONARY_BITS: u32 = 14;

const BUFFERS_AT: usize = 128 << 10;
const PAGE: usize = 4096;

// Buffers start on a page boundary.
const INPUT_SPAN: usize = (<usize>CHUNK_FILE_BYTES + SLACK + PAGE - 1) & ~(PAGE - 1);
const OUTPUT_SPAN: usize = (<usize>CHUNK_BYTES + SLACK + PAGE - 1) & ~(PAGE - 1);

/** Address of the input buffer, which holds CHUNK_FILE_BYTES. */
export function inputAddress(): usize {
  return BUFFERS_AT;
}

/** Address of output buffer `index` (0 to OUTPUT_COUNT - 1), which holds CHUNK_BYTES. */
export function outputAddress(index: u32): usize {
  return BUFFERS_AT + INPUT_SPAN + <usize>index * OUTPUT_SPAN;
}

/** Number of output buffers. */
export function outputCount(): u32 {
  return OUTPUT_COUNT;
}

/** Bytes that the input buffer holds. */
export function inputCapacity(): u32 {
  return CHUNK_FILE_BYTES;
}

/** Bytes that an output buffer holds. */
export function outputCapacity(): u32 {
  return CHUNK_BYTES;
}

/** Address of the last hash, 16 bytes. */
export function hashAddress(): usize {
  return HASH_AT;
}

/** Address of the flags of the last zeroScan, one byte per granule. */
export function zeroFlagsAddress(): usize {
  return ZERO_FLAGS_AT;
}
