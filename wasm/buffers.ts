/**
 * The WebAssembly instance's memory as callers see it: one input buffer, several output buffers,
 * and the range checks that keep each call inside them. README.md has the memory map.
 *
 * @module
 */

import * as wasm from "./build/codec.wasm";

/** Bytes of a full chunk, decoded. */
export const CHUNK_BYTES = wasm.outputCapacity();

/** Number of output buffers that exist from the start. */
export const OUTPUT_COUNT = wasm.outputCount();

/** The memory, which is shared. The module never grows it; views stay valid if the caller does. */
export const memory: WebAssembly.Memory = wasm.memory;

/**
 * Where growing the memory adds output buffers: buffer `OUTPUT_COUNT + n` starts at `start + n *
 * span` and exists once the memory reaches its end.
 */
export const ADDED_OUTPUTS: { readonly start: number; readonly span: number } = {
  start: memory.buffer.byteLength,
  span: wasm.outputAddress(1) - wasm.outputAddress(0),
};

/** The input buffer: room for the longest chunk file. Callers fill it from its start. */
export const input: Uint8Array<ArrayBuffer> = view(wasm.inputAddress(), wasm.inputCapacity());

/** The first {@linkcode OUTPUT_COUNT} output buffers, {@linkcode CHUNK_BYTES} each. */
export const outputs: readonly Uint8Array<ArrayBuffer>[] = Array.from(
  { length: OUTPUT_COUNT },
  (_, index) => view(wasm.outputAddress(index), CHUNK_BYTES),
);

/**
 * Returns a view of the memory. Its type says ArrayBuffer, as the parameters of system calls do;
 * those take shared memory just as well.
 */
export function view(address: number, length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(memory.buffer as ArrayBuffer, address, length);
}

/**
 * Returns an output buffer, which may be an added one. @throws {RangeError} If there is no such
 * buffer.
 */
export function outputAt(index: number): Uint8Array<ArrayBuffer> {
  return outputs[index] ?? view(addressOf(index), CHUNK_BYTES);
}

/**
 * Returns the address of an output buffer, which may be an added one. @throws {RangeError} If
 * there is no such buffer.
 */
export function addressOf(index: number): number {
  const output = outputs[index];
  if (output) return output.byteOffset;
  const address = ADDED_OUTPUTS.start + (index - OUTPUT_COUNT) * ADDED_OUTPUTS.span;
  // Look each time: another thread may have grown the memory.
  const exists = Number.isInteger(index) && index >= OUTPUT_COUNT &&
    address + ADDED_OUTPUTS.span <= memory.buffer.byteLength;
  if (!exists) throw new RangeError(`Cannot use output buffer ${index}: the memory ends before it`);
  return address;
}

/**
 * Checks a range before it is passed to the module, which checks nothing: a wrong length would let
 * it overwrite its other buffers. @throws {RangeError} If the range does not fit.
 */
export function requireRange(name: string, start: number, end: number, limit: number): void {
  if (!(Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end)) {
    throw new RangeError(`Cannot use ${name} range ${start} to ${end}`);
  }
  if (end > limit) {
    throw new RangeError(
      `Cannot use ${name} range ${start} to ${end}: the buffer ends at ${limit}`,
    );
  }
}
