/**
 * An assembler for LZO1X: each function makes one instruction, `assemble` joins them to a stream.
 *
 * It knows the encoding of each instruction (the table is in wasm/README.md) but not whether a
 * stream makes sense: a test may ask for a match that starts before the output, or for an M1 in a
 * state that gives it another meaning.
 *
 * @module
 */

/** Bytes of a stream or of literals. */
export type Bytes = ArrayLike<number>;

/** Operands of a match. `trailing` are the 0 to 3 literals after it. */
export interface Match {
  readonly length: number;
  readonly distance: number;
  readonly trailing?: Bytes;
}

/** Operands of a match whose length the opcode fixes. */
export type FixedMatch = Omit<Match, "length">;

/** The end marker as encoders write it. */
export const END: Bytes = [0x11, 0, 0];

/** Joins instructions to a stream. */
export function assemble(...instructions: Bytes[]): Uint8Array<ArrayBuffer> {
  const length = instructions.reduce((sum, instruction) => sum + instruction.length, 0);
  const stream = new Uint8Array(length);
  let at = 0;
  for (const instruction of instructions) {
    stream.set(instruction, at);
    at += instruction.length;
  }
  return stream;
}

/** A first byte of 18 or more: 1 to 238 literals. Leaves state 1 to 4. */
export function firstLiterals(literals: Bytes): Bytes {
  require("literals", literals.length, 1, 238);
  return assemble([17 + literals.length], literals);
}

/** `0000 LLLL` in state 0: a run of 4 or more literals. Leaves state 4. */
export function run(literals: Bytes): Bytes {
  require("literals", literals.length, 4, Infinity);
  return assemble(lengthBytes(0x00, literals.length - 3, 15), literals);
}

/** `0000 DDSS` in state 1 to 3: length 2, distance 1 to 1024. */
export function m1Near({ distance, trailing = [] }: FixedMatch): Bytes {
  require("distance", distance, 1, 1024);
  const d = distance - 1;
  return assemble([(d & 3) << 2 | trailingCount(trailing), d >> 2], trailing);
}

/** `0000 DDSS` in state 4: length 3, distance 2049 to 3072. */
export function m1Far({ distance, trailing = [] }: FixedMatch): Bytes {
  require("distance", distance, 2049, 3072);
  return m1Near({ distance: distance - 2048, trailing });
}

/** `01LD DDSS` or `1LLD DDSS`: length 3 to 8, distance 1 to 2048. */
export function m2({ length, distance, trailing = [] }: Match): Bytes {
  require("length", length, 3, 8);
  require("distance", distance, 1, 2048);
  const d = distance - 1;
  const l = length <= 4 ? 0x40 | (length - 3) << 5 : 0x80 | (length - 5) << 5;
  return assemble([l | (d & 7) << 2 | trailingCount(trailing), d >> 3], trailing);
}

/** `001L LLLL`: length from 3, distance 1 to 16384. */
export function m3({ length, distance, trailing = [] }: Match): Bytes {
  require("length", length, 3, Infinity);
  require("distance", distance, 1, 16384);
  const operand = (distance - 1) << 2 | trailingCount(trailing);
  return assemble(lengthBytes(0x20, length - 2, 31), [operand & 255, operand >> 8], trailing);
}

/** `0001 HLLL`: length from 3, distance 16385 to 49151. */
export function m4({ length, distance, trailing = [] }: Match): Bytes {
  require("length", length, 3, Infinity);
  require("distance", distance, 16385, 49151);
  const d = distance - 16384;
  const operand = (d & 0x3fff) << 2 | trailingCount(trailing);
  const opcode = 0x10 | d >> 14 << 3;
  return assemble(lengthBytes(opcode, length - 2, 7), [operand & 255, operand >> 8], trailing);
}

/** Reads a stream written as hex bytes and quoted ASCII: `12 "a" 11 00 00`. */
export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const tokens = text.match(/"[^"]*"|\S+/g) ?? [];
  return assemble(...tokens.map((token): Bytes => {
    if (token.startsWith('"')) return new TextEncoder().encode(token.slice(1, -1));
    if (!/^[0-9a-f]{2}$/.test(token)) throw new TypeError(`Cannot read a byte: ${token}`);
    return [parseInt(token, 16)];
  }));
}

/** The opcode with L, or with L = 0 and an extension for what exceeds `mask`. */
function lengthBytes(opcode: number, rest: number, mask: number): Bytes {
  if (rest <= mask) return [opcode | rest];
  const zeros = Math.floor((rest - mask - 1) / 255);
  const bytes = new Uint8Array(zeros + 2);
  bytes[0] = opcode;
  bytes[zeros + 1] = rest - mask - 255 * zeros;
  return bytes;
}

function trailingCount(trailing: Bytes): number {
  require("trailing literals", trailing.length, 0, 3);
  return trailing.length;
}

function require(name: string, value: number, least: number, most: number): void {
  if (!(least <= value && value <= most)) {
    throw new RangeError(`Cannot assemble ${name} of ${value}: ${least} to ${most}`);
  }
}
