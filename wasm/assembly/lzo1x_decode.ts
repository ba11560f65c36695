// LZO1X decoder, written from the format's description (Documentation/staging/lzo.rst in the Linux
// source).
//
// A stream is a sequence of instructions. Each copies a match (bytes already decoded, `distance`
// back) or a run of literals (bytes of the stream); 0 to 3 trailing literals follow a match.
// `state` is the number of literals that ended the last instruction, 4 for a run; it decides what a
// byte below 16 means:
//
//   byte       name  state   length               distance                         operand bytes
//   1LLD DDSS  M2    any     5 + LL               (H << 3) + DDD + 1               H
//   01LD DDSS  M2    any     3 + L                (H << 3) + DDD + 1               H
//   001L LLLL  M3    any     2 + (L or 31 + ext)  (LE16 >> 2) + 1                  [ext] LE16
//   0001 HLLL  M4    any     2 + (L or 7 + ext)   16384 + (H << 14) + (LE16 >> 2)  [ext] LE16
//   0000 LLLL  run   0       3 + (L or 15 + ext)                                   [ext]
//   0000 DDSS  M1    1 to 3  2                    (H << 2) + DD + 1                H
//   0000 DDSS  M1    4       3                    (H << 2) + DD + 2049             H
//
// SS is the number of trailing literals; in M3 and M4 it is the low bits of LE16. ext is present
// only if L is 0: 255 for each zero byte, plus the next byte. An M4 with distance 16384 exactly
// ends the stream.
//
// There are two paths. `stepCarefully` decodes any single instruction and checks every byte. The
// fast loop takes the 90 % of instructions that have no extension and a distance of at least 16,
// while both buffers have MARGIN bytes left. It does not branch on the kind of instruction, which a
// branch predictor cannot foresee: lengths come from tables indexed by the first byte, the distance
// from selects, and runs are copied like matches, from another address. Its cost is the chain from
// the address of one instruction to that of the next: two dependent loads and three additions. V8
// checks the bounds of each memory access with two instructions here, so few, wide accesses pay.

import {
  ADVANCE_AT,
  DISTANCE_AT,
  LENGTH_AT,
  PATTERN_AT,
  STATE_AT,
  STEP_AT,
  TRAILING_MASK_AT,
} from "./memory_map";

import { murmur3Add, murmur3Begin, murmur3Finish } from "./murmur3";

// Result codes. `DECODE_FAULTS` in ../lzo1x.ts has their texts, and a test compares the two.

/** The stream ends inside an instruction or without an end marker. */
export const INPUT_OVERRUN: i32 = -1;
/** An instruction writes more than the announced length. */
export const OUTPUT_OVERRUN: i32 = -2;
/** A match starts before the first decoded byte. */
export const LOOKBEHIND_OVERRUN: i32 = -3;
/** There are bytes after the end marker. */
export const INPUT_NOT_CONSUMED: i32 = -4;
/** The end marker comes before the announced length is reached. */
export const OUTPUT_UNDERRUN: i32 = -5;
/** The first byte is 17, an escape to another bit stream version. */
export const UNKNOWN_VERSION: i32 = -6;

// Other results of stepCarefully.
const MORE: i32 = 0;
const END: i32 = 1;

/**
 * Bytes that must be left in both buffers for the fast loop to continue: from the start of an
 * instruction it reads at most 1 + 32 bytes (a run is copied as 32 bytes) and writes at most 32 +
 * 4.
 */
const MARGIN: u32 = 40;

/** Bytes hashed at a time, while they are still in the second-level cache after decoding. */
const HASH_SPAN: u32 = 256 << 10;

/** Matches nearer than this repeat within a vector; the careful path copies them. */
const NEAR: u32 = 16;

// The decoder's state for stepCarefully; the fast loop keeps it in locals.
let ip: usize = 0;
let op: usize = 0;
let state: u32 = 0;
let inputStart: usize = 0;
let inputEnd: usize = 0;
let outputStart: usize = 0;
let outputEnd: usize = 0;

/** Fills the tables; called once when the module starts. */
export function fillDecoderTables(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let length: u32 = 0; // 0: not for the fast loop
    let size: u32 = 0; // bytes of the instruction, including the literals of a run
    let trailing: u32 = 0; // trailing literals if the first byte has their number; 4: a run
    let mask: u32 = 0; // 3 if the second byte has the number of trailing literals
    let distance: u32 = 0; // added to the distance bits of the operand
    if (byte >= 64) {
      length = (byte >> 5) + 1;
      size = 2;
      trailing = byte & 3;
      distance = ((byte >> 2) & 7) + 1;
    } else if (byte >= 32) {
      // 31 + 2 bytes are one more than the fast loop copies.
      length = (byte & 31) === 0 || (byte & 31) === 31 ? 0 : (byte & 31) + 2;
      size = 3;
      mask = 3;
      distance = 1;
    } else if (byte >= 16) {
      length = (byte & 7) === 0 ? 0 : (byte & 7) + 2;
      size = 3;
      mask = 3;
      distance = 16384 + ((byte & 8) << 11);
    } else if (byte !== 0) {
      length = byte + 3;
      size = 1 + length;
      trailing = 4;
    }
    store<u8>(LENGTH_AT + byte, length);
    store<u8>(ADVANCE_AT + byte, size + (trailing & 3));
    store<u8>(TRAILING_MASK_AT + byte, mask);
    store<u8>(STATE_AT + byte, trailing);
    store<u16>(DISTANCE_AT + (byte << 1), distance);
  }
  // A match nearer than 16 bytes repeats. Pattern `distance` spreads its first bytes over a vector,
  // which is stored every `step` bytes: the largest multiple of the distance that fits a vector.
  for (let distance: u32 = 1; distance < NEAR; distance++) {
    for (let i: u32 = 0; i < 16; i++) store<u8>(PATTERN_AT + (distance << 4) + i, i % distance);
    store<u8>(STEP_AT + distance, 16 - 16 % distance);
  }
}

