/**
 * A plain LZO1X decoder, written from the format's table, byte by byte. The codec is compared with
 * it.
 *
 * Each instruction is checked in this order: the match's source, room for the match, the
 * trailing literals' source, room for them. The offsets of faults follow from it.
 *
 * @module
 */

import { CHUNK_BYTES, type DecodeFault } from "lzo-wasm";

/** The result for a stream: its bytes, or the fault and the byte of the stream where it is. */
export type Verdict =
  | { readonly bytes: Uint8Array }
  | { readonly fault: DecodeFault; readonly inputOffset: number };

class Refusal extends Error {
  readonly fault: DecodeFault;
  readonly inputOffset: number;

  constructor(fault: DecodeFault, inputOffset: number) {
    super(fault);
    this.fault = fault;
    this.inputOffset = inputOffset;
  }
}

const output = new Uint8Array(CHUNK_BYTES);

/**
 * Decodes a stream.
 *
 * @param outputBytes Bytes it must decode to; default: any number up to CHUNK_BYTES.
 */
export function decodeReference(stream: Uint8Array, outputBytes?: number): Verdict {
  try {
    return { bytes: output.slice(0, decodeInto(stream, outputBytes)) };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { fault: error.fault, inputOffset: error.inputOffset };
  }
}

function decodeInto(stream: Uint8Array, outputBytes: number | undefined): number {
  const room = outputBytes ?? output.length;
  let at = 0; // start of the instruction
  let next = 0; // next byte of the stream
  let filled = 0;
  let state = 0;

  function refuse(fault: DecodeFault): never {
    throw new Refusal(fault, at);
  }
  function byte(): number {
    return next < stream.length ? stream[next++]! : refuse("LZO stream ends early");
  }
  function literals(count: number): void {
    if (count > stream.length - next) refuse("LZO stream ends early");
    if (count > room - filled) refuse("LZO output overrun");
    for (let i = 0; i < count; i++) output[filled++] = stream[next++]!;
  }
  function extended(length: number, mask: number): number {
    if (length !== 0) return length;
    length = mask;
    for (;;) {
      const more = byte();
      if (more !== 0) return length + more;
      length += 255;
    }
  }

  const version = byte();
  if (version === 17) refuse("LZO stream of an unknown version");
  if (version > 17) {
    literals(version - 17);
    state = Math.min(version - 17, 4);
  } else {
    next = 0;
  }

  for (;;) {
    at = next;
    const first = byte();
    if (first < 16 && state === 0) {
      literals(3 + extended(first, 15));
      state = 4;
      continue;
    }
    let length: number;
    let distance: number;
    let trailing: number;
    if (first < 16) {
      length = state === 4 ? 3 : 2;
      distance = byte() * 4 + (first >> 2) + (state === 4 ? 2049 : 1);
      trailing = first & 3;
    } else if (first < 64) {
      length = 2 + (first < 32 ? extended(first & 7, 7) : extended(first & 31, 31));
      const operand = byte() + 256 * byte();
      distance = (operand >> 2) + (first < 32 ? 16384 + (first & 8 ? 16384 : 0) : 1);
      trailing = operand & 3;
      if (first < 32 && distance === 16384) break;
    } else {
      length = first < 128 ? 3 + (first >> 5 & 1) : 5 + (first >> 5 & 3);
      distance = byte() * 8 + (first >> 2 & 7) + 1;
      trailing = first & 3;
    }
    if (distance > filled) refuse("LZO look-behind overrun");
    if (length > room - filled) refuse("LZO output overrun");
    for (let i = 0; i < length; i++, filled++) output[filled] = output[filled - distance]!;
    literals(trailing);
    state = trailing;
  }
  at = next;
  if (next !== stream.length) refuse("LZO stream continues after its end marker");
  if (outputBytes !== undefined && filled !== outputBytes) {
    refuse("LZO stream ends before the announced length");
  }
  return filled;
}
