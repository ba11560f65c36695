// LZO1X-1 encoder: greedy, one candidate per position, made for speed. It emits runs, M2, M3 and
// M4, in the formats that lzo1x_decode.ts describes.

import { DICTIONARY_AT, DICTIONARY_BITS } from "./memory_map";

const DICTIONARY_BYTES: usize = 4 << DICTIONARY_BITS;

/** Largest distances of M2, M3 and M4. Distance 16384 needs an M3: in an M4 it ends the stream. */
const M2_DISTANCE: u32 = 0x0800;
const M3_DISTANCE: u32 = 0x4000;
const M4_DISTANCE: u32 = 0xbfff;

/** Longest matches of M2, and of M3 and M4 without extension bytes. */
const M2_LENGTH: u32 = 8;
const M3_LENGTH: u32 = 33;
const M4_LENGTH: u32 = 9;

/** Matches do not start in the last bytes, so that several bytes can be loaded at once. */
const END_MARGIN: u32 = 20;

/**
 * Every 16 bytes without a match widen the stride by STRIDE_GROWTH, up to a limit, so that
 * incompressible data is skipped quickly and matches after it are still found. With 2, streams are
 * 4 % smaller and encoding 10 % slower; 4 does the opposite.
 */
const STRIDE_GROWTH: usize = 3;
const LONGEST_STRIDE: usize = 256;

/**
 * Encodes `length` bytes as one LZO1X stream.
 *
 * @param input Address of the bytes; SLACK bytes after them may be read.
 * @param length 1 to CHUNK_BYTES.
 * @param output Address of at least length + length / 16 + 67 bytes and SLACK, which must not
 *   overlap the input.
 * @returns Length of the stream in bytes.
 */
export function lzo1xEncode(input: usize, length: u32, output: usize): u32 {
  memory.fill(DICTIONARY_AT, 0, DICTIONARY_BYTES);
  const end = input + length;
  const searchEnd = length > END_MARGIN ? end - END_MARGIN : input;
  let op = output;
  let anchor = input; // the first byte not yet encoded
  let ip = input + 1;
  while (ip < searchEnd) {
    const word: u32 = load<u32>(ip);
    const slot = slotOf(word);
    const candidate: usize = load<u32>(slot);
    store<u32>(slot, ip);
    // An empty slot holds 0, which is too far back because all buffers start above M4_DISTANCE.
    const distance = <u32>(ip - candidate);
    if (distance > M4_DISTANCE || load<u32>(candidate) !== word) {
      ip += 1 + min<usize>(((ip - anchor) * STRIDE_GROWTH) >> 4, LONGEST_STRIDE);
      continue;
    }
    op = writeLiterals(op, anchor, <u32>(ip - anchor), anchor === input);
    const matchEnd = extendMatch(ip + 4, distance, end);
    op = writeMatch(op, <u32>(matchEnd - ip), distance);
    anchor = ip = matchEnd;
  }
  op = writeLiterals(op, anchor, <u32>(end - anchor), anchor === input);
  store<u8>(op, 0x11);
  store<u16>(op, 0, 1);
  return <u32>(op + 3 - output);
}

/**
 * Returns the end of a match that is known to reach `ip`: the first byte that differs from the byte
 * `distance` before it, or `end`.
 */
// @ts-ignore: decorator
@inline
function extendMatch(ip: usize, distance: usize, end: usize): usize {
  while (ip + 8 <= end) {
    const difference = load<u64>(ip) ^ load<u64>(ip - distance);
    if (difference !== 0) return ip + <usize>(ctz<u64>(difference) >> 3);
    ip += 8;
  }
  while (ip < end && load<u8>(ip) === load<u8>(ip - distance)) ip++;
  return ip;
}

/**
 * Writes `count` literals: as trailing literals of the match before, as a run, or as the start of
 * the stream. Returns the new end.
 */
// @ts-ignore: decorator
@inline
function writeLiterals(op: usize, from: usize, count: u32, isFirst: bool): usize {
  if (count > 3 || isFirst) return writeRun(op, from, count, isFirst);
  // All matches have the number of trailing literals in their second-to-last byte.
  store<u8>(op - 2, load<u8>(op - 2) | count);
  store<u32>(op, load<u32>(from)); // four bytes, of which `count` stay
  return op + count;
}

function writeRun(op: usize, from: usize, count: u32, isFirst: bool): usize {
  if (isFirst && count <= 238) {
    store<u8>(op++, 17 + count);
  } else if (count <= 18) {
    store<u8>(op++, count - 3);
  } else {
    store<u8>(op++, 0);
    op = writeExtension(op, count - 18);
  }
  const end = op + count;
  do {
    v128.store(op, v128.load(from));
    op += 16;
    from += 16;
  } while (op < end);
  return end;
}

/** Writes a match of `length` >= 3 bytes. Returns the new end. */
// @ts-ignore: decorator
@inline
function writeMatch(op: usize, length: u32, distance: u32): usize {
  if (length <= M2_LENGTH && distance <= M2_DISTANCE) {
    const d = distance - 1;
    store<u16>(op, ((length - 1) << 5) | ((d & 7) << 2) | ((d >> 3) << 8));
    return op + 2;
  }
  let opcode: u32;
  let operand: u32;
  let longest: u32;
  if (distance <= M3_DISTANCE) {
    opcode = 32;
    operand = (distance - 1) << 2;
    longest = M3_LENGTH;
  } else {
    const d = distance - 0x4000;
    opcode = 16 | ((d >> 11) & 8);
    operand = (d & 0x3fff) << 2;
    longest = M4_LENGTH;
  }
  if (length <= longest) {
    store<u32>(op, opcode | (length - 2) | (operand << 8)); // the fourth byte is overwritten next
    return op + 3;
  }
  store<u8>(op, opcode);
  op = writeExtension(op + 1, length - longest);
  store<u16>(op, operand);
  return op + 2;
}

/** Writes `rest` >= 1 as zero bytes, which count 255 each, and a last byte of 1 to 255. */
function writeExtension(op: usize, rest: u32): usize {
  while (rest > 255) {
    store<u8>(op++, 0);
    rest -= 255;
  }
  store<u8>(op, rest);
  return op + 1;
}

/** Returns the address of the dictionary entry for four bytes. */
// @ts-ignore: decorator
@inline
function slotOf(word: u32): usize {
  return DICTIONARY_AT + (<usize>((word * 0x9e3779b1) >> (32 - DICTIONARY_BITS)) << 2);
}