/** Returns the offset in the stream at which the last `lzo1xDecode` failed. */
export function errorOffset(): u32 {
  return <u32>(ip - inputStart);
}

/**
 * Decodes one LZO1X stream.
 *
 * Both buffers need SLACK bytes after them (memory_map.ts), which may be read and overwritten.
 * Nothing else is changed except the hash. Every instruction consumes input, so decoding ends.
 *
 * @param input Address of the stream.
 * @param inputLength Its length in bytes; at most 2^24, so that extended lengths cannot overflow.
 * @param output Address of the output buffer, which must not overlap the input.
 * @param outputLength Bytes that the stream must decode to, exactly.
 * @param hash Whether to leave the hash of the output at `hashAddress()`.
 * @returns `outputLength`, or a negative result code; then `errorOffset` returns where.
 */
export function lzo1xDecode(
  input: usize,
  inputLength: u32,
  output: usize,
  outputLength: u32,
  hash: bool,
): i32 {
  inputStart = ip = input;
  inputEnd = input + inputLength;
  outputStart = op = output;
  outputEnd = output + outputLength;
  state = 0;
  let hashed = output;
  if (hash) murmur3Begin();
  let result = stepFirst();
  while (result === MORE) {
    if (<u32>(op - hashed) >= HASH_SPAN) {
      if (hash) murmur3Add(hashed, HASH_SPAN);
      hashed += HASH_SPAN;
    }
    // With less than NEAR bytes of output, the distance check of the fast loop would wrap around.
    if (op - outputStart >= NEAR) runFast(hashed + HASH_SPAN);
    result = stepCarefully();
  }
  if (result !== END) return result;
  if (ip !== inputEnd) return INPUT_NOT_CONSUMED;
  if (op !== outputEnd) return OUTPUT_UNDERRUN;
  if (hash) {
    const rest = <u32>(op - hashed);
    murmur3Add(hashed, rest & ~15);
    murmur3Finish(hashed + (rest & ~15), rest & 15, outputLength);
  }
  return <i32>outputLength;
}

/** Decodes the literals that start a stream if its first byte is 18 or more. */
function stepFirst(): i32 {
  if (inputStart === inputEnd) return INPUT_OVERRUN;
  const byte: u32 = load<u8>(ip);
  if (byte < 17) return MORE;
  if (byte === 17) return UNKNOWN_VERSION;
  const length: u32 = byte - 17;
  if (length > <u32>(inputEnd - ip - 1)) return INPUT_OVERRUN;
  if (length > <u32>(outputEnd - op)) return OUTPUT_OVERRUN;
  memory.copy(op, ip + 1, length);
  ip += 1 + length;
  op += length;
  state = min<u32>(length, 4);
  return MORE;
}

/** Decodes until an instruction needs the careful path or the output reaches `pauseAt`. */
function runFast(pauseAt: usize): void {
  const inputLimit = inputEnd - MARGIN;
  const outputLimit = min<usize>(outputEnd - MARGIN, pauseAt);
  const start = outputStart;
  let i = ip;
  let o = op;
  let s = state;
  while (i <= inputLimit) {
    if (o > outputLimit) break;
    const first: usize = load<u8>(i);
    const length: u32 = load<u8>(first, LENGTH_AT);
    const word: u32 = load<u32>(i);
    // Number of trailing literals if the second byte has it, else 0.
    const second: u32 = <u32>load<u8>(first, TRAILING_MASK_AT) & (word >> 8);
    const isRun = first < 16;
    // M2 has H in bits 8 to 15 of the word, M3 and M4 have LE16 >> 2 in bits 10 to 23.
    const far: u32 = select<u32>((word >> 5) & 0x7f8, (word >> 10) & 0x3fff, first >= 64);
    const distance: u32 = select<u32>(NEAR, far + <u32>load<u16>(first << 1, DISTANCE_AT), isRun);
    if (length === 0) break;
    // One comparison for two checks: nearer than 16 bytes (wraps around), before the output's
    // start.
    if (distance - NEAR > <u32>(o - start) - NEAR) break;
    // The end marker, or an M3 with the same distance; the careful path tells them apart.
    if (distance === 16384) break;
    // In a state other than 0, a byte below 16 is an M1, which LZO1X-1 rarely emits.
    if (u32(isRun) & u32(s !== 0)) break;
    const from: usize = select<usize>(i + 1, o - distance, isRun);
    i += <usize>load<u8>(first, ADVANCE_AT) + second;
    s = <u32>load<u8>(first, STATE_AT) + second;
    const trailing = s & 3;
    v128.store(o, v128.load(from));
    v128.store(o, v128.load(from, 16), 16);
    o += length;
    store<u32>(o, load<u32>(i - trailing));
    o += trailing;
  }
  ip = i;
  op = o;
  state = s;
}

/** Decodes one instruction and checks each access. On failure `ip` stays at the instruction. */
function stepCarefully(): i32 {
  let i = ip;
  if (i >= inputEnd) return INPUT_OVERRUN;
  const first: u32 = load<u8>(i);
  let length: u32;
  let distance: u32;
  let trailing: u32;
  if (first >= 64) {
    if (<u32>(inputEnd - i) < 2) return INPUT_OVERRUN;
    length = (first >> 5) + 1;
    distance = (<u32>load<u8>(i, 1) << 3) + ((first >> 2) & 7) + 1;
    trailing = first & 3;
    i += 2;
  } else if (first >= 16) {
    const lengthMask: u32 = first >= 32 ? 31 : 7;
    length = first & lengthMask;
    i++;
    if (length === 0) {
      i = skipZeros(i);
      if (i >= inputEnd) return INPUT_OVERRUN;
      length = lengthMask + <u32>(i - ip - 1) * 255 + <u32>load<u8>(i);
      i++;
    }
    length += 2;
    if (<u32>(inputEnd - i) < 2) return INPUT_OVERRUN;
    const operand: u32 = load<u16>(i);
    i += 2;
    trailing = operand & 3;
    distance = (operand >> 2) + 1;
    if (first < 32) {
      distance += 16383 + ((first & 8) << 11);
      if (distance === 16384) {
        ip = i;
        return END;
      }
    }
  } else if (state === 0) {
    length = first;
    i++;
    if (length === 0) {
      i = skipZeros(i);
      if (i >= inputEnd) return INPUT_OVERRUN;
      length = 15 + <u32>(i - ip - 1) * 255 + <u32>load<u8>(i);
      i++;
    }
    length += 3;
    if (length > <u32>(inputEnd - i)) return INPUT_OVERRUN;
    if (length > <u32>(outputEnd - op)) return OUTPUT_OVERRUN;
    copyFar(op, i, length);
    ip = i + length;
    op += length;
    state = 4;
    return MORE;
  } else {
    if (<u32>(inputEnd - i) < 2) return INPUT_OVERRUN;
    length = state === 4 ? 3 : 2;
    distance = (<u32>load<u8>(i, 1) << 2) + (first >> 2) + (state === 4 ? 2049 : 1);
    trailing = first & 3;
    i += 2;
  }
  if (distance > <u32>(op - outputStart)) return LOOKBEHIND_OVERRUN;
  if (length > <u32>(outputEnd - op)) return OUTPUT_OVERRUN;
  if (trailing > <u32>(inputEnd - i)) return INPUT_OVERRUN;
  if (trailing > <u32>(outputEnd - op) - length) return OUTPUT_OVERRUN;
  if (distance >= NEAR) copyFar(op, op - distance, length);
  else copyNear(op, distance, length);
  op += length;
  store<u32>(op, load<u32>(i)); // may read and write slack at the end
  ip = i + trailing;
  op += trailing;
  state = trailing;
  return MORE;
}

/** Returns the first address from `i` on that has a nonzero byte or is the input's end. */
// @ts-ignore: decorator
@inline
function skipZeros(i: usize): usize {
  while (i < inputEnd && load<u8>(i) === 0) i++;
  return i;
}

/**
 * Copies `length` > 0 bytes to `to`, from at least 16 bytes before it or from elsewhere; may write
 * up to 15 bytes more.
 */
// @ts-ignore: decorator
@inline
function copyFar(to: usize, from: usize, length: u32): void {
  const end = to + length;
  do {
    v128.store(to, v128.load(from));
    from += 16;
    to += 16;
  } while (to < end);
}

/**
 * Repeats the `distance` (1 to 15) bytes before `to` over `length` > 0 bytes; may write up to 15
 * bytes more.
 */
// @ts-ignore: decorator
@inline
function copyNear(to: usize, distance: u32, length: u32): void {
  const end = to + length;
  const step: usize = load<u8>(STEP_AT + distance);
  // The bytes of the vector from `to` on are not decoded yet; the pattern picks only the first
  // `distance` bytes.
  const repeated = v128.swizzle(v128.load(to - distance), v128.load(PATTERN_AT + (distance << 4)));
  do {
    v128.store(to, repeated);
    to += step;
  } while (to < end);
}
